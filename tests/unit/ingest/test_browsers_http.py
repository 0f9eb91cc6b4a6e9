"""What browsers, mail clients and their SDKs ask of the tracking surface beside plain calls. W2: measured on the wire."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from services.ingest.settings import Settings
from tests.support.intake import World, make_track, name_all


async def post(path: str, content: Any, *, world: World | None = None, **options: Any) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    async with (world or World()).client() as client:
        response: httpx.Response = await client.post(path, content=body, **options)
    return response


class TestBrowsers:
    async def test_analytics_next_sends_text_plain_with_the_key_in_the_body(self) -> None:
        world = World()
        call = make_track(
            writeKey="dev-browser-key",
            sentAt="2026-11-22T12:00:00.000Z",
            _metadata={"bundled": [], "unbundled": [], "bundledIds": []},
        )
        assert (await post("/v1/t", call, world=world, headers={"Content-Type": "text/plain"})).status_code == 200
        assert [identifier.verified for identifier in world.recorded()[0].identifiers] == [False]

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"series":[{"type":"Counter","metric":"analytics_js.invoke","value":1,"tags":{}}]}', b"\xff"]
    )
    async def test_w2_the_sdks_metrics_carry_no_key_and_are_answered_2xx(self, body: bytes) -> None:
        world = World()
        assert (await post("/v1/m", body, world=world)).status_code == 200
        assert world.rejected() == []

    async def test_a_beacon_has_its_key_in_the_query(self) -> None:
        world = World()
        assert (
            await post("/beacon/v1/batch?writeKey=dev-browser-key", {"batch": [make_track()]}, world=world)
        ).status_code == 200
        assert len(world.recorded()) == 1

    async def test_the_settings_document_lets_analytics_next_load(self) -> None:
        async with World().client() as client:
            response = await client.get("/v1/projects/dev-browser-key/settings", headers={"Host": "cdp.example.com"})
        document = response.json()
        assert response.status_code == 200
        expected = {"apiKey": "dev-browser-key", "apiHost": "cdp.example.com/v1", "protocol": "http"}
        assert document["integrations"]["Segment.io"] == expected
        assert document["metrics"] == {"sampleRate": 0}
        assert response.headers["access-control-allow-origin"] == "*"

    async def test_the_settings_name_the_public_host_where_one_is_set(self) -> None:
        world = World(settings=Settings(public_host="events.shop.example"))
        async with world.client() as client:
            document = (await client.get("/v1/projects/k/settings")).json()
        assert document["integrations"]["Segment.io"]["apiHost"] == "events.shop.example/v1"

    @pytest.mark.parametrize(
        ("headers", "public_host"),
        [({"X-Forwarded-Proto": "https"}, None), ({"Origin": "https://shop.example"}, None), ({}, "events.shop.example")],
    )
    async def test_the_sdk_sends_by_https_wherever_that_is_possible(
        self, headers: dict[str, str], public_host: str | None
    ) -> None:
        async with World(settings=Settings(public_host=public_host)).client() as client:
            document = (await client.get("/v1/projects/k/settings", headers=headers)).json()
        assert "protocol" not in document["integrations"]["Segment.io"]

    async def test_rudders_browser_sdk_finds_its_source(self) -> None:
        async with World().client() as client:
            found = await client.get("/sourceConfig/?p=npm&v=3&writeKey=dev-browser-key")
            unknown = await client.get("/sourceConfig/?writeKey=nobody")
        assert (found.json()["source"]["writeKey"], found.json()["source"]["destinations"]) == ("dev-browser-key", [])
        assert unknown.status_code == 401


class TestPixels:
    async def get(self, address: str, world: World) -> httpx.Response:
        async with world.client() as client:
            response: httpx.Response = await client.get(address)
        assert response.status_code == 200
        assert response.headers["content-type"] == "image/gif"
        assert response.content.startswith(b"GIF89a")
        return response

    @pytest.mark.parametrize("path", ["/v1/pixel/track", "/v1/pixel/track/", "/pixel/v1/track"])
    async def test_a_pixel_carries_its_call_as_base64(self, path: str) -> None:
        world = World()
        call = {"writeKey": "dev-browser-key", "userId": "u1", "event": "Email Opened", "properties": {"email_id": "e?>"}}
        data = base64.b64encode(json.dumps(call).encode()).decode()
        await self.get(f"{path}?data={data}", world)
        touchpoint = world.recorded()[0]
        assert (touchpoint.name, json.loads(bytes(touchpoint.properties))) == ("Email Opened", {"email_id": "e?>"})

    async def test_or_as_plain_parameters(self) -> None:
        world = World()
        parameters = {
            "writeKey": "dev-browser-key",
            "userId": "u1",
            "event": "Email Opened",
            "email_id": "e1",
            "properties.campaign_id": "c",
            "context.page.url": "https://x",
        }
        query = urlencode(parameters)
        await self.get(f"/v1/pixel/track?{query}", world)
        touchpoint = world.recorded()[0]
        assert json.loads(bytes(touchpoint.properties)) == {"email_id": "e1", "campaign_id": "c"}
        assert json.loads(bytes(touchpoint.context)) == {"page": {"url": "https://x"}}

    async def test_a_page_pixel(self) -> None:
        world = World()
        await self.get("/pixel/v1/page?writeKey=dev-browser-key&anonymousId=a1&name=Home", world)
        assert (world.recorded()[0].name, name_all(world.recorded()[0].identifiers)) == ("Page Viewed", ["anonymous_id:a1"])

    @pytest.mark.parametrize(
        "query", ["", "?data=%%%", "?data=bm9uc2Vuc2U=", "?writeKey=nobody&userId=u", "?writeKey=dev-browser-key"]
    )
    async def test_whatever_goes_wrong_the_answer_is_the_image(self, query: str) -> None:
        await self.get("/v1/pixel/track" + query, World())

    async def test_even_while_the_broker_is_away(self) -> None:
        world = World()
        world.broker.down = True
        await self.get("/v1/pixel/track?writeKey=dev-browser-key&userId=u1&event=E", world)

    async def test_a_pixel_that_names_nobody_is_parked(self) -> None:
        world = World()
        await self.get("/v1/pixel/track?writeKey=dev-browser-key&event=E", world)
        assert [(rejection.reason, rejection.path) for rejection in world.rejected()] == [("no_identifier", "/v1/track")]
