"""The tracking surface as SDKs meet it. What is quoted as W2 was measured on the wire."""

import base64
import gzip
import json
import zlib
from typing import Any

import httpx
import pytest

from services.ingest.api.gate import Gate
from services.ingest.domain.routes import BATCH, CLOUD_EVENTS, OWN, SINGLE
from services.ingest.errors import Overloaded
from tests.support.intake import World, make_track

KEY = ("dev-write-key", "")
BASIC = {"Authorization": "Basic " + base64.b64encode(b"dev-write-key:").decode()}


async def post(path: str, content: Any = None, *, world: World | None = None, **options: Any) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    async with (world or World()).client() as client:
        response: httpx.Response = await client.post(path, content=body, **options)
    return response


@pytest.mark.parametrize("path", sorted({**SINGLE}))
@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_single_path_is_served_with_and_without_a_trailing_slash(path: str, slash: str) -> None:
    world = World()
    call = {"userId": "u1", "previousId": "p", "event": "E", "messageId": "m"}
    response = await post(path + slash, call, world=world, headers=BASIC)
    assert (response.status_code, response.content) == (200, b'{"success": true}')
    assert [touchpoint.kind for touchpoint in world.recorded()] == [SINGLE[path]]


@pytest.mark.parametrize("path", BATCH)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_batch_path_is_served_with_and_without_a_trailing_slash(path: str, slash: str) -> None:
    """W2: `/v1/import/` is analytics-java's only path."""
    world = World()
    response = await post(path + slash, {"batch": [make_track(), make_track(messageId="m2")]}, world=world, headers=BASIC)
    assert (response.status_code, response.content) == (200, b'{"success": true}')
    assert len(world.recorded()) == 2


async def test_the_type_is_in_the_path_and_the_body_may_lack_or_contradict_it() -> None:
    world = World()
    await post("/v1/identify", {"type": "track", "userId": "u1"}, world=world, headers=BASIC)
    assert world.recorded()[0].kind == "identify"


async def test_success_is_said_only_after_the_log_has_it() -> None:
    world = World()
    world.broker.down = True
    response = await post("/v1/track", make_track(), world=world, headers=BASIC)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["code"] == "broker_away"
    assert response.json()["message"]


