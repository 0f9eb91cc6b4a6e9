"""What the tracking protocol asks of a server, rule by rule, where no other test of ingest already shows it.

The rest stands beside its subject: paths, keys, bodies, answers, CORS and pixels in test_tracking_http; envelopes, context and
odd values in test_reading; times and ids in test_times_and_ids; whom a call is about in test_identifiers; Go's spellings in
test_orders; the SDKs themselves in tests/e2e.
"""

import gzip
import json
from typing import Any

import httpx
import pytest

from services.ingest.domain.routes import BATCH, CLOUD_EVENTS, OWN, SINGLE
from tests.support.intake import World, decode_outgoing, make_track, name_all, take

KEY = {"X-Write-Key": "dev-write-key"}


async def post(path: str, content: Any, *, world: World | None = None, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    async with (world or World()).client() as client:
        response: httpx.Response = await client.post(path, content=body, headers={**KEY, **headers})
    return response


class TestEveryAddress:
    """A trailing slash is tolerated on every path (W2)."""

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/pixel/track", "/pixel/v1/track", "/pixel/v1/page", "/v1/projects/k/settings",
            "/sourceConfig?writeKey=dev-browser-key",
        ],
    )  # fmt: skip
    async def test_what_is_read_is_there_with_and_without_a_slash(self, path: str) -> None:
        async with World().client() as client:
            plain = await client.get(path)
            slashed = await client.get(path.replace("?", "/?") if "?" in path else f"{path}/")
        assert (plain.status_code, slashed.status_code) == (200, 200)
        assert plain.content == slashed.content

    @pytest.mark.parametrize("path", ["/v1/m", OWN, CLOUD_EVENTS])
    async def test_what_is_sent_is_taken_with_and_without_a_slash(self, path: str) -> None:
        body = {"touchpoints": []} if path == OWN else []
        assert [(await post(address, body)).status_code for address in (path, f"{path}/")] == [200, 200]

    async def test_every_kind_has_a_pixel(self) -> None:
        for kind in dict.fromkeys(SINGLE.values()):
            world = World()
            async with world.client() as client:
                query = "writeKey=dev-browser-key&userId=u1&event=E&previousId=p"
                answer = await client.get(f"/v1/pixel/{kind}?{query}")
            assert answer.headers["content-type"] == "image/gif"
            assert [touchpoint.kind for touchpoint in world.recorded()] == [kind]


class TestAnswers:
    """Exactly 200, or a body with `code` and `message`: anything else makes SDKs send for ever (W2)."""

    @pytest.mark.parametrize("path", [*SINGLE, *BATCH])
    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"\xff", b'"x"'])
    async def test_no_refusal_goes_without_code_and_message(self, path: str, body: bytes) -> None:
        answer = await post(path, body)
        assert answer.status_code == 400
        assert {"code", "message"} <= answer.json().keys()

    @pytest.mark.parametrize("path", [*SINGLE, *BATCH])
    async def test_success_is_200_and_nothing_else_however_much_was_refused(self, path: str) -> None:
        for body in ({"batch": []}, {"batch": [{}, 5]}, {"userId": None, "batch": [make_track()]}):
            assert (await post(path, body)).status_code == 200

    async def test_an_unknown_type_in_a_batch_does_not_fail_the_rest(self) -> None:
        world = World()
        body = {"batch": [make_track(), make_track(type="audiencelist"), make_track(type=None), make_track(messageId="m2")]}
        assert (await post("/v1/batch", body, world=world)).status_code == 200
        assert [touchpoint.message_id for touchpoint in world.recorded()] == ["m1", "m2"]
        assert [rejection.reason for rejection in world.rejected()] == ["unknown_kind"] * 2


