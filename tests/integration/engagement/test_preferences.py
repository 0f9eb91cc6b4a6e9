"""The customer's own pages: one click out, and all preferences. The message's link is the key."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from libs.durable.outbox import FakeOutbox
from libs.events import codec
from libs.events.touchpoints import ConsentStatement, TouchpointRecorded
from libs.kit.auth import FixedAccess
from libs.kit.clock import FakeClock
from libs.kit.db import Database
from libs.kit.health import Health
from libs.kit.http import create_app
from libs.kit.ids import build_id_factory
from libs.messaging.fake_broker import FakeBroker
from libs.subscriber import Arrivals
from services.engagement.api.deps import ApiDeps
from services.engagement.api.preferences import WORDING_VERSION
from services.engagement.api.routes import build_router
from services.engagement.consumer import build_handlers
from services.engagement.domain.choices import MOST_CHOICES
from services.engagement.domain.links import build_token
from services.engagement.handlers import Engagement
from services.engagement.store import Library, PostgresOutreach
from tests.builders.changes import KEY, NOON, fragment_of, make_change, to_record
from tests.support.services import open_schema

ADDRESS = "ann@example.com"
MESSAGE = UUID(int=77)
LATER = "2026-03-01T12:00:05.000Z"


class Pages(NamedTuple):
    client: httpx.AsyncClient
    broker: FakeBroker
    token: str
    clock: FakeClock
    learn: Callable[[int, list[dict[str, str]]], Awaitable[None]]

    def said(self) -> list[TouchpointRecorded]:
        events = [codec.decode(record) for record in self.broker.records("touchpoints")]
        return [event for event in events if isinstance(event, TouchpointRecorded)]


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with open_schema(database_dsn, "engagement") as opened:
        async with opened.transaction() as tx:
            await tx.execute("truncate messages, triggers, sub_fragments, sub_profiles; truncate campaigns, templates cascade")
            await tx.execute("INSERT INTO templates VALUES ('t', 'T', 's', 'x', NULL, 1, $1, $1)", NOON)
            await tx.execute(
                "INSERT INTO campaigns VALUES ('c', 'C', 's', 't', 'marketing', 'a@b.example', true, '{}', $1)", NOON
            )
            fields = "id, campaign_id, fragment, profile_id, segment_id, seq, state, recipient, sender, subject, text, sent_on"
            await tx.execute(
                f"INSERT INTO messages ({fields}, created_at, updated_at)"
                " VALUES ($1, 'c', $2, $3, 's', 1, 'sent', $4, 'a@b.example', 's', 'x', $5, $6, $6)",
                MESSAGE,
                fragment_of("email", ADDRESS),
                uuid4(),
                ADDRESS,
                NOON.date(),
                NOON,
            )
        yield opened


@pytest.fixture
async def pages(database: Database) -> AsyncIterator[Pages]:
    clock = FakeClock(NOON)
    engagement = Engagement(PostgresOutreach(), KEY, clock, build_id_factory(clock), {"*": "denied"})
    arrivals = Arrivals(database, clock)
    broker = FakeBroker()
    access = FixedAccess(principals={})
    app = create_app(service="engagement", title="t", description="d", health=Health(), access=access, clock=clock)
    deps = ApiDeps(database, FakeOutbox(broker.publisher()), engagement, Library(), KEY, arrivals, "a@b.example")
    app.include_router(build_router(deps))
    consent = [
        {"purpose": "marketing", "channel": "*", "status": "granted", "at": LATER},
        {"purpose": "<b>research", "channel": "sms", "status": "denied", "at": "2026-01-01T00:00:00.000Z"},
    ]
    profile_id = uuid4()

    async def learn(version: int, consent: list[dict[str, str]]) -> None:
        fragments = (fragment_of("email", ADDRESS),)
        change = make_change(profile_id, version, fragments=fragments, snapshot={"consent": consent})
        async with database.transaction() as tx:
            await build_handlers(engagement, arrivals)["profile-changes"](tx, [to_record(change)])

    await learn(1, consent)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        yield Pages(client, broker, build_token(MESSAGE, KEY), clock, learn)
    await arrivals.close()


async def test_looking_changes_nothing_and_shows_every_purpose_and_channel(pages: Pages) -> None:
    for path in ("u", "preferences"):
        assert (await pages.client.get(f"/{path}/{pages.token}")).status_code == 200
    page = await pages.client.get(f"/preferences/{pages.token}")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert [page.text.count(word) for word in ("any channel", "<td>email</td>", "<td>sms</td>")] == [1, 1, 1]
    assert (page.text.count("<td>allowed</td>"), page.text.count("<td>not allowed</td>")) == (2, 1)
    assert "&lt;b&gt;research" in page.text
    assert pages.said() == []


async def test_a_choice_becomes_a_touchpoint_with_source_wording_and_proof_later_than_any_word(pages: Pages) -> None:
    form = {"purpose": "<b>research", "channel": "sms", "status": "granted"}
    page = await pages.client.post(f"/preferences/{pages.token}", data=form)
    assert (page.status_code, page.text.count("<td>allowed</td>")) == (200, 3)
    assert "Saved" in page.text
    (said,) = pages.said()
    assert (said.name, said.source_id, said.occurred_at) == ("Consent Changed", "engagement", NOON)
    assert said.identifiers[0].value == ADDRESS
    proof = f"preference page of message {MESSAGE}"
    assert said.consent == (ConsentStatement("<b>research", "sms", "granted", WORDING_VERSION, proof),)


async def test_who_changes_their_mind_again_and_again_is_heard_each_time(pages: Pages) -> None:
    for status in ("denied", "granted"):
        form = {"purpose": "marketing", "channel": "email", "status": status}
        assert (await pages.client.post(f"/preferences/{pages.token}", data=form)).status_code == 200
        pages.clock.advance(timedelta(seconds=10))
    assert (await pages.client.post(f"/u/{pages.token}")).status_code == 200
    said = pages.said()
    assert [one.consent[0].status for one in said] == ["denied", "granted", "denied"]
    assert len({one.id for one in said}) == 3
    assert said == sorted(said, key=lambda one: one.occurred_at)
    assert said[0].occurred_at.isoformat() == "2026-03-01T12:00:05.001000+00:00"  # after the word for every channel


async def test_a_click_out_that_is_repeated_within_the_minute_is_one_touchpoint_and_later_another(pages: Pages) -> None:
    for _ in range(3):
        assert (await pages.client.post(f"/u/{pages.token}")).status_code == 200
    assert len({one.id for one in pages.said()}) == 1
    # A grant in between may not have come to us yet: this one must be heard.
    pages.clock.advance(timedelta(minutes=1))
    assert (await pages.client.post(f"/u/{pages.token}")).status_code == 200
    assert len({one.id for one in pages.said()}) == 2


async def test_a_link_takes_so_many_choices_an_hour(pages: Pages) -> None:
    form = {"purpose": "marketing", "channel": "email", "status": "denied"}
    pages.clock.advance(timedelta(minutes=10))
    codes = [(await pages.client.post(f"/preferences/{pages.token}", data=form)).status_code for _ in range(MOST_CHOICES)]
    refused = await pages.client.post(f"/preferences/{pages.token}", data=form)
    assert set(codes) == {200}
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_choices")
    assert refused.headers["Retry-After"] == "3000"
    assert len(pages.said()) == MOST_CHOICES == 20
    assert (await pages.client.post(f"/u/{pages.token}")).status_code == 200  # out is always possible
    pages.clock.advance(timedelta(minutes=50))
    assert (await pages.client.post(f"/preferences/{pages.token}", data=form)).status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"purpose": "marketing", "channel": "fax", "status": "granted"},
        {"purpose": "other", "channel": "email", "status": "granted"},
        {"purpose": "marketing", "channel": "email", "status": "maybe"},
        {},
    ],
)
async def test_what_the_page_does_not_show_can_not_be_chosen(pages: Pages, form: dict[str, str]) -> None:
    answer = await pages.client.post(f"/preferences/{pages.token}", data=form)
    assert (answer.status_code, answer.json()["code"]) == (422, "preference_unknown")
    assert pages.said() == []


async def test_a_made_up_link_leads_nowhere(pages: Pages) -> None:
    for path in ("u", "preferences"):
        assert (await pages.client.get(f"/{path}/{pages.token[:-4]}AAAA")).status_code == 404
