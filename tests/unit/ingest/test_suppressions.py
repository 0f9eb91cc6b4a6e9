"""Who asked to be left alone: what requests come to in any order, and what is dropped for them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kit.auth import Source
from services.ingest.domain.suppressions import NOTHING_SAID, Suppression, apply_request, is_dropped
from services.ingest.handlers.governance import Governance, LiveRules
from services.ingest.handlers.parked import Parking, Replay
from services.ingest.ports import RejectionFilter
from services.ingest.store.fakes import FakeRejections
from tests.support.intake import DISABLED, KEY, NOW, SERVER, World, make_order, make_track

HOUR = timedelta(hours=1)
moments = st.integers(0, 5).map(lambda hours: NOW + hours * HOUR)
requests = st.lists(
    st.tuples(
        st.sampled_from(["erase", "suppress", "erase_and_suppress", "lift"]),
        moments,
        st.integers(1, 9).map(lambda number: UUID(int=number)),
        st.none() | moments,
    ),
    max_size=8,
)


def fold(said: list[tuple[Any, datetime, UUID, datetime | None]]) -> Suppression:
    held = NOTHING_SAID
    for kind, at, request_id, cutoff in said:
        held = apply_request(held, kind, cutoff=cutoff, at=at, request_id=request_id)
    return held


@given(requests, st.randoms())
def test_requests_in_any_order_and_repeated_come_to_the_same(said: list[Any], random: Any) -> None:
    distinct = list({(at, request_id): (kind, at, request_id, cutoff) for kind, at, request_id, cutoff in said}.values())
    shuffled = [*distinct, *distinct[: len(distinct) // 2]]
    random.shuffle(shuffled)
    assert fold(shuffled) == fold(distinct)


@given(requests)
def test_the_latest_word_suppresses_or_lifts_and_the_latest_cutoff_stays(said: list[Any]) -> None:
    distinct = {(at, request_id): (kind, at, request_id, cutoff) for kind, at, request_id, cutoff in said}
    held = fold(list(distinct.values()))
    words = sorted((at, request_id, kind) for kind, at, request_id, _ in distinct.values() if kind != "erase")
    assert held.suppressed is bool(words and words[-1][2] != "lift")
    cutoffs = [cutoff or at for kind, at, _, cutoff in distinct.values() if kind.startswith("erase")]
    assert held.cutoff == max(cutoffs, default=None)


@pytest.mark.parametrize(
    ("occurred", "received", "dropped"),
    [(-1, 1, True), (0, 1, True), (1, 1, False), (1, 0, True), (1, -1, True), (-1, -1, True)],
)
def test_what_happened_or_came_by_the_cutoff_is_erased(occurred: int, received: int, dropped: bool) -> None:
    said = Suppression(suppressed=False, cutoff=NOW)
    assert is_dropped(said, occurred_at=NOW + occurred * HOUR, received_at=NOW + received * HOUR) is dropped


def make_world(*said: tuple[str, str, Suppression], source: Source = SERVER) -> World:
    rules = LiveRules(suppressions={KEY.fragment_id(kind, value): one for kind, value, one in said})
    return World(governance=Governance(rules), sources={"dev-write-key": source})


ALONE = Suppression(suppressed=True, cutoff=None)


async def send(world: World, *calls: Any) -> Any:
    async with world.client(headers={"X-Write-Key": "dev-write-key", "Prefer": "return=representation"}) as client:
        answer = await client.post("/v1/batch", json={"batch": list(calls)})
    assert answer.status_code == 200
    return answer.json()


async def test_a_suppressed_persons_touchpoint_is_answered_as_taken_and_kept_nowhere() -> None:
    world = make_world(("user_id", "u1", ALONE))
    answer = await send(world, make_track(), make_track(userId="u2", messageId="m2"))
    assert [accepted["message_id"] for accepted in answer["accepted"]] == ["m1", "m2"]
    assert [touchpoint.message_id for touchpoint in world.recorded()] == ["m2"]
    assert world.rejected() == []
    assert {one.outcome.name: one.total for one in world.governance.tallies.counts()} == {"accepted": 1, "suppressed": 1}
    assert (world.intake.accepted, world.intake.rejected) == (1, 0)


@pytest.mark.parametrize(
    "call",
    [
        make_track(userId="u2", anonymousId="a1"),
        make_track(userId="u2", context={"traits": {"email": " ADA@example.com"}}),
        make_track(type="identify", userId="u2", traits={"email": "ada@example.com"}),
        make_track(type="alias", userId="u2", previousId="u1"),
    ],
)
async def test_any_of_its_identifiers_suffices(call: Any) -> None:
    world = make_world(("user_id", "u1", ALONE), ("anonymous_id", "a1", ALONE), ("email", "ada@example.com", ALONE))
    await send(world, call)
    assert world.recorded() == []


async def test_what_would_have_been_refused_is_not_parked_either() -> None:
    world = make_world(("user_id", "u1", ALONE))
    await send(world, make_order(revenue=-1))
    assert world.rejected() == []


async def test_an_erased_persons_past_is_dropped_and_the_present_taken() -> None:
    world = make_world(("user_id", "u1", Suppression(suppressed=False, cutoff=NOW - HOUR)))
    old, new = make_track(timestamp="2026-11-22T11:00:00Z"), make_track(timestamp="2026-11-22T11:00:01Z", messageId="m2")
    await send(world, old, new)
    assert [touchpoint.message_id for touchpoint in world.recorded()] == ["m2"]


async def test_a_parked_call_of_somebody_suppressed_since_is_forgotten_by_its_replay() -> None:
    tx: Any = None
    world, store = World(), FakeRejections()
    await world.intake.publish(world.judge({"batch": [make_track()]}, source=DISABLED))
    await Parking(store)(tx, world.broker.records("touchpoint-rejections"))
    enabled = Source(DISABLED.id, DISABLED.name, DISABLED.kind, verified=True)
    later = make_world(("user_id", "u1", ALONE), source=enabled)
    replay = Replay(store, later.intake, later.access, later.clock, later.webhook_intake)
    assert (await replay.replay_page(tx, RejectionFilter(), after=None, limit=10)).replayed == 1
    assert later.recorded() == []
    assert await store.find(tx, RejectionFilter(), after=None, limit=10) == []