class TestKeys:
    """Basic user -> X-Write-Key -> query -> body.writeKey -> batch[0].writeKey."""

    async def source_of(self, path: str = "/v1/batch", content: Any = None, **options: Any) -> str:
        world = World()
        body = content if content is not None else {"batch": [make_track()]}
        response = await post(path, body, world=world, **options)
        assert response.status_code == 200, response.text
        return world.recorded()[0].source_id

    async def test_basic_user_comes_first(self) -> None:
        body = {"writeKey": "dev-browser-key", "batch": [make_track()]}
        headers = {**BASIC, "X-Write-Key": "dev-browser-key"}
        assert await self.source_of("/v1/batch?writeKey=dev-browser-key", body, headers=headers) == "dev-server"

    async def test_then_the_header(self) -> None:
        body = {"writeKey": "dev-browser-key", "batch": [make_track()]}
        assert (
            await self.source_of("/v1/batch?writeKey=dev-browser-key", body, headers={"X-Write-Key": "dev-write-key"})
            == "dev-server"
        )

    @pytest.mark.parametrize("name", ["writeKey", "writekey"])
    async def test_then_the_query(self, name: str) -> None:
        body = {"writeKey": "dev-browser-key", "batch": [make_track()]}
        assert await self.source_of(f"/v1/batch?x=1&{name}=dev-write-key", body) == "dev-server"

    async def test_then_the_body(self) -> None:
        body = {"writeKey": "dev-write-key", "batch": [make_track(writeKey="dev-browser-key")]}
        assert await self.source_of("/v1/batch", body) == "dev-server"

    async def test_then_the_first_call_of_the_batch(self) -> None:
        assert await self.source_of("/v1/batch", {"batch": [make_track(writeKey="dev-write-key")]}) == "dev-server"

    async def test_w2_python_2_3_and_java_send_the_key_in_the_body_only(self) -> None:
        assert await self.source_of("/v1/track", make_track(writeKey="dev-write-key")) == "dev-server"

    async def test_base64_without_the_colon_is_tolerated(self) -> None:
        headers = {"Authorization": "Basic " + base64.b64encode(b"dev-write-key").decode().rstrip("=")}
        assert await self.source_of(headers=headers) == "dev-server"

    @pytest.mark.parametrize("authorization", ["Bearer token", "Basic", "Basic !!!", "Basic /w==", "Basic Og==", ""])
    async def test_a_header_without_a_user_leaves_the_key_to_the_others(self, authorization: str) -> None:
        body = {"writeKey": "dev-write-key", "batch": [make_track()]}
        assert await self.source_of("/v1/batch", body, headers={"Authorization": authorization}) == "dev-server"

    @pytest.mark.parametrize("headers", [{}, {"X-Write-Key": "nobody"}, {"Authorization": "Basic bm9ib2R5Og=="}])
    @pytest.mark.parametrize(("path", "body"), [("/v1/track", make_track()), ("/v1/batch", {"batch": [make_track()]})])
    async def test_a_missing_or_unknown_key_is_401_and_nothing_is_parked(
        self, headers: dict[str, str], path: str, body: Any
    ) -> None:
        world = World()
        response = await post(path, body, world=world, headers=headers)
        assert response.status_code == 401
        assert response.json()["code"] == "invalid_write_key"
        assert response.json()["message"]
        assert world.recorded() == []
        assert world.rejected() == []

    async def test_the_first_key_found_decides_even_if_it_is_wrong(self) -> None:
        response = await post("/v1/track", make_track(writeKey="dev-write-key"), headers={"X-Write-Key": "nobody"})
        assert response.status_code == 401

    async def test_a_disabled_source_is_answered_200_and_parked(self) -> None:
        world = World()
        response = await post(
            "/v1/batch", {"batch": [make_track(), make_track()]}, world=world, headers={"X-Write-Key": "old-key"}
        )
        assert response.status_code == 200
        assert [rejection.reason for rejection in world.rejected()] == ["source_disabled"] * 2
        assert world.recorded() == []


