"""Messages on the real database and a real SMTP server: whom a campaign writes to, and what a crash leaves behind."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from libs.durable.outbox import FakeOutbox
from libs.events import codec, topics
from libs.events.envelope import Incoming
from libs.events.segments import SegmentMembershipChanged
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.clock import FakeClock
from libs.kit.db import Database
from libs.kit.ids import build_id_factory
from libs.messaging.fake_broker import FakeBroker
from libs.messaging.outcomes import HANDLED, Retry
from libs.subscriber import Arrivals
from services.engagement.adapters.smtp import SmtpMailer
from services.engagement.consumer import build_handlers
from services.engagement.domain.campaigns import DEFAULT_CAUSES
from services.engagement.domain.templates import Template
from services.engagement.handlers import Engagement
from services.engagement.ports import Claimed, Delivered, Delivery, NotYet, Refused, Uncertain
from services.engagement.sender import Sender
from services.engagement.store import Library, PostgresOutreach
from tests.builders.changes import KEY, NOON, fragment_of, make_change, to_incoming, to_record
from tests.support.eventually import eventually
from tests.support.services import open_schema


class Mailbox:
    """An SMTP server's handler that keeps what it accepts; `answers` are given to the next messages instead."""

    def __init__(self) -> None:
        self.accepted: list[Envelope] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        self.accepted.append(envelope)
        return "250 taken"


@pytest.fixture
async def mailbox() -> AsyncIterator[tuple[Mailbox, int]]:
    handler = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    yield handler, server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with open_schema(database_dsn, "engagement") as opened:
        async with opened.transaction() as tx:
            await tx.execute("truncate messages, triggers, policies; truncate campaigns, templates cascade")
        yield opened


@pytest.fixture
def engagement() -> Engagement:
    clock = FakeClock(NOON)
    return Engagement(PostgresOutreach(), KEY, clock, build_id_factory(clock))


async def start_campaign(database: Database, campaign_id: str = "welcome", segment_id: str = "customers", **changes: Any) -> None:
    template = Template("hello", "Hello", "Hello {{ traits.first_name }}", "Dear {{ traits.first_name }}")
    campaign = {
        "id": campaign_id,
        "name": campaign_id,
        "segment_id": segment_id,
        "template_id": "hello",
        "purpose": "marketing",
        "sender": "shop@example.com",
        "active": True,
        "causes": sorted(DEFAULT_CAUSES),
    }
    async with database.transaction() as tx:
        await Library().save_template(tx, template, NOON)
        await Library().save_campaign(tx, campaign | changes, NOON)


def make_snapshot(address: str, *, status: str = "granted") -> dict[str, Any]:
    return {
        "traits": {"first_name": "Ada", "email": address},
        "identifiers": [{"kind": "email", "value": address, "fragment": str(fragment_of("email", address))}],
        "consent": [{"purpose": "marketing", "channel": "email", "status": status, "at": "2026-01-01T00:00:00.000Z"}],
    }


def make_edge(profile_id: UUID, *, seq: int = 1, version: int = 1, segment_id: str = "customers", **changes: Any) -> Incoming:
    fields: dict[str, Any] = {
        "segment_id": segment_id,
        "segment_name": segment_id,
        "segment_version": 1,
        "profile_id": profile_id,
        "profile_version": version,
        "action": "entered",
        "seq": seq,
        "at": NOON,
        "cause": "touchpoint",
    }
    edge = SegmentMembershipChanged(**(fields | changes))
    return to_incoming(
        codec.encode(
            edge,
            topic=topics.SEGMENT_CHANGES,
            key=profile_id,
            event_id=uuid4().hex,
            source="segmentation",
            time=NOON,
            received_ms=0,
        )
    )


class Desk:
    """Feeds records of both topics to the service and reads what it decided."""

    def __init__(self, database: Database, engagement: Engagement) -> None:
        self.database = database
        self._handlers = build_handlers(engagement, Arrivals(database, engagement.clock))

    async def tell_profile(
        self, profile_id: UUID, address: str, *, version: int = 1, status: str = "granted", **changes: Any
    ) -> None:
        fragments = changes.pop("fragments", (fragment_of("email", address),))
        change = make_change(profile_id, version, fragments=fragments, snapshot=make_snapshot(address, status=status), **changes)
        async with self.database.transaction() as tx:
            await self._handlers["profile-changes"](tx, [to_record(change)])

    async def tell_edges(self, *edges: Incoming) -> list[object]:
        async with self.database.transaction() as tx:
            return list((await self._handlers["segment-changes"](tx, list(edges))).outcomes)

    async def decided(self) -> list[tuple[str, str | None]]:
        async with self.database.connection() as tx:
            rows = await tx.fetch("select campaign_id, reason from messages order by segment_id, seq, campaign_id")
        return [(row[0], row[1]) for row in rows]


@pytest.fixture
def desk(database: Database, engagement: Engagement) -> Desk:
    return Desk(database, engagement)


