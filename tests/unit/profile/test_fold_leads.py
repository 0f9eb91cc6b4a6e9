"""Leads and accounts in the view, sentence by sentence of docs/semantics.md."""

import asyncio
from typing import Any

import msgspec

from libs.events.touchpoints import TouchpointRecorded
from services.profile.domain.state import State, encode_packed
from services.profile.domain.totals import Totals
from tests.builders.touchpoints import make_fragment, make_touchpoint
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook
from tests.unit.profile.folded import fold

ME = make_fragment("user_id", "u1")


def tracked(number: int, name: str, *, at: Any = 0, **properties: Any) -> TouchpointRecorded:
    return make_touchpoint(number, name=name, at=at, properties=properties)


def test_the_latest_stage_stands() -> None:
    told = [
        tracked(1, "Lead Stage Changed", stage="customer", at=5),
        tracked(2, "Lead Stage Changed", stage="lead", at=3),
        tracked(3, "Lead Stage Changed", at=9),
        tracked(4, "Lead Captured", lead_source="fair", at=10),
    ]
    customer = {"stage": "customer", "since": "2026-03-01T12:05:00.000Z"}
    history = [customer, {"stage": "lead", "since": "2026-03-01T12:03:00.000Z"}]
    assert fold(*told)["lead"] == {**customer, "history": history, "owner": None, "handovers": []}


def test_the_last_twenty_stages_are_kept_newest_first() -> None:
    told = [tracked(n, "Lead Stage Changed", stage=f"s{n}", at=n) for n in range(25)]
    assert [one["stage"] for one in fold(*told)["lead"]["history"]] == [f"s{n}" for n in range(24, 4, -1)]


def test_what_was_folded_before_there_were_histories_keeps_its_last_answer_and_stage() -> None:
    told = [
        tracked(1, "Survey Answered", survey_type="nps", score=7),
        tracked(2, "Lead Stage Changed", stage="lead", at=1),
        tracked(3, "Support Ticket Opened", ticket_id="a", at=2),
    ]
    later = [
        tracked(4, "Survey Answered", survey_type="nps", score=9, at=3),
        tracked(5, "Lead Stage Changed", stage="customer", at=4),
    ]

    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        rows = FakeFactRows()
        book = FoldingBook(rows)
        await book.apply([(ME, one) for one in told])
        # As the release before wrote it.
        place = State.__struct_fields__.index("lead")
        *before, lead, accounts = msgspec.msgpack.decode(book.states[ME])[: place + 2]
        book.states[ME] = encode_packed([*before, lead[:2], accounts])
        (stored,) = book.profiles.values()
        figures = msgspec.msgpack.decode(stored.totals)[: Totals.__struct_fields__.index("answers")]
        stored.totals = encode_packed([1, *figures[1:]])
        (key,) = rows.facts
        rows.facts[key] = None, encode_packed(msgspec.msgpack.decode(rows.facts[key][1])[:3])
        await book.apply([(ME, make_touchpoint(9, at=2))])
        opened = book.view(ME)
        await book.apply([(ME, one) for one in later])
        return opened, book.view(ME)

    opened, view = asyncio.run(run())
    other = make_touchpoint(9, at=2)
    for shown, expected in ((opened, fold(*told, other)), (view, fold(*told, other, *later))):
        del shown["aggregates"]["activity"], expected["aggregates"]["activity"]  # counts from the release that knows it
        assert shown == expected


def test_the_latest_owner_has_the_lead_and_every_hand_over_says_from_whom_to_whom() -> None:
    told = [
        tracked(1, "Lead Stage Changed", owner="grace", at=1),
        tracked(2, "Lead Stage Changed", owner="alan", note="on holiday", stage="sales-qualified", at=5),
        tracked(3, "Lead Stage Changed", stage="opportunity", at=7),
        tracked(4, "Lead Stage Changed", owner=None, at=3),
    ]
    lead = fold(*told)["lead"]
    assert (lead["stage"], lead["owner"]) == ("opportunity", "alan")
    assert lead["handovers"] == [
        {"from": None, "to": "alan", "at": "2026-03-01T12:05:00.000Z", "note": "on holiday"},
        {"from": "grace", "to": None, "at": "2026-03-01T12:03:00.000Z", "note": None},
        {"from": None, "to": "grace", "at": "2026-03-01T12:01:00.000Z", "note": None},
    ]


def test_of_many_hand_overs_the_twenty_latest_are_shown_each_with_who_had_it_before() -> None:
    told = [tracked(n, "Lead Stage Changed", owner=f"o{n}", at=n) for n in range(25)]
    handovers = fold(*told)["lead"]["handovers"]
    assert [(one["from"], one["to"]) for one in handovers] == [(f"o{n - 1}", f"o{n}") for n in range(24, 4, -1)]


def test_a_captured_lead_is_one_until_another_stage_is_stated() -> None:
    told = [tracked(1, "Lead Captured", at=5), tracked(2, "Lead Captured", at=3)]
    captured = {"stage": "lead", "since": "2026-03-01T12:03:00.000Z"}
    assert fold(*told)["lead"] == {**captured, "history": [captured], "owner": None, "handovers": []}


def test_accounts_are_the_groups_named_each_trait_by_its_latest_word() -> None:
    told = [
        make_touchpoint(1, kind="group", group_id="b", traits={"name": "Bolt", "plan": "x"}, at=1),
        make_touchpoint(2, kind="group", group_id="a", traits={"name": "Acme"}, at=2),
        make_touchpoint(3, kind="group", group_id="a", traits={"name": "ACME", "plan": None}, at=3),
        make_touchpoint(4, kind="group", group_id="b", at=0),
    ]
    view = fold(*told)
    assert view["accounts"] == [
        {"id": "a", "name": "ACME", "since": "2026-03-01T12:02:00.000Z", "traits": {"name": "ACME"}},
        {"id": "b", "name": "Bolt", "since": "2026-03-01T12:00:00.000Z", "traits": {"name": "Bolt", "plan": "x"}},
    ]
    assert view["traits"] == {}