class TestBodies:
    @pytest.mark.parametrize(
        "content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", "image/png", None]
    )
    async def test_the_content_type_is_ignored(self, content_type: str | None) -> None:
        headers = {**BASIC, **({"Content-Type": content_type} if content_type else {})}
        assert (await post("/v1/track", make_track(), headers=headers)).status_code == 200

    @pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {}, {"Content-Type": "application/x-www-form-urlencoded"}])
    async def test_gzip_is_taken_whatever_it_is_called(self, headers: dict[str, str]) -> None:
        world = World()
        body = gzip.compress(json.dumps({"batch": [make_track()]}).encode())
        assert (await post("/v1/batch", body, world=world, headers={**BASIC, **headers})).status_code == 200
        assert len(world.recorded()) == 1

    async def test_gzip_in_several_members_and_zlib_are_taken_too(self) -> None:
        data = json.dumps(make_track()).encode()
        for body in (gzip.compress(data[:20]) + gzip.compress(data[20:]), zlib.compress(data)):
            assert (await post("/v1/track", body, headers=BASIC)).status_code == 200

    async def test_plain_json_that_claims_to_be_gzip_is_taken(self) -> None:
        assert (await post("/v1/track", make_track(), headers={**BASIC, "Content-Encoding": "gzip"})).status_code == 200

    async def test_a_gzip_bomb_stops_at_the_limit(self) -> None:
        bomb = gzip.compress(b" " * 50_000_000)
        assert len(bomb) < 100_000
        response = await post("/v1/batch", bomb, headers=BASIC)
        assert (response.status_code, response.json()["code"]) == (413, "batch_too_large")

    async def test_half_a_gzip_is_no_json(self) -> None:
        response = await post("/v1/batch", gzip.compress(json.dumps({"batch": [make_track()]}).encode())[:-20], headers=BASIC)
        assert (response.status_code, response.json()["code"]) == (400, "not_json")

    async def test_a_body_that_is_not_json_is_400_and_parked_with_its_bytes(self) -> None:
        for path in ("/v1/track", "/v1/batch"):
            world = World()
            response = await post(path, b'{"broken"', world=world, headers=BASIC)
            assert response.status_code == 400
            assert {"code", "message", "type", "title", "status", "detail"} <= response.json().keys()
            assert response.headers["content-type"] == "application/problem+json"
            assert [(rejection.body, rejection.reason, rejection.path) for rejection in world.rejected()] == [
                (b'{"broken"', "not_json", path)
            ]

    @pytest.mark.parametrize(("path", "body"), [("/v1/track", b"[]"), ("/v1/batch", b"[]"), ("/v1/batch", b"{}")])
    async def test_a_body_of_another_shape_is_400_and_parked(self, path: str, body: bytes) -> None:
        world = World()
        assert (await post(path, body, world=world, headers=BASIC)).status_code == 400
        assert len(world.rejected()) == 1

    async def test_a_body_that_is_not_json_and_names_no_key_is_400_and_not_parked(self) -> None:
        world = World()
        assert (await post("/v1/track", b"{", world=world)).status_code == 400
        assert (await post("/v1/batch", b"{", world=world)).status_code == 400
        assert world.rejected() == []

    async def test_a_single_event_over_its_size_is_413_and_parked(self) -> None:
        world = World()
        call = make_track(properties={"a": "x" * 33_000}, writeKey="dev-write-key")
        response = await post("/v1/track", call, world=world)
        assert (response.status_code, response.json()["code"]) == (413, "event_too_large")
        assert response.json()["message"]
        assert json.loads(world.rejected()[0].body) == call

    async def test_an_oversize_event_inside_a_batch_is_refused_alone(self) -> None:
        world = World()
        batch = [make_track(), make_track(properties={"a": "x" * 33_000}), make_track()]
        assert (await post("/v1/batch", {"batch": batch}, world=world, headers=BASIC)).status_code == 200
        assert len(world.recorded()) == 2
        assert [rejection.reason for rejection in world.rejected()] == ["event_too_large"]

    async def test_a_batch_of_512000_bytes_is_taken(self) -> None:
        """segment-analytics-python fills batches up to about 507,800 bytes and an envelope."""
        call = json.dumps(make_track(properties={"a": "x" * 20_000})).encode()
        body = b'{"batch":[' + b",".join([call] * 25) + b"]}"
        body += b" " * (512_000 - len(body))
        assert (await post("/v1/batch", body, headers=BASIC)).status_code == 200
        response = await post("/v1/batch", body + b" ", headers=BASIC)
        assert (response.status_code, response.json()["code"]) == (413, "batch_too_large")

    async def test_a_body_beyond_all_limits_is_parked_as_its_beginning_where_a_header_has_the_key(self) -> None:
        world = World()
        response = await post("/v1/track", b'{"a":"' + b"x" * 600_000, world=world, headers=BASIC)
        assert response.status_code == 413
        rejection = world.rejected()[0]
        assert (len(rejection.body), rejection.reason) == (32_768, "event_too_large")

    async def test_a_bad_single_call_is_200_and_parked(self) -> None:
        world = World()
        for call in ({"event": "E"}, make_track(messageId="x" * 101), {"userId": "u1"}):
            response = await post("/v1/track", call, world=world, headers=BASIC)
            assert (response.status_code, response.content) == (200, b'{"success": true}')
        assert sorted(rejection.reason for rejection in world.rejected()) == [
            "message_id_too_long",
            "name_missing",
            "no_identifier",
        ]

    async def test_the_rejection_is_in_the_log_before_the_answer(self) -> None:
        world = World()
        world.broker.down = True
        assert (await post("/v1/track", {"event": "E"}, world=world, headers=BASIC)).status_code == 503


