"""Sources, plans, suppression and the debugger on real Kafka, PostgreSQL and Redis, over several processes' worth of gateways."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import anyio
import httpx
import psutil
import pytest
import uvicorn

from cli.commands.watch import follow_events, parse_events, render_event
from cli.errors import CliError
from libs.events.codec import encode
from libs.events.privacy import PrivacyRequested
from libs.events.topics import PRIVACY_REQUESTS
from libs.kit.auth import create_api_key
from libs.kit.http import get_entry
from services.ingest.adapters.source_log import KafkaSourceLog
from services.ingest.api.debugger import TOPICS
from services.ingest.main import build, create_app
from services.ingest.settings import Settings
from tests.integration.ingest.conftest import STAFF, Ingest, run_ingest
from tests.support.eventually import eventually

WITHIN_S = 5.0
"""Every change is in force everywhere by then."""


@pytest.fixture
async def other(settings: Settings, ingest: Ingest) -> AsyncIterator[httpx.AsyncClient]:
    """A second gateway of the same installation."""
    async with build(settings) as deps:
        transport = httpx.ASGITransport(app=create_app(deps), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest.test", timeout=30) as client:
            yield client


async def make_source(ingest: Ingest, **changes: Any) -> tuple[str, dict[str, str]]:
    name = f"shop-{uuid4().hex[:8]}"
    made = await ingest.client.post("/v1/sources", json={"id": name, "name": name, "kind": "web", **changes}, headers=STAFF)
    assert made.status_code == 201, made.text
    key = await ingest.client.post(f"/v1/sources/{name}/keys", headers=STAFF)
    return name, {"X-Write-Key": key.json()["write_key"]}


def make_call(user: str = "u1", event: str = "E", **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "userId": user, "messageId": uuid4().hex, **more}


async def get(ingest: Ingest, path: str, **params: Any) -> Any:
    answer = await ingest.client.get(path, params=params, headers=STAFF)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(ingest: Ingest, path: str, body: Any = None, **headers: str) -> httpx.Response:
    return await ingest.client.post(path, json=body, headers={**STAFF, **headers})


class TestEverywhere:
    async def test_a_change_is_in_force_on_every_gateway_within_five_seconds(
        self, ingest: Ingest, other: httpx.AsyncClient
    ) -> None:
        name, key = await make_source(ingest)

        async def status(**headers: str) -> int:
            return (await other.post("/v1/t", json=make_call(), headers={**key, **headers})).status_code

        await eventually(status, until=lambda code: code == 200, within_s=WITHIN_S)
        for change, headers, expected in (
            ({"allowed_origins": ["https://shop.example"]}, {"Origin": "https://evil.example"}, 403),
            ({"allowed_origins": []}, {"Origin": "https://evil.example"}, 200),
            ({"max_events_per_s": 1}, {}, 429),
            ({"max_events_per_s": None}, {}, 200),
        ):
            assert (await ingest.client.patch(f"/v1/sources/{name}", json=change, headers=STAFF)).status_code == 200
            await eventually(lambda: status(**headers), until=lambda code: code == expected, within_s=WITHIN_S)  # noqa: B023
        listed = (await get(ingest, f"/v1/sources/{name}/keys"))["items"]
        assert (await ingest.client.delete(f"/v1/sources/{name}/keys/{listed[0]['id']}", headers=STAFF)).status_code == 204
        await eventually(status, until=lambda code: code == 401, within_s=WITHIN_S)

    async def test_what_gateways_counted_adds_up(self, ingest: Ingest, other: httpx.AsyncClient) -> None:
        name, key = await make_source(ingest, allowed_origins=["https://shop.example"])
        await eventually(
            lambda: other.post("/v1/t", json=make_call(), headers=key), until=lambda answer: answer.status_code == 200
        )
        order = make_call(event="Order Completed", properties={"order_id": "o", "revenue": 1, "currency": "eur"})
        batch = {"batch": [make_call(), order, make_call(userId=None), {}]}
        assert (await ingest.client.post("/v1/batch", json=batch, headers=key)).status_code == 200
        await other.post("/v1/t", json=make_call(), headers={**key, "Origin": "https://evil.example"})
        expected = {
            "accepted": 3,
            "rejected": {"no_identifier": 1, "unknown_kind": 1},
            "suppressed": 0,
            "flagged": {"currency_case": 1},
            "refused": {"origin_not_allowed": 1},
        }
        shown = await eventually(
            lambda: get(ingest, f"/v1/sources/{name}"), until=lambda one: one["today"] == expected, within_s=WITHIN_S
        )
        assert datetime.now(UTC) - datetime.fromisoformat(shown["last_seen_at"]) < timedelta(minutes=1)
        assert shown["tracking_plan"] is None
        days = (await get(ingest, f"/v1/sources/{name}/stats"))["items"]
        assert days == [{"day": days[0]["day"], **expected}]
        long_ago = await get(ingest, f"/v1/sources/{name}/stats", **{"from": "2020-01-01", "to": "2020-01-31"})
        assert long_ago["items"] == []

    @pytest.mark.parametrize(
        "change",
        [
            {"allowed_origins": ["shop.example"]},
            {"allowed_origins": None},
            {"max_events_per_s": 0},
            {"burst_events": -1},
            {"ip_policy": "some"},
            {"ip_policy": None},
        ],
    )
    async def test_a_change_that_makes_no_sense_is_refused(self, ingest: Ingest, change: dict[str, Any]) -> None:
        answer = await ingest.client.patch("/v1/sources/dev-web", json=change, headers=STAFF)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")

    async def test_stats_need_a_source_and_a_range(self, ingest: Ingest) -> None:
        assert (await ingest.client.get("/v1/sources/nobody/stats", headers=STAFF)).status_code == 404
        backwards = {"from": "2026-02-01", "to": "2026-01-01"}
        assert (await ingest.client.get("/v1/sources/dev-web/stats", params=backwards, headers=STAFF)).status_code == 422


STRICT = {"properties": {"properties": {"required": ["order_id"], "properties": {"order_id": {"type": "string"}}}}}
LOOSE: dict[str, Any] = {"properties": {"properties": {"properties": {"order_id": {"type": ["string", "integer"]}}}}}


def make_plan(schema: dict[str, Any] = STRICT, **changes: Any) -> dict[str, Any]:
    return {"name": "Shop", "events": {"Checkout Started": {"schema": schema}}, "violations": "block", **changes}


class TestPlans:
    async def test_from_the_first_draft_to_a_replay(self, ingest: Ingest, other: httpx.AsyncClient) -> None:
        name, key = await make_source(ingest)
        checkout = make_call(event="Checkout Started", properties={"order_id": 7, "email": "ada@example.com"})
        assert (await ingest.client.post("/v1/batch", json={"batch": [checkout, make_call()]}, headers=key)).status_code == 200

        made = await post(ingest, "/v1/tracking-plans", {"id": name, **make_plan()})
        assert (made.status_code, made.headers["location"]) == (201, f"/v1/tracking-plans/{name}")
        assert (made.headers["etag"], made.json()["active_version"]) == ('"1"', None)
        assert (await ingest.client.put(f"/v1/tracking-plans/{name}/sources/{name}", headers=STAFF)).status_code == 204

        run = (await post(ingest, f"/v1/tracking-plans/{name}/dry-run", {})).json()
        assert {word: run[word] for word in ("judged", "passed", "blocked", "flagged", "omitted")} == {
            "judged": 2, "passed": 1, "blocked": 1, "flagged": 0, "omitted": 0,
        }  # fmt: skip
        assert run["violations"][0]["place"].endswith("/order_id/type")
        assert run["violations"][0]["samples"][0]["message"]["properties"]["order_id"] == 7

        assert (await post(ingest, f"/v1/tracking-plans/{name}/activate", {"version": 1})).json()["active_version"] == 1
        headers = {**key, "Prefer": "return=representation"}

        async def send_elsewhere() -> list[str]:
            call = make_call(event="Checkout Started", properties={"order_id": "o"}, traits={"a": 1})
            answer = await other.post("/v1/batch", json={"batch": [call, {**call, "properties": {}}]}, headers=headers)
            return [one["reason"] for one in answer.json().get("rejected", [])]

        await eventually(send_elsewhere, until=lambda reasons: reasons == ["plan_violation"], within_s=WITHIN_S)
        blocked = make_call(event="Checkout Started", properties={"order_id": 8})
        assert (await ingest.client.post("/v1/t", json=blocked, headers=key)).status_code == 200
        await eventually(
            lambda: get(ingest, "/v1/rejections", source=name, reason="plan_violation"),
            until=lambda page: len(page["items"]) == 2,
        )
        summary = (await get(ingest, "/v1/rejections/summary", source=name, samples=1))["items"]
        assert [(one["reason"], one["count"], len(one["samples"])) for one in summary] == [("plan_violation", 2, 1)]

        async def list_violations() -> Any:
            return (await get(ingest, f"/v1/tracking-plans/{name}/violations", source=name))["items"]

        violations = await eventually(list_violations, until=lambda found: len(found) == 2)
        assert {(one["event"], one["version"], one["source"], one["count"]) for one in violations} == {
            ("Checkout Started", 1, name, 1)
        }
        samples = [one["samples"][0]["message"]["properties"] for one in violations]
        assert sorted(samples, key=str) == [{"order_id": 8}, {}]

        changed = await ingest.client.put(
            f"/v1/tracking-plans/{name}", json=make_plan(LOOSE), headers={**STAFF, "If-Match": '"1"'}
        )
        assert (changed.status_code, changed.json()["version"], changed.json()["active_version"]) == (200, 2, 1)
        await post(ingest, f"/v1/tracking-plans/{name}/activate", {"version": 2})
        assert (await post(ingest, "/v1/rejections/replay", {"source": name})).json()["replayed"] == 2
        logged = await ingest.events("touchpoints", 10_000)
        assert blocked["messageId"] in {event.message_id for event in logged}
        assert (await get(ingest, f"/v1/sources/{name}"))["tracking_plan"] == name

        assert (await ingest.client.delete(f"/v1/tracking-plans/{name}/sources/{name}", headers=STAFF)).status_code == 204
        assert (await ingest.client.delete(f"/v1/tracking-plans/{name}/sources/{name}", headers=STAFF)).status_code == 404

    async def test_versions_never_change_and_the_same_again_makes_none(self, ingest: Ingest) -> None:
        name = f"plan-{uuid4().hex[:8]}"
        path = f"/v1/tracking-plans/{name}"
        await post(ingest, "/v1/tracking-plans", {"id": name, **make_plan()})
        assert (await ingest.client.put(path, json=make_plan(), headers=STAFF)).json()["version"] == 1
        stale = {**STAFF, "If-Match": '"7"'}
        refused = await ingest.client.put(path, json=make_plan(LOOSE), headers=stale)
        assert (refused.status_code, refused.json()["code"]) == (412, "tracking_plan_changed")
        await ingest.client.put(path, json=make_plan(LOOSE), headers=STAFF)
        versions = (await get(ingest, f"{path}/versions"))["items"]
        assert [version["version"] for version in versions] == [2, 1]
        first = await get(ingest, f"{path}/versions/1")
        assert first["document"]["events"]["Checkout Started"]["schema"] == STRICT
        assert name in {plan["id"] for plan in (await get(ingest, "/v1/tracking-plans", limit=500))["items"]}

    async def test_what_makes_no_sense_is_told_with_its_place(self, ingest: Ingest) -> None:
        wrong = make_plan({"properties": {"properties": {"$ref": "http://elsewhere.example/s"}}})
        answer = await post(ingest, "/v1/tracking-plans", wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_tracking_plan")
        assert answer.json()["errors"][0]["pointer"] == "#/events/Checkout Started/schema/properties/properties/$ref"
        name = f"plan-{uuid4().hex[:8]}"
        await post(ingest, "/v1/tracking-plans", {"id": name, **make_plan()})
        for path, body, status in (
            ("/v1/tracking-plans", {"id": name, **make_plan()}, 409),
            ("/v1/tracking-plans", make_plan(violations="maybe"), 422),
            ("/v1/tracking-plans", {**make_plan(), "name": "!!!"}, 422),
            (f"/v1/tracking-plans/{name}/activate", {"version": 9}, 404),
            (f"/v1/tracking-plans/{name}/dry-run", {}, 422),
            (f"/v1/tracking-plans/{name}/dry-run", {"version": 3}, 404),
            ("/v1/tracking-plans/nobody/dry-run", {}, 404),
        ):
            assert (await post(ingest, path, body)).status_code == status, path
        for path in (f"/v1/tracking-plans/{name}/sources/nobody", "/v1/tracking-plans/nobody/sources/dev-web"):
            assert (await ingest.client.put(path, headers=STAFF)).status_code == 404


class TestSuppression:
    async def request(self, ingest: Ingest, kind: Any, user: str, **more: Any) -> None:
        fragment = ingest.deps.runtime.identity_key.fragment_id("user_id", user)
        now = datetime.now(UTC)
        event = PrivacyRequested(request_id=uuid4(), kind=kind, fragments=(fragment,), at=now, **more)
        record = encode(
            event, topic=PRIVACY_REQUESTS, key=fragment, event_id=str(uuid4()), source="profile", time=now, received_ms=0
        )
        await ingest.deps.runtime.publisher.publish([record])

    async def test_a_request_on_the_bus_is_heard_by_every_gateway_and_a_lift_too(
        self, ingest: Ingest, other: httpx.AsyncClient
    ) -> None:
        name, key = await make_source(ingest)
        user = uuid4().hex
        for kind, grown in (("suppress", True), ("lift", False)):
            await self.request(ingest, kind, user)
            for client in (ingest.client, other):

                async def is_dropped(client: httpx.AsyncClient = client, grown: bool = grown) -> bool:
                    before = await get(ingest, f"/v1/sources/{name}")
                    call = make_call(user)
                    answer = await client.post("/v1/t", json=call, headers=key)
                    if answer.status_code != 200:
                        return not grown
                    await eventually(
                        lambda: get(ingest, f"/v1/sources/{name}"),
                        until=lambda now: sum_up(now) > sum_up(before),
                        within_s=WITHIN_S,
                    )
                    after = await get(ingest, f"/v1/sources/{name}")
                    return after["today"]["suppressed"] > before["today"]["suppressed"]

                await eventually(is_dropped, until=lambda dropped, grown=grown: dropped is grown, within_s=20)

    async def test_what_is_erased_stays_so_over_a_lift(self, ingest: Ingest) -> None:
        name, key = await make_source(ingest, kind="server")
        user = uuid4().hex
        await self.request(ingest, "erase_and_suppress", user, cutoff=datetime.now(UTC))
        await self.request(ingest, "lift", user)
        rules = ingest.deps.api.governance.rules
        fragment = ingest.deps.runtime.identity_key.fragment_id("user_id", user)
        await eventually(lambda: (said := rules.suppressions.get(fragment)) is not None and not said.suppressed)
        old, new = make_call(user, timestamp="2020-01-01T00:00:00Z"), make_call(user)
        assert (await ingest.client.post("/v1/batch", json={"batch": [old, new]}, headers=key)).status_code == 200
        today = (await get(ingest, f"/v1/sources/{name}"))["today"]
        assert (today["accepted"], today["suppressed"]) == (1, 1)


def sum_up(shown: Any) -> int:
    return int(shown["today"]["accepted"]) + int(shown["today"]["suppressed"])


@asynccontextmanager
async def serve(ingest: Ingest) -> AsyncIterator[str]:
    """The gateway behind a real socket: a stream that never ends needs one."""
    app = create_app(ingest.deps)
    server = uvicorn.Server(uvicorn.Config(get_entry(app), port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=5))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        app.state.stopping.set()
        server.should_exit = True
        await task


def count_connections() -> int:
    """Of this process, to anybody."""
    return sum(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process().net_connections("tcp"))


class TestDebugger:
    async def watch(self, url: str, source: str, count: int, headers: dict[str, str]) -> list[tuple[str, Any]]:
        """The first `count` events, `live` among them."""
        found: list[tuple[str, Any]] = []
        lines: list[str] = []
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", f"{url}/v1/sources/{source}/events", headers=headers) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                lines.append(line)
                found = list(parse_events(lines))
                if len(found) == count:
                    break
        return found

    async def test_it_shows_what_came_and_then_what_comes_whichever_gateway_took_it(
        self, ingest: Ingest, other: httpx.AsyncClient
    ) -> None:
        name, key = await make_source(ingest)
        await ingest.client.post("/v1/batch", json={"batch": [make_call("before"), {}]}, headers=key)
        await ingest.client.post("/v1/t", json=make_call("somebody"), headers={"X-Write-Key": "dev-write-key"})
        async with serve(ingest) as url:
            watching = asyncio.create_task(self.watch(url, name, 4, STAFF))

            async def send() -> bool:
                await other.post("/v1/t", json=make_call("after"), headers=key)
                return watching.done()

            await eventually(send, pause_s=0.3)
            events = await watching
        kinds = [kind for kind, _ in events]
        assert sorted(kinds[:2]) == ["accepted", "rejected"]
        users = [event["identifiers"][0]["value"] for kind, event in events if kind == "accepted"]
        assert (users[0], set(users[1:]) <= {"after"}) == ("before", True)
        refused = next(event for kind, event in events if kind == "rejected")
        assert (refused["reason"], refused["path"]) == ("unknown_kind", "/v1/batch")

    async def test_without_the_scope_nobody_is_shown(self, ingest: Ingest) -> None:
        name, key = await make_source(ingest)
        async with ingest.deps.runtime.database.transaction() as tx:
            limited = {"Authorization": f"Bearer {await create_api_key(tx, name, ['sources:read'])}"}
        await ingest.deps.runtime.access.refresh()
        call = make_call(
            "ada-lovelace", properties={"name": "ada-lovelace"}, context={"traits": {"email": "ada-lovelace@x.example"}}
        )
        bad = {"userId": "ada-lovelace", "event": "Order Completed", "type": "track", "properties": {"revenue": -1}}
        await ingest.client.post("/v1/batch", json={"batch": [call, bad]}, headers=key)
        async with serve(ingest) as url:
            events = await self.watch(url, name, 3, limited)
            assert sorted(kind for kind, _ in events) == ["accepted", "live", "rejected"]
            assert "ada-lovelace" not in str(events)
            assert "ada-lovelace" in str(await self.watch(url, name, 3, STAFF))

    async def test_an_open_stream_does_not_hold_up_the_stop(self, ingest: Ingest) -> None:
        name, key = await make_source(ingest)
        await ingest.client.post("/v1/t", json=make_call(), headers=key)
        reading = asyncio.Event()
        async with serve(ingest) as url:

            async def read_to_the_end() -> None:
                headers = STAFF
                async with (
                    httpx.AsyncClient(timeout=30) as client,
                    client.stream("GET", f"{url}/v1/sources/{name}/events", headers=headers) as answer,
                ):
                    async for line in answer.aiter_lines():
                        if line.startswith("event: live"):
                            reading.set()

            reader = asyncio.create_task(read_to_the_end())
            await reading.wait()
            began = time.monotonic()
        await reader
        assert time.monotonic() - began < 4

    async def test_the_command_reads_it(self, ingest: Ingest) -> None:
        name, key = await make_source(ingest)
        await ingest.client.post("/v1/t", json=make_call("u7", event="Store Visited"), headers=key)
        async with serve(ingest) as url:

            def read(api_key: str) -> list[str]:
                lines = []
                for kind, event in follow_events(f"{url}/v1/sources/{name}/events", api_key):
                    if kind == "live":
                        break
                    lines.append(render_event(kind, event))
                return lines

            lines = await asyncio.to_thread(read, "dev-api-key")
            assert [line.partition("  ")[2] for line in lines] == ["taken     Store Visited (server)  user_id:u7"]
            with pytest.raises(CliError, match="API key"):
                await asyncio.to_thread(read, "nobody")

    async def test_only_so_many_may_watch_and_a_place_that_is_left_is_free(self, settings: Settings) -> None:
        async with run_ingest(settings.model_copy(update={"max_watchers": 1})) as ingest, serve(ingest) as url:
            path = f"{url}/v1/sources/dev-web/events"

            async def ask() -> int:
                async with httpx.AsyncClient() as client, client.stream("GET", path, headers=STAFF) as answer:
                    if answer.status_code == 200:
                        await anext(answer.aiter_lines())
                    return answer.status_code

            async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", path, headers=STAFF) as answer:
                await anext(answer.aiter_lines())
                assert await ask() == 429
            assert await eventually(ask, until=lambda status: status == 200) == 200

    async def test_who_leaves_at_whatever_moment_leaves_no_connection_behind(self, settings: Settings) -> None:
        """Who is gone is cancelled while it connects, looks back or reads on, and at each await of the clearing up as well."""
        kept = count_connections()
        gc.disable()  # it would close what nobody holds any more
        try:
            async with KafkaSourceLog(settings.platform) as log:
                for wait_s in (0.0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.02, 0.05, 0.1, 0.5):
                    with anyio.move_on_after(wait_s) as scope:
                        async with log.open_view(["dev-web"], TOPICS) as view:
                            await view.look_back(100)
                            while True:
                                await view.read_on()
                    assert scope.cancelled_caught
            assert count_connections() == kept
        finally:
            gc.enable()

    async def test_it_takes_a_source_and_a_scope(self, ingest: Ingest) -> None:
        assert (await ingest.client.get("/v1/sources/nobody/events", headers=STAFF)).status_code == 404
        assert (await ingest.client.get("/v1/sources/dev-web/events")).status_code == 401
