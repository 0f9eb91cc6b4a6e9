"""`POST /v1/cloudevents`, as the official SDK of CloudEvents writes it, and as nobody should."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from services.ingest.domain.cloud_events import name_type
from services.ingest.handlers.parked import Replay
from services.ingest.ports import ParkedRejection
from tests.support.intake import NOW, World, decode_outgoing, name_all

KEY = {"X-Write-Key": "dev-write-key"}
AT = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
ORDER = {"order_id": "o1", "revenue": 12.5, "currency": "EUR", "email": "Ada@Example.com"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCHED = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}


def make_event(data: Any = ORDER, **attributes: Any) -> CloudEvent:
    said = {
        "id": "e1",
        "source": "/shops/berlin",
        "type": "com.shop.order.completed.v1",
        "time": AT,
        "subject": "loyalty_card:9900123",
        "datacontenttype": "application/json",
        **attributes,
    }
    return CloudEvent(attributes={name: value for name, value in said.items() if value is not None}, data=data)


def make_json(**changes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "e1", "source": "/s", "type": "E", "subject": "u1", **changes}


async def post(message: HTTPMessage | object, *, world: World | None = None, **headers: str) -> httpx.Response:
    if isinstance(message, HTTPMessage):
        content, headers = message.body, {**message.headers, **headers}
    else:
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
    async with (world or World()).client() as client:
        response: httpx.Response = await client.post("/v1/cloudevents", content=content, headers={**KEY, **headers})
    return response


class TestModes:
    @pytest.mark.parametrize("mode", ["binary", "structured", "batched", "looks like one", "looks like a batch"])
    async def test_an_event_is_the_same_touchpoint_in_every_mode(self, mode: str) -> None:
        event = make_event()
        structured = to_structured_event(event)
        message, headers = {
            "binary": (to_binary_event(event), {}),
            "structured": (structured, {}),
            "batched": (b"[%s]" % structured.body, BATCHED),
            "looks like one": (structured.body, {"Content-Type": "application/json"}),
            "looks like a batch": (b" [%s]" % structured.body, {"Content-Type": "application/json"}),
        }[mode]
        world = World()
        response = await post(message, world=world, **headers)
        assert response.status_code == 200, response.text
        touchpoint = world.recorded()[0]
        answer = {"index": 0, "message_id": touchpoint.message_id, "id": str(touchpoint.id)}
        assert response.json() == {"accepted": [answer], "rejected": []}
        assert touchpoint.message_id == "ce-" + hashlib.sha256(b"/shops/berlin\x1fe1").hexdigest()
        assert (touchpoint.kind, touchpoint.name, touchpoint.occurred_at) == ("track", "Order Completed", AT)
        assert name_all(touchpoint.identifiers) == ["loyalty_card:9900123", "email:ada@example.com"]
        assert json.loads(bytes(touchpoint.properties)) == ORDER
        assert touchpoint.order is not None
        assert json.loads(bytes(touchpoint.context)) == {
            "cloudevent": {
                "id": "e1",
                "source": "/shops/berlin",
                "type": "com.shop.order.completed.v1",
                "subject": "loyalty_card:9900123",
            }
        }

    async def test_attributes_in_headers_are_percent_encoded(self) -> None:
        world = World()
        await post(to_binary_event(make_event({}, subject="crm:Jürgen 7%", type="Straße")), world=world)
        touchpoint = world.recorded()[0]
        assert (touchpoint.name, name_all(touchpoint.identifiers)) == ("Straße", ["crm:Jürgen 7%"])

    async def test_a_batch_is_answered_event_by_event(self) -> None:
        world = World()
        bad = make_json(id="e2", time="yesterday")
        response = await post([make_json(), bad, 5, make_json(id="e3")], world=world, **BATCHED)
        assert response.status_code == 200
        assert [item["index"] for item in response.json()["accepted"]] == [0, 3]
        assert [(item["index"], item["reason"]) for item in response.json()["rejected"]] == [(1, "invalid"), (2, "not_an_object")]
        assert json.loads(world.rejected()[0].body) == [bad]

    async def test_json_may_come_as_base64(self) -> None:
        world = World()
        data = base64.b64encode(json.dumps(ORDER).encode()).decode()
        await post(make_json(type="order.completed", data_base64=data), world=world, **STRUCTURED)
        assert json.loads(bytes(world.recorded()[0].properties)) == ORDER

    async def test_an_event_may_have_no_data_and_no_time(self) -> None:
        world = World()
        await post(to_binary_event(make_event(None, time=None, type="Store Visited", datacontenttype=None)), world=world)
        touchpoint = world.recorded()[0]
        assert (touchpoint.name, bytes(touchpoint.properties), touchpoint.occurred_at) == ("Store Visited", b"{}", NOW)


class TestMeaning:
    @pytest.mark.parametrize(
        ("type_", "name"),
        [
            ("com.shop.order.completed.v1", "Order Completed"),
            ("com.shop.OrderCompleted", "Order Completed"),
            ("com.shop.sales/order_completed.v12", "Order Completed"),
            ("com.shop.product-list-viewed", "Product List Viewed"),
            ("com.shop.wishlist-product-added-to-cart", "Wishlist Product Added to Cart"),
            ("Email Opened", "Email Opened"),
            ("com.shop.app.signed_up", "Signed Up"),
            ("com.github.pull_request.opened", "com.github.pull_request.opened"),
            ("com.shop.order.completed.again", "com.shop.order.completed.again"),
            ("v1", "v1"),
        ],
    )
    def test_the_name_is_the_one_that_the_types_end_spells_else_the_type(self, type_: str, name: str) -> None:
        assert name_type(type_) == name

    @pytest.mark.parametrize(
        ("subject", "data", "named"),
        [
            ("u1", {}, ["user_id:u1"]),
            ("user_id:u1", {}, ["user_id:u1"]),
            ("email:A@b.de", {}, ["email:a@b.de"]),
            ("https://shop.example/u/1", {}, ["user_id:https://shop.example/u/1"]),
            (None, {"user_id": 7, "anonymousId": "a"}, ["user_id:7", "anonymous_id:a"]),
            (None, {"identifiers": {"crm": "c1", "email": "a@b.de"}}, ["crm:c1", "email:a@b.de"]),
            ("u1", {"userId": "u1", "phone": "+49 30 901820"}, ["user_id:u1", "phone:+4930901820"]),
        ],
    )
    async def test_subject_and_data_say_whom_it_is_about(self, subject: str | None, data: Any, named: list[str]) -> None:
        world = World()
        await post(make_json(subject=subject, data=data), world=world, **STRUCTURED)
        assert name_all(world.recorded()[0].identifiers) == named

    async def test_identified_takes_its_data_as_traits(self) -> None:
        world = World()
        await post(make_json(type="com.crm.customer.identified", data={"plan": "gold"}), world=world, **STRUCTURED)
        touchpoint = world.recorded()[0]
        assert (touchpoint.kind, touchpoint.name) == ("identify", "Identified")
        assert (json.loads(bytes(touchpoint.traits)), bytes(touchpoint.properties)) == ({"plan": "gold"}, b"{}")

    async def test_a_page_is_a_page_and_the_channel_an_extension(self) -> None:
        world = World()
        await post([make_json(type="page_viewed"), make_json(channel="pos")], world=world)
        first, second = world.recorded()
        assert (first.kind, first.channel, second.channel) == ("page", "web", "pos")

    async def test_the_pair_of_source_and_id_is_one_touchpoint(self) -> None:
        world = World()
        events = [make_json(), make_json(), make_json(id="e2"), make_json(source="/t")]
        await post(events, world=world)
        ids = [touchpoint.id for touchpoint in world.recorded()]
        assert (ids[0] == ids[1], len(set(ids))) == (True, 3)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"specversion": "0.3"}, "invalid"),
            ({"id": ""}, "invalid"),
            ({"source": None}, "invalid"),
            ({"type": 5}, "invalid"),
            ({"time": "yesterday"}, "invalid"),
            ({"data": [1]}, "invalid"),
            ({"data": "text"}, "invalid"),
            ({"data_base64": "%%%"}, "invalid"),
            ({"data_base64": "W10="}, "invalid"),
            ({"data_base64": "e30=", "datacontenttype": "text/xml"}, "invalid"),
            ({"subject": None}, "no_identifier"),
            ({"type": "order.completed", "data": {"revenue": "abc"}}, "amount_invalid"),
            ({"data": {"a": "x" * 33_000}}, "event_too_large"),
        ],
    )
    async def test_a_bad_event_is_answered_200_and_parked(self, changes: dict[str, Any], reason: str) -> None:
        world = World()
        response = await post(make_json(**changes), world=world, **STRUCTURED)
        assert response.status_code == 200
        assert [item["reason"] for item in response.json()["rejected"]] == [reason]
        assert [(rejection.reason, rejection.path) for rejection in world.rejected()] == [(reason, "/v1/cloudevents")]

    async def test_data_that_is_no_json_is_refused_with_all_that_came(self) -> None:
        world = World()
        message = to_binary_event(make_event({}, datacontenttype="text/xml"), _Xml())  # type: ignore[arg-type]
        response = await post(message, world=world)
        assert [item["reason"] for item in response.json()["rejected"]] == ["invalid"]
        event = json.loads(world.rejected()[0].body)[0]
        assert (event["id"], base64.b64decode(event["data_base64"])) == ("e1", b"<order/>")

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [
            (b"{", STRUCTURED, 400),
            (b"[", BATCHED, 400),
            (b"{}", BATCHED, 422),
            (b"nonsense", {}, 400),
            (b"", {}, 400),
            (b"[nope]", BATCHED, 400),
        ],
    )
    async def test_a_body_that_cannot_be_taken_apart_is_a_problem_and_parked(
        self, body: bytes, headers: dict[str, str], status: int
    ) -> None:
        world = World()
        response = await post(body, world=world, **headers)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert len(world.rejected()) == 1

    async def test_odd_characters_and_numbers_hurt_their_event_alone(self) -> None:
        world = World()
        good, odd = json.dumps(make_json()), json.dumps(make_json(id="e2", data={"a": "\ud800"}))
        endless = json.dumps(make_json(id="e3", data={"a": 5})).replace("5}", "1e400}")
        response = await post(f"[{good},{odd},{endless}]".encode(), world=world, **BATCHED)
        assert [item["reason"] for item in response.json()["rejected"]] == ["number_not_finite"]
        assert [touchpoint.flags for touchpoint in world.recorded()] == [(), ("characters_replaced",)]

    async def test_headers_cannot_pass_for_data(self) -> None:
        world = World()
        await post(b'{"a":1}', world=world, **{f"ce-{name}": value for name, value in make_json(data='{"a":2}').items()})
        assert json.loads(bytes(world.recorded()[0].properties)) == {"a": 1}

    async def test_it_takes_a_write_key_and_a_broker(self) -> None:
        world = World()
        async with world.client() as client:
            assert (await client.post("/v1/cloudevents", json=make_json())).status_code == 401
        world.broker.down = True
        assert (await post(make_json(), world=world)).status_code == 503

    async def test_a_body_beyond_all_limits_is_413(self) -> None:
        assert (await post(b"[" + b" " * 512_000 + b"]")).status_code == 413


async def test_a_parked_event_goes_through_once_its_cause_is_mended() -> None:
    world = World()
    await post(to_binary_event(make_event()), world=world, **{"X-Write-Key": "old-key"})
    rejection = world.rejected()[0]
    parked = ParkedRejection(rejection.id, "dev-server", NOW, rejection.reason, rejection.detail, rejection.path, rejection.body)
    receipt = Replay(None, world.intake, world.access, world.clock, world.webhook_intake)._judge(parked)  # type: ignore[arg-type]
    assert receipt is not None
    assert [event.name for event in decode_outgoing(receipt)] == ["Order Completed"]


class TestWebhooks:
    """CloudEvents' "HTTP 1.1 Web Hooks", section 4: a sender asks whether it may."""

    async def test_a_sender_that_asks_is_allowed(self) -> None:
        async with World().client() as client:
            answer = await client.options("/v1/cloudevents", headers={"WebHook-Request-Origin": "eventemitter.example.com"})
        assert answer.status_code == 200
        assert (answer.headers["webhook-allowed-origin"], answer.headers["webhook-allowed-rate"]) == ("*", "*")
        assert "POST" in answer.headers["allow"]

    async def test_a_browser_gets_its_preflight(self) -> None:
        async with World().client() as client:
            answer = await client.options("/v1/cloudevents", headers={"Origin": "https://shop.example"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")
        assert "webhook-allowed-origin" not in answer.headers

    async def test_a_browser_may_read_problems_too(self) -> None:
        async with World().client() as client:
            answer = await client.post("/v1/cloudevents", json=[])
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, "*")


class _Xml:
    """A format of the SDK's that writes what is no JSON."""

    def write_data(self, _data: object, _content_type: str | None) -> bytes:
        return b"<order/>"
