"""What every store of rows must do; the fake and PostgreSQL's both pass."""

from uuid import UUID

from services.profile.domain.facts import Part
from services.profile.domain.rows import ChangedRow
from services.profile.handlers.fold_profiles import FactRows

A, B, C = (UUID(int=number) for number in (1, 2, 3))


async def check_facts(rows: FactRows) -> None:
    await rows.save_facts(
        [
            ChangedRow(B, Part.TICKET, b"=t", None, b"old"),
            ChangedRow(A, Part.TICKET, b"=t", None, b"other"),
            ChangedRow(A, Part.REFUND, b"=r1", b"=o1", b"refund 1"),
            ChangedRow(A, Part.REFUND, b"=r2", b"=o1", b"refund 2"),
            ChangedRow(B, Part.REFUND, b"=r1", b"=o2", b"refund 1 of B"),
        ]
    )
    await rows.save_facts([ChangedRow(B, Part.TICKET, b"=t", None, b"new"), ChangedRow(A, Part.REFUND, b"=r2", b"=o2", b"moved")])
    found = await rows.load_keys(
        [(B, Part.TICKET, b"=t"), (C, Part.TICKET, b"=t"), (A, Part.REFUND, b"=r1"), (A, Part.ORDER, b"=t")]
    )
    assert _sorted(found) == [(A, Part.REFUND, b"=r1", b"refund 1"), (B, Part.TICKET, b"=t", b"new")]
    assert _sorted(await rows.load_refunds([(A, b"=o1"), (C, b"=o1")], Part.REFUND)) == [(A, Part.REFUND, b"=r1", b"refund 1")]
    assert len(_sorted(await rows.load_refunds([(A, b"=o2"), (B, b"=o2")], Part.REFUND))) == 2
    assert len(_sorted(await rows.load_fragments([A, C]))) == 3


async def check_orders_in_time(rows: FactRows) -> None:
    times = [(A, b"=1", b"\x10"), (B, b"=1", b"\x30"), (A, b"=2", b"\x20"), (C, b"=3", b"\x40"), (A, b"=4", None)]
    await rows.save_facts([ChangedRow(fragment, Part.ORDER, key, ref, b"") for fragment, key, ref in times])
    await rows.save_facts([ChangedRow(A, Part.REFUND, b"=9", b"\x99", b"")])
    first = await rows.load_orders_in_time([A, B], Part.ORDER, newest_first=False, limit=2, offset=0)
    assert list(first) == [(b"=1", b"\x10"), (b"=2", b"\x20")]
    assert list(await rows.load_orders_in_time([A, B], Part.ORDER, newest_first=True, limit=1, offset=0)) == [(b"=1", b"\x30")]
    assert list(await rows.load_orders_in_time([A, B], Part.ORDER, newest_first=True, limit=9, offset=3)) == []


async def check_sessions(rows: FactRows) -> None:
    await rows.save_sessions([(A, 10, 20), (A, 30, 40), (A, 50, 60), (B, -5, 100)])
    await rows.save_sessions([(A, 30, 45)])
    await rows.drop_sessions([(A, 50), (C, 1)])
    assert sorted(await rows.load_sessions([A])) == [(A, 10, 20), (A, 30, 45)]
    for low, high, starts in (
        (0, 9, []),
        (0, 10, [10]),
        (20, 29, [10]),
        (21, 29, []),
        (45, 99, [30]),
        (15, 35, [10, 30]),
        (41, 42, [30]),
    ):
        assert sorted(row[1] for row in await rows.load_sessions_near([(A, low, high)])) == starts
    assert sorted(await rows.load_sessions_near([(A, 0, 15), (B, 50, 50), (C, 0, 99)])) == [(A, 10, 20), (B, -5, 100)]


async def check_days(rows: FactRows) -> None:
    huge = 10**40
    await rows.save_days([(A, 1, {"EUR": 5}), (A, 2, {"EUR": huge, "USD": -huge}), (B, 1, {"EUR": 7}), (C, 9, {})])
    await rows.save_days([(A, 1, {"EUR": 6})])
    assert await rows.load_days([(A, 1), (A, 2), (A, 3)]) == {A: {1: {"EUR": 6}, 2: {"EUR": huge, "USD": -huge}}}
    await rows.drop_days([A])
    await rows.move_days([(B, A)])
    assert await rows.load_days([(A, 1), (A, 2), (B, 1)]) == {A: {1: {"EUR": 7}}}


async def check_tallies(rows: FactRows) -> None:
    await rows.save_tallies([(A, 1, b"x", 5, b"1"), (A, 1, b"b", 7, b"2"), (A, 1, b"a", 7, b"3"), (A, 1, b"gone", None, b"4")])
    await rows.save_tallies([(A, 2, b"x", 9, b"5"), (B, 1, b"x", -3, b"6"), (A, 1, b"x", 6, b"7"), (C, 1, b"y", 1, b"8")])
    assert _sorted(await rows.load_tallies([(A, 1, b"x"), (A, 1, b"gone"), (A, 1, b"never"), (B, 1, b"x")])) == [
        (A, 1, b"gone", b"4"),
        (A, 1, b"x", b"7"),
        (B, 1, b"x", b"6"),
    ]
    top = [tuple(row) for row in await rows.load_top([(A, 1, 5, 2), (B, 1, -4, 9), (C, 1, 1, 9)])]
    assert top == [(A, 1, b"a", b"3"), (A, 1, b"b", b"2"), (B, 1, b"x", b"6")]
    assert len(list(await rows.load_top([(A, 1, -9, 9)]))) == 3
    await rows.drop_tallies([A])
    await rows.move_tallies([(B, A)])
    assert _sorted(await rows.load_top([(A, 1, -9, 9), (A, 2, -9, 9), (B, 1, -9, 9)])) == [(A, 1, b"x", b"6")]


def _sorted(found: object) -> list[tuple[UUID, int, bytes, bytes]]:
    return sorted(tuple(row) for row in found)  # type: ignore[attr-defined]


CHECKS = [check_facts, check_orders_in_time, check_sessions, check_days, check_tallies]