class TestEnvelopes:
    """As captured from the SDKs: what they send beside the calls changes nothing about them."""

    def test_w2_java_and_go_and_node_put_words_of_their_own_into_the_envelope(self) -> None:
        envelope = {
            "sequence": 4,
            "messageId": "of-the-envelope",
            "timestamp": "2020-01-01T00:00:00Z",
            "integrations": {"All": False},
        }
        plain, wrapped = take(make_track()), take(make_track(), **envelope)
        assert (wrapped.id, wrapped.occurred_at, wrapped.flags) == (plain.id, plain.occurred_at, ())

    @pytest.mark.parametrize("integrations", [None, {}, {"All": True}, {"Salesforce": False}, [], "x", 5])
    def test_integrations_name_other_vendors_destinations_and_are_read_past(self, integrations: object) -> None:
        touchpoint = take(make_track(integrations=integrations), integrations=integrations)
        assert (touchpoint.name, touchpoint.flags) == ("Product Viewed", ())

    async def test_rudder_nodes_body_is_gzip_that_calls_itself_a_form(self) -> None:
        world = World()
        item = make_track(originalTimestamp="2026-11-22T11:59:00.000Z", sentAt="2026-11-22T12:00:00.000Z")
        body = {"batch": [item], "timestamp": "2026-11-22T12:00:00.000Z", "sentAt": "2026-11-22T12:00:00.000Z"}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
        answer = await post("/v1/batch", gzip.compress(json.dumps(body).encode()), world=world, **headers)
        assert answer.status_code == 200
        assert world.recorded()[0].occurred_at.isoformat() == "2026-11-22T11:59:00+00:00"

    async def test_w2_rusts_calls_have_neither_ids_nor_times_nor_a_user_agent(self) -> None:
        world = World()
        body = b'{"type":"track","userId":"u1","event":"E","properties":{"n":1},"context":null}'
        assert (await post("/v1/track", body, world=world, **{"User-Agent": ""})).status_code == 200
        touchpoint = world.recorded()[0]
        assert (touchpoint.occurred_at, len(touchpoint.message_id) > 0) == (world.clock.now(), True)

    async def test_rudders_browser_headers_hurt_nothing(self) -> None:
        world = World()
        headers = {"AnonymousId": "YTE=", "SentAt": "2026-11-22T12:00:00.000Z", "Rsa-Retry-Attempt": "2", "Rsa-Recovered": "true"}
        await post("/v1/track", make_track(), world=world, **headers)
        assert name_all(world.recorded()[0].identifiers) == ["user_id:u1"]

    async def test_a_retried_call_is_the_same_touchpoint(self) -> None:
        world = World()
        for attempt in ("", "1", "2"):
            await post("/v1/t", make_track(_metadata={"retryCount": attempt}), world=world, **{"X-Retry-Count": attempt})
        assert len({touchpoint.id for touchpoint in world.recorded()}) == 1


class TestCallsOfTheSdks:
    def test_naive_datetimes_of_python_in_traits_pass_as_sent(self) -> None:
        call = {"type": "identify", "userId": "u1", "traits": {"createdAt": "2020-01-01T00:00:00"}}
        assert json.loads(bytes(take(call).traits)) == {"createdAt": "2020-01-01T00:00:00"}

    def test_w2_user_id_null_comes_from_browsers(self) -> None:
        assert name_all(take(make_track(userId=None, anonymousId="a1")).identifiers) == ["anonymous_id:a1"]

    def test_an_alias_of_a_browser_onto_itself_is_a_no_op(self) -> None:
        """`alias('u2')` while identified as u1 goes out as userId u1, previousId u1."""
        assert take({"type": "alias", "userId": "u1", "previousId": "u1"}).previous == ()

    def test_page_properties_that_repeat_name_and_category_stand_once(self) -> None:
        call = {"type": "page", "userId": "u1", "name": "Home", "category": "Docs", "properties": {"name": "Home", "path": "/"}}
        assert json.loads(bytes(take(call).properties)) == {"name": "Home", "path": "/", "category": "Docs"}

    def test_the_campaign_is_the_contexts(self) -> None:
        touchpoint = take(make_track(context={"campaign": {"name": "spring", "source": "mail", "medium": "email"}}))
        assert touchpoint.campaign is not None
        assert (touchpoint.campaign.campaign, touchpoint.campaign.source) == ("spring", "mail")

    def test_the_context_of_a_batch_lies_under_each_of_its_calls(self) -> None:
        body = {"context": {"library": {"name": "x"}}, "batch": [make_track(), make_track(context={"library": {"name": "own"}})]}
        contexts = [json.loads(bytes(event.context)) for event in decode_outgoing(World().judge(body))]
        assert contexts == [{"library": {"name": "x"}}, {"library": {"name": "own"}}]
