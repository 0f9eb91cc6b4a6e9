"""Engagement's HTTP on the real database: templates, campaigns and policies, and commands that are sent twice."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from libs.durable.outbox import FakeOutbox
from libs.kit.auth import FixedAccess, Principal
from libs.kit.clock import FakeClock
from libs.kit.db import Database
from libs.kit.health import Health
from libs.kit.http import create_app
from libs.kit.ids import build_id_factory
from libs.messaging.fake_broker import FakeBroker
from libs.subscriber import Arrivals
from services.engagement.api.deps import ApiDeps
from services.engagement.api.routes import build_router
from services.engagement.handlers import Engagement
from services.engagement.store import Library, PostgresOutreach
from tests.builders.changes import KEY, NOON
from tests.support.services import open_schema

HELLO = {"id": "hello", "name": "Hello", "subject": "Hello {{ traits.first_name }}", "text": "Welcome."}
WELCOME = {"id": "welcome", "name": "Welcome", "segment_id": "customers", "template_id": "hello"}


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with open_schema(database_dsn, "engagement") as opened:
        async with opened.transaction() as tx:
            await tx.execute("truncate messages, triggers, policies, idempotency_keys; truncate campaigns, templates cascade")
        yield opened


@pytest.fixture
async def api(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    clock = FakeClock(NOON)
    access = FixedAccess(principals={"staff": Principal("staff", frozenset({"engagement:read", "engagement:write"}))})
    app = create_app(service="engagement", title="t", description="d", health=Health(), access=access, clock=clock)
    arrivals = Arrivals(database, clock)
    deps = ApiDeps(
        database=database,
        outbox=FakeOutbox(FakeBroker().publisher()),
        engagement=Engagement(PostgresOutreach(), KEY, clock, build_id_factory(clock)),
        library=Library(),
        identity_key=KEY,
        arrivals=arrivals,
        default_sender="Shop <shop@example.com>",
    )
    app.include_router(build_router(deps))
    headers = {"Authorization": "Bearer staff"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t", headers=headers) as client:
        yield client
    await arrivals.close()


async def items(api: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get(path)).raise_for_status().json()["items"]
    return found


async def test_a_campaign_from_its_template_to_a_pause(api: httpx.AsyncClient) -> None:
    assert (await api.post("/v1/templates", json=HELLO)).status_code == 201
    made = await api.post("/v1/campaigns", json=WELCOME)
    assert (made.status_code, made.json()["active"], made.json()["sender"]) == (201, True, "Shop <shop@example.com>")
    paused = await api.patch("/v1/campaigns/welcome", json={"active": False})
    assert (paused.status_code, paused.json()["active"]) == (200, False)
    assert [(one["id"], one["active"]) for one in await items(api, "/v1/campaigns")] == [("welcome", False)]


async def test_a_template_is_replaced_by_its_id(api: httpx.AsyncClient) -> None:
    await api.post("/v1/templates", json=HELLO)
    replaced = await api.put("/v1/templates/hello", json=HELLO | {"subject": "Dear {{ traits.first_name }}"})
    assert replaced.status_code == 200
    assert [one["subject"] for one in await items(api, "/v1/templates")] == ["Dear {{ traits.first_name }}"]


async def test_a_template_that_does_not_parse_is_refused_where_it_is_wrong(api: httpx.AsyncClient) -> None:
    refused = await api.post("/v1/templates", json=HELLO | {"subject": "{{ unclosed"})
    assert (refused.status_code, refused.json()["code"]) == (422, "template_invalid")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/subject"]
    assert await items(api, "/v1/templates") == []


@pytest.mark.parametrize("text", ["{{ x | no_such_filter }}", "{% include 'x' %}"])
async def test_a_template_that_names_what_there_is_not_is_refused(api: httpx.AsyncClient, text: str) -> None:
    refused = await api.post("/v1/templates", json=HELLO | {"text": text})
    assert (refused.status_code, [error["pointer"] for error in refused.json()["errors"]]) == (422, ["#/text"])


@pytest.mark.parametrize(
    "odd",
    [
        {"causes": ["bogus"]},
        {"causes": []},
        {"sender": "not an address"},
        {"sender": "a@b.c\r\nBcc: z@z.z"},
        {"name": "a\0b"},
        {"segment_id": "\ud800"},
    ],
)
async def test_a_campaign_that_could_never_send_is_refused(api: httpx.AsyncClient, odd: dict[str, Any]) -> None:
    await api.post("/v1/templates", json=HELLO)
    refused = await api.post("/v1/campaigns", content=json.dumps(WELCOME | odd), headers={"content-type": "application/json"})
    assert refused.status_code == 422
    assert await items(api, "/v1/campaigns") == []


async def test_lists_come_in_pages(api: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await api.post("/v1/templates", json=HELLO | {"id": name})
        await api.post("/v1/campaigns", json=WELCOME | {"id": name, "template_id": name})
    for path in ("/v1/templates", "/v1/campaigns"):
        first = (await api.get(path, params={"limit": 2})).json()
        rest = (await api.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert [one["id"] for one in first["items"] + rest["items"]] == ["a", "b", "c"]
        assert rest["next_cursor"] is None
        assert (await api.get(path, params={"limit": -1})).status_code == 422


@pytest.mark.parametrize("path", ["/v1/messages?campaign=%00", "/v1/messages?state=bogus", "/v1/messages?limit=0"])
async def test_a_question_that_has_no_answer_is_refused(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 422


async def test_a_cap_beyond_all_bounds_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.put("/v1/policies", json={"daily_cap": 2**31})).status_code == 422


async def test_a_campaign_needs_its_template(api: httpx.AsyncClient) -> None:
    refused = await api.post("/v1/campaigns", json=WELCOME)
    assert (refused.status_code, refused.json()["code"]) == (404, "template_not_found")
    assert (await api.patch("/v1/campaigns/welcome", json={"active": True})).json()["code"] == "campaign_not_found"


async def test_the_cap_is_written_and_read(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/policies")).json() == {"daily_cap": None}
    assert (await api.put("/v1/policies", json={"daily_cap": 2})).json() == {"daily_cap": 2}
    assert (await api.get("/v1/policies")).json() == {"daily_cap": 2}


async def test_a_command_sent_twice_with_its_key_is_done_once(api: httpx.AsyncClient) -> None:
    await api.post("/v1/templates", json=HELLO)
    key = {"Idempotency-Key": "k1"}
    first = await api.post("/v1/campaigns", json=WELCOME, headers=key)
    await api.patch("/v1/campaigns/welcome", json={"active": False})
    again = await api.post("/v1/campaigns", json=WELCOME, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (201, first.json(), "true")
    assert [one["active"] for one in await items(api, "/v1/campaigns")] == [False]
    other = await api.post("/v1/campaigns", json=WELCOME | {"name": "Other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_refused_command_leaves_its_key_free(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k1"}
    assert (await api.post("/v1/campaigns", json=WELCOME, headers=key)).status_code == 404
    await api.post("/v1/templates", json=HELLO)
    assert (await api.post("/v1/campaigns", json=WELCOME, headers=key)).status_code == 201
