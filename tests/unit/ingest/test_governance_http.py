"""What a source may do, as its senders meet it: origins, limits, addresses, plans; and what is counted of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from libs.kit.auth import Source
from services.ingest.adapters.limiters import ProcessLimiter
from services.ingest.domain.plans import Plan, PlanDocument
from services.ingest.handlers.governance import Governance, LiveRules
from services.ingest.settings import Settings
from tests.support.intake import BROWSER, SERVER, World, make_track

SHOP = replace(BROWSER, allowed_origins=("https://shop.example",))
OWN = {"touchpoints": [{"name": "E", "identifiers": {"user_id": "u1"}}]}


def make_world(source: Source, **options: Any) -> World:
    return World(sources={"key": source}, **options)


async def post(world: World, path: str = "/v1/track", body: Any = None, **headers: str) -> httpx.Response:
    async with world.client(headers={"X-Write-Key": "key", **headers}) as client:
        return await client.post(path, json=body or {"userId": "u1", "event": "E"})


def count(world: World) -> dict[str, int]:
    counts = world.governance.tallies.counts()
    return {":".join(filter(None, one.outcome)): one.total for one in counts}


class TestOrigins:
    @pytest.mark.parametrize(
        ("path", "body"), [("/v1/t", None), ("/v1/batch", {"batch": [make_track()]}), ("/v1/touchpoints", OWN)]
    )
    async def test_a_browser_key_is_refused_on_another_website(self, path: str, body: Any) -> None:
        world = make_world(SHOP)
        answer = await post(world, path, body, Origin="https://evil.example")
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
        assert (world.recorded(), world.rejected()) == ([], [])
        assert count(world) == {"refused:origin_not_allowed": 1}
        assert (await post(world, path, body, Origin="https://Shop.example")).status_code == 200

    async def test_a_tracking_answer_tells_the_sdk_and_the_browser(self) -> None:
        answer = await post(make_world(SHOP), Origin="null")
        assert answer.json()["message"]
        assert answer.headers["access-control-allow-origin"] == "*"

    async def test_a_pixel_is_an_image_all_the_same_and_nothing_is_taken(self) -> None:
        world = make_world(SHOP)
        async with world.client(headers={"Origin": "https://evil.example"}) as client:
            answer = await client.get("/v1/pixel/track?writeKey=key&userId=u1&event=E")
        assert (answer.status_code, answer.headers["content-type"], world.recorded()) == (200, "image/gif", [])

    async def test_without_an_origin_or_a_list_anybody_may(self) -> None:
        assert (await post(make_world(SHOP))).status_code == 200
        assert (await post(make_world(BROWSER), Origin="https://any.example")).status_code == 200

    async def test_a_servers_key_ignores_it(self) -> None:
        world = make_world(replace(SERVER, allowed_origins=("https://shop.example",)))
        assert (await post(world, Origin="https://evil.example")).status_code == 200


class TestLimits:
    def make_world(self, per_s: int, burst: int | None) -> World:
        source = replace(SERVER, max_events_per_s=per_s, burst_events=burst)
        world = make_world(source)
        governance = Governance(limiter=ProcessLimiter(world.clock))
        return make_world(source, clock=world.clock, governance=governance)

    async def test_above_its_limit_a_source_is_told_when_to_come_again(self) -> None:
        world = self.make_world(per_s=2, burst=3)
        statuses = [(await post(world)).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        answer = await post(world, "/v1/batch", {"batch": [make_track()] * 3})
        assert (answer.json()["code"], bool(answer.json()["message"])) == ("rate_limited", True)
        assert answer.headers["retry-after"] == answer.headers["x-ratelimit-reset"] == "2"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert count(world) == {"accepted": 3, "refused:rate_limited": 2}
        world.clock.advance(timedelta(seconds=2))
        assert (await post(world, "/v1/batch", {"batch": [make_track()] * 3})).status_code == 200

    async def test_events_count_not_requests_and_a_large_batch_gets_through_when_nothing_is_owed(self) -> None:
        world = self.make_world(per_s=10, burst=None)
        assert (await post(world, "/v1/batch", {"batch": [make_track()] * 40})).status_code == 200
        answer = await post(world, "/v1/touchpoints", OWN)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "4")

    async def test_sources_do_not_share_a_limit(self) -> None:
        world = self.make_world(per_s=1, burst=1)
        world.access._sources["other"] = replace(SERVER, id="other", max_events_per_s=1)
        for key in ("key", "other"):
            async with world.client(headers={"X-Write-Key": key}) as client:
                statuses = [(await client.post("/v1/track", json={"userId": "u", "event": "E"})).status_code for _ in range(2)]
            assert statuses == [200, 429]


class TestAddresses:
    async def send(self, source: Source, context: Any = None, *, proxies: str = "", **headers: str) -> Any:
        world = make_world(source, settings=Settings(trusted_proxies=proxies))
        body = {"userId": "u1", "event": "E", **({"context": context} if context else {})}
        transport = httpx.ASGITransport(app=world.build_app(), client=("198.51.100.77", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest.test") as client:
            await client.post("/v1/track", json=body, headers={"X-Write-Key": "key", **headers})
        return msgspec.json.decode(world.recorded()[0].context).get("ip")

    async def test_by_default_none_is_kept(self) -> None:
        assert await self.send(BROWSER, {"ip": "203.0.113.9"}) is None
        assert await self.send(BROWSER) is None

    async def test_a_browsers_is_the_connections_a_servers_only_what_it_says(self) -> None:
        assert await self.send(replace(BROWSER, ip_policy="truncated")) == "198.51.100.0"
        assert await self.send(replace(BROWSER, ip_policy="full")) == "198.51.100.77"
        assert await self.send(replace(SERVER, ip_policy="full")) is None
        assert await self.send(replace(SERVER, ip_policy="truncated"), {"ip": "203.0.113.9"}) == "203.0.113.0"

    async def test_a_proxy_is_believed_where_it_is_ours(self) -> None:
        source, forwarded = replace(BROWSER, ip_policy="full"), {"X-Forwarded-For": "203.0.113.9"}
        assert await self.send(source, **forwarded) == "198.51.100.77"
        assert await self.send(source, proxies="198.51.100.0/24", **forwarded) == "203.0.113.9"


def make_plan(**document: Any) -> Plan:
    schema = {"properties": {"properties": {"required": ["order_id"]}}}
    given = {"name": "Shop", "events": {"Checkout Started": {"schema": schema}}, **document}
    return Plan("shop", 7, msgspec.convert(given, PlanDocument))


class TestPlans:
    async def send(self, plan: Plan, *calls: Any) -> tuple[World, Any]:
        world = make_world(SERVER, governance=Governance(LiveRules(plans={SERVER.id: plan})))
        answer = await post(world, "/v1/batch", {"batch": list(calls)}, Prefer="return=representation")
        assert answer.status_code == 200
        return world, answer.json()

    async def test_a_blocked_one_is_parked_and_hurts_no_neighbour(self) -> None:
        bad = make_track(event="Started Order", properties={"secret": "ada"})
        world, answer = await self.send(make_plan(violations="block"), bad, make_track(messageId="m2"))
        assert [(one["index"], one["reason"]) for one in answer["rejected"]] == [(0, "plan_violation")]
        assert [touchpoint.message_id for touchpoint in world.recorded()] == ["m2"]
        assert b"secret" in world.rejected()[0].body
        assert count(world) == {"accepted": 1, "rejected:plan_violation": 1}

    async def test_a_violation_is_counted_with_samples_by_version_and_source(self) -> None:
        calls = [make_track(event="Checkout Started", messageId=f"m{n}") for n in range(5)]
        world, _ = await self.send(make_plan(), *calls)
        ((broken, breaches),) = world.governance.tallies.violations.items()
        assert (broken.plan_id, broken.version, broken.source_id, broken.event) == ("shop", 7, SERVER.id, "Checkout Started")
        assert (breaches.count, len(breaches.samples)) == (5, 3)
        assert {touchpoint.flags for touchpoint in world.recorded()} == {("plan_violation",)}
        assert count(world) == {"accepted": 5, "flagged:plan_violation": 5}

    async def test_a_plan_judges_standard_names_and_what_will_be_recorded(self) -> None:
        call = make_track(event="Started Order", properties={"orderId": "o1"})
        world, _ = await self.send(make_plan(violations="block"), call)
        assert world.recorded()[0].name == "Checkout Started"

    async def test_what_is_omitted_is_not_recorded(self) -> None:
        call = make_track(event="Checkout Started", properties={"order_id": "o1", "secret": 1})
        world, _ = await self.send(make_plan(violations="omit-unknown"), call)
        assert bytes(world.recorded()[0].properties) == b'{"order_id":"o1"}'
        assert world.recorded()[0].flags == ("plan_omitted",)

    async def test_a_source_without_a_plan_is_not_judged(self) -> None:
        world = make_world(SERVER, governance=Governance(LiveRules(plans={"another": make_plan(unplanned="block")})))
        assert (await post(world)).status_code == 200
        assert len(world.recorded()) == 1


class TestCounting:
    async def test_nothing_counts_that_was_not_acknowledged(self) -> None:
        world = make_world(SERVER)
        world.broker.down = True
        assert (await post(world)).status_code == 503
        assert world.governance.tallies.is_empty

    async def test_days_go_by_the_receipt_and_the_latest_is_seen(self) -> None:
        world = make_world(SERVER)
        await post(world)
        world.clock.advance(timedelta(days=1))
        await post(world)
        tallies = world.governance.tallies
        assert [str(one.day) for one in tallies.counts()] == ["2026-11-22", "2026-11-23"]
        assert tallies.seen == {SERVER.id: world.clock.now()}

    async def test_what_could_not_be_written_down_counts_on(self) -> None:
        world = make_world(SERVER)
        await post(world)
        taken = world.governance.tallies.take()
        assert world.governance.tallies.is_empty
        await post(world)
        world.governance.tallies.put_back(taken)
        assert count(world) == {"accepted": 2}