async def test_who_enters_with_consent_is_written_to_once(desk: Desk, database: Database) -> None:
    await start_campaign(database)
    ada = uuid4()
    await desk.tell_profile(ada, "ada@example.com")
    assert await desk.tell_edges(make_edge(ada)) == [HANDLED]
    assert await desk.tell_edges(make_edge(ada)) == [HANDLED], "redelivered"
    assert await desk.decided() == [("welcome", None)]
    await desk.tell_edges(make_edge(ada, seq=3))
    assert await desk.decided() == [("welcome", None), ("welcome", "already_sent")]


async def test_without_consent_nothing_goes_out_and_the_reason_is_kept(desk: Desk, database: Database) -> None:
    await start_campaign(database)
    bob = uuid4()
    await desk.tell_profile(bob, "bob@example.com", status="denied")
    await desk.tell_edges(make_edge(bob))
    assert await desk.decided() == [("welcome", "no_consent")]


async def test_an_entry_waits_for_the_profile_it_speaks_of(desk: Desk, database: Database) -> None:
    await start_campaign(database)
    eve = uuid4()
    (outcome,) = await desk.tell_edges(make_edge(eve, version=2))
    assert isinstance(outcome, Retry)
    await desk.tell_profile(eve, "eve@example.com", version=1)
    (outcome,) = await desk.tell_edges(make_edge(eve, version=2))
    assert isinstance(outcome, Retry)
    await desk.tell_profile(eve, "eve@example.com", version=2)
    assert await desk.tell_edges(make_edge(eve, version=2)) == [HANDLED]
    assert await desk.decided() == [("welcome", None)]


@pytest.mark.parametrize("cause", ["merge", "split", "edit", "backfill"])
async def test_nobody_is_written_to_for_what_they_did_not_do(desk: Desk, database: Database, cause: str) -> None:
    await start_campaign(database)
    ida = uuid4()
    await desk.tell_profile(ida, f"{cause}@example.com")
    await desk.tell_edges(make_edge(ida, cause=cause))
    assert await desk.decided() == []


async def test_a_day_holds_no_more_than_the_cap(desk: Desk, database: Database, engagement: Engagement) -> None:
    for name in ("a", "b", "c"):
        await start_campaign(database, name, name)
    async with database.transaction() as tx:
        await Library().set_daily_cap(tx, 2)
    uma = uuid4()
    await desk.tell_profile(uma, "uma@example.com")
    await desk.tell_edges(*(make_edge(uma, segment_id=name) for name in ("a", "b", "c")))
    assert await desk.decided() == [("a", None), ("b", None), ("c", "capped")]
    assert isinstance(engagement.clock, FakeClock)
    engagement.clock.set(datetime.fromisoformat("2026-03-02T00:00:00+00:00"))
    await desk.tell_edges(make_edge(uma, segment_id="c", seq=3))
    assert (await desk.decided())[-1] == ("c", None)


async def test_an_entry_of_an_absorbed_profile_is_answered_as_who_it_is_now(desk: Desk, database: Database) -> None:
    await start_campaign(database)
    device, person = uuid4(), uuid4()
    own = fragment_of("anonymous_id", "d1")
    await desk.tell_profile(device, "lia@example.com", fragments=(own,))
    both = (fragment_of("email", "lia@example.com"), own)
    await desk.tell_profile(person, "lia@example.com", version=7, fragments=both, membership=2)
    await desk.tell_edges(make_edge(device), make_edge(person, version=7))
    assert {reason for _, reason in await desk.decided()} == {None, "already_sent"}


def build_sender(database: Database, engagement: Engagement, mailer: Any, broker: FakeBroker) -> Sender:
    return Sender(
        database=database,
        outbox=FakeOutbox(broker.publisher()),
        engagement=engagement,
        mailer=mailer,
        public_url="http://127.0.0.1:1",
        new_owner=lambda: uuid4().int & ((1 << 62) - 1),
        pause_s=0.01,
    )


async def states_of(database: Database) -> list[str]:
    async with database.connection() as tx:
        return [row[0] for row in await tx.fetch("select state from messages order by created_at, id")]


async def reasons_of(database: Database) -> list[str | None]:
    async with database.connection() as tx:
        return [row[0] for row in await tx.fetch("select reason from messages order by created_at, id")]


CLAIMED = Claimed(UUID(int=7), "c", UUID(int=8), "ada@example.com", "shop@example.com", "Hello", "Dear Ada", None, 1)


async def run_sender_until(sender: Sender, database: Database, expected: list[str]) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(sender.run(stop))
    try:
        await eventually(lambda: states_of(database), until=lambda states: states == expected)
    finally:
        stop.set()
        await running


def build_mailer(port: int, engagement: Engagement) -> SmtpMailer:
    return SmtpMailer(
        host="127.0.0.1",
        port=port,
        username=None,
        password=None,
        use_tls=False,
        domain="example.com",
        timeout_s=5,
        clock=engagement.clock,
    )


async def queue_one(desk: Desk, database: Database, address: str) -> None:
    await start_campaign(database)
    profile_id = uuid4()
    await desk.tell_profile(profile_id, address)
    await desk.tell_edges(make_edge(profile_id))


