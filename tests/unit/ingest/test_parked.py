"""Refused touchpoints at rest: parked once, sent through again as of their receipt, and taken once."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec import structs

from libs.kit.auth import Source
from libs.messaging.errors import PublishFailed
from libs.messaging.outcomes import DUPLICATE, HANDLED, Ignored, Reject
from services.ingest.handlers.parked import Parking, Replay, Replayed
from services.ingest.ports import RejectionFilter
from services.ingest.store.fakes import FakeRejections
from tests.support.intake import DISABLED, NOW, SERVER, World, make_track

if TYPE_CHECKING:
    from libs.kit.db import Tx

TX = cast("Tx", None)
EVERYTHING = RejectionFilter()


@dataclass
class Yard:
    """A world whose rejections have been parked."""

    world: World = field(default_factory=World)
    store: FakeRejections = field(default_factory=FakeRejections)

    async def refuse(self, body: Any, *, source: Source = SERVER) -> None:
        await self.world.intake.publish(self.world.judge(body, source=source))
        await Parking(self.store)(TX, self.world.broker.records("touchpoint-rejections"))

    async def replay(self, *, sources: dict[str, Source] | None = None, limit: int = 100) -> Replayed:
        world = World(
            broker=self.world.broker,
            clock=self.world.clock,
            sources=sources or self.world.sources,
            webhooks=self.world.webhooks,
        )
        replay = Replay(self.store, world.intake, world.access, world.clock, world.webhook_intake)
        return await replay.replay_page(TX, EVERYTHING, after=None, limit=limit)

    async def parked(self) -> list[str]:
        return [row.reason for row in await self.store.find(TX, EVERYTHING, after=None, limit=100)]


async def test_a_rejection_read_again_is_a_duplicate() -> None:
    yard = Yard()
    await yard.refuse({"batch": [{}, make_track(userId=None)]})
    records = yard.world.broker.records("touchpoint-rejections")
    result = await Parking(FakeRejections())(TX, [*records, *records])
    assert sorted(outcome.label for outcome in result.outcomes) == ["duplicate", "duplicate", "handled", "handled"]
    assert (await Parking(yard.store)(TX, records)).outcomes == [DUPLICATE, DUPLICATE]
    assert sorted(await yard.parked()) == ["no_identifier", "unknown_kind"]


async def test_what_is_no_rejection_is_ignored_and_what_is_malformed_rejected() -> None:
    yard = Yard()
    await yard.world.intake.publish(yard.world.judge({"batch": [make_track(), {}]}))
    good = yard.world.broker.records("touchpoint-rejections")[0]
    foreign = structs.replace(good, headers={**good.headers, "ce_type": b"rapport.unheard.of.v1"})
    broken = structs.replace(good, value=b"{}")
    result = await Parking(yard.store)(TX, [foreign, broken, good])
    assert result.outcomes == [Ignored("unknown_type"), Reject("malformed", "park_rejections"), HANDLED]


async def test_once_the_cause_is_mended_it_is_taken_as_of_its_receipt() -> None:
    yard = Yard()
    call = make_track(timestamp="2026-11-22T11:00:00Z")
    await yard.refuse({"batch": [call], "sentAt": "2026-11-22T12:00:00Z"}, source=DISABLED)
    yard.world.clock.advance(timedelta(days=3))
    enabled = replace(DISABLED, enabled=True)
    assert await yard.replay(sources={"old-key": enabled}) == Replayed(1, 0, None)
    touchpoint = yard.world.recorded()[0]
    assert touchpoint.occurred_at == NOW - timedelta(hours=1)
    assert touchpoint.received_at == NOW
    assert touchpoint.id == World().judge({"batch": [call]}, source=enabled).accepted[0].id
    assert await yard.parked() == []


async def test_what_is_still_wrong_stays_with_its_present_reason() -> None:
    yard = Yard()
    await yard.refuse({"batch": [make_track(userId=None)]}, source=DISABLED)
    assert await yard.replay(sources={"old-key": replace(DISABLED, enabled=True)}) == Replayed(0, 1, None)
    assert await yard.parked() == ["no_identifier"]
    assert yard.world.recorded() == []


async def test_what_was_sent_through_is_not_parked_again_by_reading_the_topic_from_its_beginning() -> None:
    yard = Yard()
    await yard.refuse({"batch": [make_track()]}, source=DISABLED)
    await yard.replay(sources={"old-key": replace(DISABLED, enabled=True)})
    await Parking(yard.store)(TX, yard.world.broker.records("touchpoint-rejections"))
    assert await yard.parked() == []


async def test_two_replays_of_a_call_without_a_message_id_are_one_touchpoint() -> None:
    yard = Yard()
    await yard.refuse({"batch": [make_track(messageId=None)]}, source=DISABLED)
    enabled = {"old-key": replace(DISABLED, enabled=True)}
    rows = await yard.store.find(TX, EVERYTHING, after=None, limit=10)
    await yard.replay(sources=enabled)
    yard.store = FakeRejections()
    await yard.store.add(TX, rows)
    await yard.replay(sources=enabled)
    first, second = yard.world.recorded()
    assert first.id == second.id


async def test_excess_events_are_taken_and_only_those_that_are_wrong_parked_anew() -> None:
    yard = Yard()
    items = [make_track(messageId=f"m{n}") for n in range(2500)]
    await yard.refuse({"batch": [*items, make_track(messageId="more"), make_track(userId=None)]})
    assert await yard.parked() == ["too_many_events"]
    assert await yard.replay() == Replayed(1, 0, None)
    assert yard.world.recorded()[-1].message_id in {item["messageId"] for item in [*items, {"messageId": "more"}]}
    assert len(yard.world.recorded()) == 2501
    await Parking(yard.store)(TX, yard.world.broker.records("touchpoint-rejections"))
    assert await yard.parked() == ["no_identifier"]


@pytest.mark.parametrize("path", ["/v1/track", "/v1/touchpoints"])
async def test_every_route_can_be_sent_through_again(path: str) -> None:
    yard = Yard()
    body = (
        {"userId": "u1", "event": "E"}
        if path == "/v1/track"
        else {"touchpoints": [{"name": "E", "identifiers": {"user_id": "u1"}}]}
    )
    async with yard.world.client() as client:
        response = await client.post(path, json=body, headers={"X-Write-Key": "old-key"})
    assert response.status_code == 200
    await Parking(yard.store)(TX, yard.world.broker.records("touchpoint-rejections"))
    assert (await yard.replay(sources={"old-key": replace(DISABLED, enabled=True)})).replayed == 1
    assert [touchpoint.name for touchpoint in yard.world.recorded()] == ["E"]


async def test_a_source_that_is_gone_leaves_its_rejections_where_they_are() -> None:
    yard = Yard()
    await yard.refuse({"batch": [make_track()]}, source=DISABLED)
    assert await yard.replay(sources={"dev-write-key": SERVER}) == Replayed(0, 1, None)
    assert await yard.parked() == ["source_disabled"]


async def test_while_the_broker_is_away_nothing_is_forgotten() -> None:
    yard = Yard()
    await yard.refuse({"batch": [make_track()]}, source=DISABLED)
    yard.world.broker.down = True
    with pytest.raises(PublishFailed):
        await yard.replay(sources={"old-key": replace(DISABLED, enabled=True)})
    assert await yard.parked() == ["source_disabled"]


async def test_pages_go_on_where_the_last_one_ended() -> None:
    yard = Yard()
    await yard.refuse({"batch": [make_track(messageId=f"m{n}") for n in range(3)]}, source=DISABLED)
    page = await yard.replay(sources={"old-key": replace(DISABLED, enabled=True)}, limit=2)
    assert (page.replayed, page.next_place is not None) == (2, True)