class TestRepresentation:
    async def test_prefer_lists_what_was_accepted_and_rejected(self) -> None:
        body = {"batch": [make_track(), {"type": "track", "event": "E"}, make_track(messageId="m2")]}
        world = World()
        response = await post("/v1/batch", body, world=world, headers={**BASIC, "Prefer": "return=representation"})
        answer = response.json()
        assert response.status_code == 200
        assert answer["success"] is True
        ids = {touchpoint.message_id: str(touchpoint.id) for touchpoint in world.recorded()}
        assert answer["accepted"] == [
            {"index": 0, "message_id": "m1", "id": ids["m1"]},
            {"index": 2, "message_id": "m2", "id": ids["m2"]},
        ]
        assert [(rejected["index"], rejected["reason"]) for rejected in answer["rejected"]] == [(1, "no_identifier")]
        assert answer["rejected"][0]["detail"]

    async def test_without_it_the_answer_is_exactly_success(self) -> None:
        response = await post("/v1/batch", {"batch": [{}]}, headers={**BASIC, "Prefer": "respond-async"})
        assert response.content == b'{"success": true}'


class TestCors:
    @pytest.mark.parametrize(
        "path",
        [
            *SINGLE, *BATCH, OWN, CLOUD_EVENTS, "/v1/m", "/v1/t/", "/v1/import/", "/v1/projects/k/settings", "/sourceConfig/",
            "/v1/pixel/track", "/pixel/v1/page", "/analytics.js/v1/k/analytics.min.js", "/analytics-next/bundles/x.js",
        ],
    )  # fmt: skip
    async def test_a_preflight_allows_what_the_browser_sdks_send(self, path: str) -> None:
        async with World().client() as client:
            response = await client.options(
                path, headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
            )
        assert response.is_success
        allowed = {name.strip() for name in response.headers["access-control-allow-headers"].split(",")}
        assert response.headers["access-control-allow-origin"] == "*"
        assert {"authorization", "content-type", "x-retry-count", "anonymousid", "sentat", "rsa-retry-attempt"} <= allowed
        assert "*" not in allowed
        assert response.headers["access-control-allow-methods"] == "POST, GET, OPTIONS"
        assert response.headers["access-control-max-age"] == "900"
        assert "access-control-allow-credentials" not in response.headers

    @pytest.mark.parametrize(("headers", "status"), [(BASIC, 200), ({}, 401)])
    async def test_every_answer_lets_the_browser_read_it_and_its_retry_after(self, headers: dict[str, str], status: int) -> None:
        response = await post("/v1/t", make_track(), headers=headers)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.headers["access-control-expose-headers"] == "Retry-After"

    async def test_errors_while_the_broker_is_away_do_too(self) -> None:
        world = World()
        world.broker.down = True
        response = await post("/v1/t", make_track(), world=world, headers=BASIC)
        assert (response.status_code, response.headers["access-control-expose-headers"]) == (503, "Retry-After")


class TestOverload:
    def test_more_than_may_wait_is_refused_with_a_whole_number_of_seconds(self) -> None:
        gate = Gate(1000)
        with gate.admit(900):
            with pytest.raises(Overloaded) as refused, gate.admit(200):
                pass
            assert int(refused.value.headers["Retry-After"]) >= 1
        with gate.admit(1000):
            pass

    async def test_it_is_429_with_all_that_the_sdks_need(self) -> None:
        world = World(max_pending_bytes=10)
        response = await post("/v1/track", make_track(), world=world, headers=BASIC)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert response.headers["x-ratelimit-reset"] == "1"
        assert response.json()["message"]
        assert response.headers["access-control-expose-headers"] == "Retry-After"
        assert world.recorded() == []


async def test_the_trace_of_the_caller_goes_on_in_the_log() -> None:
    world = World()
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await post("/v1/track", make_track(), world=world, headers={**BASIC, "traceparent": traceparent})
    sent = world.broker.records("touchpoints")[0].headers["traceparent"].decode()
    assert sent.split("-")[1] == traceparent.split("-")[1]


async def test_the_record_is_a_cloudevent_timed_by_its_receipt() -> None:
    world = World()
    await post("/v1/track", make_track(timestamp="2026-11-01T00:00:00Z"), world=world, headers=BASIC)
    record = world.broker.records("touchpoints")[0]
    assert record.timestamp_ms == int(world.clock.now().timestamp() * 1000)
    assert record.headers["ce_type"] == b"rapport.touchpoint.recorded.v1"
    assert record.headers["ce_source"] == b"/sources/dev-server"
    assert record.headers["ce_id"].decode() == str(world.recorded()[0].id)
    assert record.headers["ce_subject"] == record.key