async def test_a_message_reaches_the_server_with_one_click_unsubscribe_and_becomes_a_touchpoint(
    desk: Desk, database: Database, engagement: Engagement, mailbox: tuple[Mailbox, int]
) -> None:
    await queue_one(desk, database, "ann@example.com")
    broker = FakeBroker()
    await run_sender_until(build_sender(database, engagement, build_mailer(mailbox[1], engagement), broker), database, ["sent"])
    (envelope,) = mailbox[0].accepted
    text = envelope.content.decode()
    assert "Dear Ada" in text
    assert "Subject: Hello Ada" in text
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in text
    assert envelope.rcpt_tos == ["ann@example.com"]
    (record,) = broker.records("touchpoints")
    event = codec.decode(record)
    assert isinstance(event, TouchpointRecorded)
    assert (event.name, event.source_id, event.identifiers[0].value) == ("Email Sent", "engagement", "ann@example.com")


async def test_what_the_server_puts_off_is_tried_again_and_what_it_refuses_is_not(
    desk: Desk, database: Database, engagement: Engagement, mailbox: tuple[Mailbox, int]
) -> None:
    await queue_one(desk, database, "ben@example.com")
    mailbox[0].answers = ["451 later", "550 never"]
    assert isinstance(engagement.clock, FakeClock)
    stop = asyncio.Event()
    sender = build_sender(database, engagement, build_mailer(mailbox[1], engagement), FakeBroker())
    running = asyncio.create_task(sender.run(stop))
    await eventually(lambda: reasons_of(database), until=lambda reasons: reasons == ["answer 451"])
    engagement.clock.advance(timedelta(minutes=1))
    await eventually(lambda: states_of(database), until=lambda states: states == ["failed"])
    stop.set()
    await running
    assert mailbox[0].accepted == []


class CutOff:
    """A mailer whose process dies while the server may or may not have taken the message."""

    def __init__(self) -> None:
        self.tried = asyncio.Event()

    async def send(self, message: Claimed, *, unsubscribe_url: str) -> Delivery:
        self.tried.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")


async def test_a_send_that_was_cut_off_ends_uncertain_and_is_never_repeated(
    desk: Desk, database: Database, engagement: Engagement, mailbox: tuple[Mailbox, int]
) -> None:
    await queue_one(desk, database, "cat@example.com")
    cut_off = CutOff()
    dying = asyncio.create_task(build_sender(database, engagement, cut_off, FakeBroker()).run(asyncio.Event()))
    await cut_off.tried.wait()
    assert await states_of(database) == ["sending"]
    survivor = build_sender(database, engagement, build_mailer(mailbox[1], engagement), FakeBroker())
    stop = asyncio.Event()
    running = asyncio.create_task(survivor.run(stop))
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    await eventually(lambda: states_of(database), until=lambda states: states == ["uncertain"])
    stop.set()
    await running
    assert mailbox[0].accepted == []


@pytest.mark.parametrize(("answer", "expected"), [("250 taken", Delivered), ("451 later", NotYet), ("554 no", Refused)])
async def test_how_sure_we_are_follows_the_servers_answer(
    engagement: Engagement, mailbox: tuple[Mailbox, int], answer: str, expected: type
) -> None:
    mailbox[0].answers = [answer]
    assert isinstance(await build_mailer(mailbox[1], engagement).send(CLAIMED, unsubscribe_url="http://x/u/1"), expected)


@pytest.mark.parametrize("recipient", ["not an email", "a@b\x07.c", "a@b.example,c@d.example", "a@exam ple.com", "<a@b.example>"])
async def test_a_recipient_that_is_not_one_address_is_refused_before_the_server_is_asked(
    engagement: Engagement, mailbox: tuple[Mailbox, int], recipient: str
) -> None:
    message = replace(CLAIMED, recipient=recipient)
    assert isinstance(await build_mailer(mailbox[1], engagement).send(message, unsubscribe_url="http://x/u/1"), Refused)
    assert mailbox[0].accepted == []


async def test_a_sender_that_is_no_address_fails_the_message_and_nothing_else(
    engagement: Engagement, mailbox: tuple[Mailbox, int]
) -> None:
    message = replace(CLAIMED, sender="not an address")
    assert isinstance(await build_mailer(mailbox[1], engagement).send(message, unsubscribe_url="http://x/u/1"), Refused)


async def test_a_server_that_is_not_there_took_nothing(engagement: Engagement) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        delivery = await build_mailer(unused.getsockname()[1], engagement).send(CLAIMED, unsubscribe_url="http://x/u/1")
    assert isinstance(delivery, NotYet)


async def test_a_lost_answer_after_the_body_is_uncertain(engagement: Engagement) -> None:
    async def hang_up_after_data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        async for line in reader:
            if line.strip() == b".":
                break
            if line.startswith((b"EHLO", b"MAIL", b"RCPT")):
                writer.write(b"250 ok\r\n")
            elif line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up_after_data, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        delivery = await build_mailer(port, engagement).send(CLAIMED, unsubscribe_url="http://x/u/1")
    assert isinstance(delivery, Uncertain)
