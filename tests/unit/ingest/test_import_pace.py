"""How an import gives way, and how its rows are judged by the rules of the front door."""

import asyncio

from services.ingest.domain.imports.steps import Planned, Skipped, SkipReason, Step
from services.ingest.domain.imports.tally import Tally
from services.ingest.handlers.import_rows import SLICE_ROWS, Judged, Pace, judge_rows, prepare_row
from tests.support.intake import NOW, SERVER, World


def plan(line: int, **changes: object) -> Planned:
    touchpoint = {"id": f"m{line}", "name": "Store Visited", "identifiers": {"user_id": f"u{line}"}, **changes}
    return Planned(line, 1, touchpoint, f"row {line}".encode())


async def judge(world: World, *steps: Step, before: Tally | None = None) -> tuple[Judged, int]:
    given_way = 0

    async def give_way() -> None:
        nonlocal given_way
        given_way += 1
        await asyncio.sleep(0)

    rows = [prepare_row(step) for step in steps]
    judged = await judge_rows(world.intake, SERVER, rows, before or Tally(), received_at=NOW, give_way=give_way)
    return judged, given_way


def test_a_quick_log_is_used_and_a_slow_one_left_alone_half_of_the_time() -> None:
    pace = Pace()
    assert [pace.after_publish(took_s) for took_s in (0.01, 0.1, 0.5, 60.0)] == [0.0, 0.0, 0.5, 5.0]


def test_a_log_that_is_away_is_asked_less_and_less_often_until_it_is_back() -> None:
    pace = Pace()
    waits = [pace.after_failure() for _ in range(8)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.2, 5.0)
    pace.after_publish(0.01)
    assert pace.after_failure() == 0.2


async def test_refused_rows_are_listed_with_their_row_and_nothing_of_them_is_published() -> None:
    world = World()
    steps = [
        plan(1),
        plan(2, identifiers={"user_id": "guest"}),
        Skipped(3, 2, SkipReason.CELL_UNREADABLE, "a cell", b"row 3"),
        plan(4, colour="red"),
        plan(5, properties={"note": "x" * 40_000}),
        plan(6),
    ]
    judged, _ = await judge(world, *steps, before=Tally(steps=10, rows=20))
    assert [(one.step, one.line, one.outcome, one.reason, one.data) for one in judged.errors] == [
        (11, 2, "rejected", "no_identifier", b"row 2"),
        (12, 3, "skipped", "unreadable_cell", b"row 3"),
        (13, 4, "rejected", "invalid", b"row 4"),
        (14, 5, "rejected", "event_too_large", b"row 5"),
    ]
    assert (judged.tally.steps, judged.tally.rows, judged.tally.accepted) == (16, 27, 2)
    assert judged.tally.skipped_rows == {"unreadable_cell": 2}
    assert len(judged.receipt.outgoing) == 2
    await world.intake.publish(judged.receipt)
    assert [touchpoint.message_id for touchpoint in world.recorded()] == ["m1", "m6"]
    assert world.rejected() == []


async def test_live_requests_have_their_turn_between_slices() -> None:
    judged, given_way = await judge(World(), *(plan(line) for line in range(3 * SLICE_ROWS + 1)))
    assert (judged.tally.accepted, given_way) == (3 * SLICE_ROWS + 1, 4)


async def test_an_import_and_a_call_with_the_same_id_are_one_touchpoint() -> None:
    world = World()
    judged, _ = await judge(world, plan(1))
    await world.intake.publish(judged.receipt)
    async with world.client() as client:
        body = {"touchpoints": [{"id": "m1", "name": "X", "identifiers": {"user_id": "u"}}]}
        await client.post("/v1/touchpoints", json=body, headers={"X-Write-Key": "dev-write-key"})
    assert world.recorded()[0].id == world.recorded()[1].id
