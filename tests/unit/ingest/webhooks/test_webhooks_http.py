"""`/v1/webhooks/…`: what a provider is told, what is kept, and what is sent through again."""

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from libs.kit.auth import Source
from services.ingest.api.webhooks import MAX_BYTES
from services.ingest.domain.webhooks.catalogue import ADAPTERS
from services.ingest.domain.webhooks.deliveries import Delivery
from services.ingest.handlers.parked import Parking, Replay, Replayed
from services.ingest.handlers.take_webhooks import Address, read_path, write_path
from services.ingest.ports import RejectionFilter
from services.ingest.store.fakes import FakeRejections
from tests.support.intake import DISABLED, SERVER, SOURCES, World, name_all
from tests.support.webhooks import (
    CERTIFICATE_URL,
    CONFIRM_URL,
    SECRET,
    TOPIC,
    encode_form,
    mac_base64,
    make_certificate,
    make_ec_key,
    make_sns,
    show_key,
    sign,
    sign_sns,
)

if TYPE_CHECKING:
    from libs.kit.db import Tx

TX = cast("Tx", None)
EVENT = {
    "id": "evt_1",
    "type": "customer.created",
    "created": 1772355600,
    "data": {"object": {"id": "cus_1", "email": "a@x.example"}},
}
MAPPING = {
    "signature": {"scheme": "secret"},
    "events": "body",
    "touchpoints": [{"name": "Store Visited", "id": "event.id", "identifiers": {"email": "event.mail"}}],
}


def make_body(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


@dataclass
class Yard:
    """A world with webhooks, whose rejections are parked."""

    world: World = field(default_factory=World)
    store: FakeRejections = field(default_factory=FakeRejections)

    async def post(self, provider: str, delivery: Delivery, source: str = "dev-server", query: str = "") -> httpx.Response:
        async with self.world.client() as client:
            response: httpx.Response = await client.post(
                f"/v1/webhooks/{provider}/{source}{query}", content=delivery.body, headers=dict(delivery.headers)
            )
        await Parking(self.store)(TX, self.world.broker.records("touchpoint-rejections"))
        return response

    async def parked(self) -> list[tuple[str, str]]:
        return [(row.reason, row.path) for row in await self.store.find(TX, RejectionFilter(), after=None, limit=100)]

    async def replay(self, sources: dict[str, Source] | None = None) -> Replayed:
        world = World(broker=self.world.broker, sources=sources or self.world.sources, webhooks=self.world.webhooks)
        replay = Replay(self.store, world.intake, world.access, world.clock, world.webhook_intake)
        return await replay.replay_page(TX, RejectionFilter(), after=None, limit=100)


@pytest.fixture
def yard() -> Yard:
    yard = Yard()
    yard.world.webhooks.put("dev-server", "stripe", "old", SECRET)
    return yard


async def test_a_signed_delivery_is_a_touchpoint_with_what_the_server_knows(yard: Yard) -> None:
    response = await yard.post("stripe", sign("stripe", make_body()))
    assert response.status_code == 200
    (touchpoint,) = yard.world.recorded()
    assert response.json() == {
        "accepted": [{"index": 0, "message_id": "evt_1", "id": str(touchpoint.id)}],
        "rejected": [],
        "ignored": [],
    }
    assert (touchpoint.source_id, touchpoint.kind, touchpoint.name) == ("dev-server", "identify", "Identified")
    assert name_all(touchpoint.identifiers) == ["stripe_customer:cus_1", "email:a@x.example"]
    assert all(identifier.verified for identifier in touchpoint.identifiers)


async def test_a_trailing_slash_is_no_other_address(yard: Yard) -> None:
    assert (await yard.post("stripe", sign("stripe", make_body()), source="dev-server/")).status_code == 200


@pytest.mark.parametrize(
    "delivery",
    [Delivery(make_body()), sign("stripe", make_body(), secret="another"), Delivery(b"{}", sign("stripe", make_body()).headers)],
)
async def test_what_is_not_signed_is_401_and_nothing_is_kept(yard: Yard, delivery: Delivery) -> None:
    response = await yard.post("stripe", delivery)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_signature")
    assert response.headers["content-type"] == "application/problem+json"
    assert (yard.world.recorded(), yard.world.rejected()) == ([], [])


@pytest.mark.parametrize(("provider", "source"), [("stripe", "nobody"), ("shopify", "dev-server"), ("unheard", "dev-server")])
async def test_an_unknown_provider_or_source_is_404(yard: Yard, provider: str, source: str) -> None:
    response = await yard.post(provider, sign("stripe", make_body()), source=source)
    assert (response.status_code, response.json()["code"]) == (404, "webhook_not_found")
    assert response.headers["content-type"] == "application/problem+json"


async def test_what_means_nothing_is_200_and_named(yard: Yard) -> None:
    response = await yard.post("stripe", sign("stripe", make_body(type="product.created")))
    assert response.json() == {"accepted": [], "rejected": [], "ignored": ["product.created"]}
    assert (yard.world.recorded(), yard.world.rejected()) == ([], [])


async def test_a_signed_body_that_cannot_be_read_is_parked_with_its_bytes_and_taken_when_it_can(yard: Yard) -> None:
    delivery = sign("stripe", b'{"data": 5}')
    response = await yard.post("stripe", delivery)
    assert response.status_code == 200
    assert [one["reason"] for one in response.json()["rejected"]] == ["invalid"]
    assert yard.world.rejected()[0].body == b'{"data": 5}'
    assert await yard.parked() == [("invalid", "/v1/webhooks/stripe/dev-server")]
    assert await yard.replay() == Replayed(0, 1, None)


async def test_a_refused_touchpoint_is_parked_once_and_sent_through_again(yard: Yard) -> None:
    yard.world.webhooks.put("old-shop", "stripe", SECRET)
    for _ in range(2):
        response = await yard.post("stripe", sign("stripe", make_body()), source="old-shop")
        assert [one["reason"] for one in response.json()["rejected"]] == ["source_disabled"]
    assert await yard.parked() == [("source_disabled", "/v1/webhooks/stripe/old-shop")]
    assert await yard.replay({**SOURCES, "old-key": replace(DISABLED, enabled=True)}) == Replayed(1, 0, None)
    assert [touchpoint.message_id for touchpoint in yard.world.recorded()] == ["evt_1"]
    assert await yard.parked() == []


async def test_the_headers_a_reader_needs_come_back_with_the_body(yard: Yard) -> None:
    yard.world.webhooks.put("old-shop", "shopify", SECRET)
    order = json.dumps({"id": 1, "email": "a@x.example", "total_price": "5.00", "currency": "EUR"}).encode()
    headers = {"x-shopify-topic": "orders/create", "x-shopify-webhook-id": "w&1", "x-other": "no"}
    await yard.post("shopify", sign("shopify", order, headers=headers), source="old-shop")
    assert await yard.parked() == [
        ("source_disabled", "/v1/webhooks/shopify/old-shop?x-shopify-topic=orders%2Fcreate&x-shopify-webhook-id=w%261")
    ]
    assert (await yard.replay({"old-key": replace(DISABLED, enabled=True)})).replayed == 1
    (touchpoint,) = yard.world.recorded()
    assert (touchpoint.name, touchpoint.message_id) == ("Order Completed", "orders/create:w&1")


async def test_of_many_events_the_bad_one_hurts_no_other_and_the_delivery_is_parked_once(yard: Yard) -> None:
    yard.world.webhooks.put("dev-server", "sendgrid", show_key(make_ec_key()))
    events = [{"event": "open", "email": mail, "sg_event_id": f"e{n}", "timestamp": 1772355600} for n, mail in enumerate("abcd")]
    events[1]["email"] = events[2]["email"] = "guest"
    delivery = sign("sendgrid", json.dumps(events).encode())
    response = await yard.post("sendgrid", delivery)
    assert [(one["index"], one["reason"]) for one in response.json()["rejected"]] == [(1, "no_identifier"), (2, "no_identifier")]
    assert [one["index"] for one in response.json()["accepted"]] == [0, 3]
    assert [rejected.body for rejected in yard.world.rejected()] == [delivery.body]
    # It stays parked while anything in it is refused; the good ones are the same touchpoints again.
    assert await yard.replay() == Replayed(0, 1, None)
    assert len({touchpoint.id for touchpoint in yard.world.recorded()}) == 2
    assert await yard.parked() == [("no_identifier", "/v1/webhooks/sendgrid/dev-server")]


async def test_a_delivery_too_large_to_be_parked_whole_leaves_what_was_refused_in_it(yard: Yard) -> None:
    yard.world.webhooks.put("old-shop", "sendgrid", show_key(make_ec_key()))
    events = [{"event": "open", "email": f"{n}@x.example", "sg_event_id": f"e{n}", "useragent": "x" * 300} for n in range(2600)]
    response = await yard.post("sendgrid", sign("sendgrid", json.dumps(events).encode()), source="old-shop")
    assert response.status_code == 200
    assert [one["index"] for one in response.json()["rejected"]] == list(range(2600))
    assert {path for _, path in await yard.parked()} == {"/v1/touchpoints"}
    enabled = {"old-key": replace(DISABLED, enabled=True)}
    assert (await yard.replay(enabled)).replayed == 100
    assert {touchpoint.name for touchpoint in yard.world.recorded()} == {"Email Opened"}


async def test_a_body_beyond_all_limits_is_413(yard: Yard) -> None:
    response = await yard.post("stripe", Delivery(b" " * (MAX_BYTES + 1)))
    assert response.status_code == 413


async def test_while_the_broker_is_away_nothing_is_acknowledged(yard: Yard) -> None:
    yard.world.broker.down = True
    response = await yard.post("stripe", sign("stripe", make_body()))
    assert (response.status_code, response.json()["code"]) == (503, "broker_away")


async def test_what_a_tool_calls_the_user_id_is_of_the_sources_kind() -> None:
    source = replace(SERVER, user_id_kind="shop_user")
    yard = Yard(World(sources={"k": source}))
    yard.world.webhooks.put("dev-server", "stripe", SECRET)
    customer = {"id": "cus_1", "metadata": {"user_id": "u1"}}
    await yard.post("stripe", sign("stripe", make_body(data={"object": customer})))
    assert name_all(yard.world.recorded()[0].identifiers) == ["shop_user:u1", "stripe_customer:cus_1"]


class TestSns:
    @pytest.fixture
    def yard(self) -> Yard:
        yard = Yard()
        yard.world.webhooks.put("dev-server", "amazon_ses", TOPIC)
        yard.world.sns.certificates[CERTIFICATE_URL] = make_certificate()
        return yard

    async def test_a_notification_is_a_touchpoint(self, yard: Yard) -> None:
        event = {"eventType": "Open", "mail": {"messageId": "m", "destination": ["a@x.example"]}, "open": {}}
        response = await yard.post("amazon_ses", Delivery(sign_sns(make_sns(event))))
        assert response.status_code == 200
        assert [touchpoint.name for touchpoint in yard.world.recorded()] == ["Email Opened"]

    async def test_a_subscription_is_confirmed_once_its_signature_is_known(self, yard: Yard) -> None:
        confirmation = make_sns({}, Type="SubscriptionConfirmation", SubscribeURL=CONFIRM_URL, Token="t")
        response = await yard.post("amazon_ses", Delivery(sign_sns(confirmation)))
        assert response.json()["ignored"] == ["SubscriptionConfirmation"]
        assert yard.world.sns.confirmed == [CONFIRM_URL]

    async def test_nobody_else_makes_us_ask_anything(self, yard: Yard) -> None:
        unsigned = make_sns({}, Type="SubscriptionConfirmation", SubscribeURL=CONFIRM_URL, Token="t", Signature="")
        inside = sign_sns(make_sns({}, Type="SubscriptionConfirmation", SubscribeURL="http://169.254.169.254/", Token="t"))
        foreign = sign_sns(make_sns({}, TopicArn="arn:other", Type="SubscriptionConfirmation", SubscribeURL=CONFIRM_URL))
        statuses = [
            (await yard.post("amazon_ses", Delivery(body))).status_code
            for body in (json.dumps(unsigned).encode(), inside, foreign)
        ]
        assert statuses == [401, 200, 401]
        assert yard.world.sns.confirmed == []
        assert [reason for reason, _ in await yard.parked()] == ["invalid"]

    async def test_while_sns_is_away_the_delivery_is_to_be_sent_again(self, yard: Yard) -> None:
        yard.world.sns.away = True
        response = await yard.post("amazon_ses", Delivery(sign_sns(make_sns({}))))
        assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (503, "sns_away", "1")


class TestGreetings:
    async def ask(self, yard: Yard, method: str, path: str) -> httpx.Response:
        async with yard.world.client() as client:
            response: httpx.Response = await client.request(method, path)
        return response

    async def test_a_shops_unsigned_ping_is_answered_and_nothing_comes_of_it(self, yard: Yard) -> None:
        yard.world.webhooks.put("dev-server", "woocommerce", SECRET)
        assert (await yard.post("woocommerce", Delivery(b"webhook_id=7"))).json()["ignored"] == ["greeting"]
        assert (await yard.post("woocommerce", Delivery(b"webhook_id=7&a=b"))).status_code == 401
        assert (await yard.post("stripe", Delivery(b"webhook_id=7"))).status_code == 401

    async def test_meta_gets_its_challenge_back_for_a_secret(self, yard: Yard) -> None:
        yard.world.webhooks.put("dev-server", "meta_leads", "app secret", "verify me")
        path = "/v1/webhooks/meta_leads/dev-server?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
        good = await self.ask(yard, "GET", f"{path}verify%20me")
        assert (good.status_code, good.text) == (200, "1158201444")
        assert good.headers["content-type"].startswith("text/plain")
        assert (await self.ask(yard, "GET", f"{path}other")).status_code == 401
        assert (await self.ask(yard, "GET", "/v1/webhooks/meta_leads/dev-server")).status_code == 405

    async def test_who_asks_by_head_or_get_hears_whether_somebody_is_there(self, yard: Yard) -> None:
        assert (await self.ask(yard, "HEAD", "/v1/webhooks/stripe/dev-server")).status_code == 200
        assert (await self.ask(yard, "HEAD", "/v1/webhooks/stripe/nobody")).status_code == 404
        assert (await self.ask(yard, "GET", "/v1/webhooks/stripe/dev-server?hub.challenge=1")).status_code == 405


class TestOwnMappings:
    async def test_a_webhook_of_ones_own(self, yard: Yard) -> None:
        yard.world.webhooks.put("dev-server", "door-counter", SECRET, mapping=MAPPING)
        token = SECRET.replace(" ", "%20")
        response = await yard.post("door-counter", Delivery(b'{"id": "7", "mail": "a@x.example"}'), query=f"?token={token}")
        assert response.status_code == 200, response.text
        (touchpoint,) = yard.world.recorded()
        assert (touchpoint.name, touchpoint.message_id) == ("Store Visited", "7")

    async def test_a_form_signed_with_its_address_is_known_behind_any_proxy(self, yard: Yard) -> None:
        yard.world.webhooks.put("dev-server", "twilio", SECRET)
        fields = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+4915112345678"}
        for scheme in ("https", "http"):
            signed = f"{scheme}://ingest.test/v1/webhooks/twilio/dev-server?a=b" + "".join(map("".join, sorted(fields.items())))
            headers = {"x-twilio-signature": mac_base64(SECRET, signed.encode(), "sha1")}
            response = await yard.post("twilio", Delivery(encode_form(fields), headers), query="?a=b")
            assert response.status_code == 200
        assert len({touchpoint.id for touchpoint in yard.world.recorded()}) == 1

    async def test_a_parked_delivery_is_read_by_the_mapping_of_today(self, yard: Yard) -> None:
        wrong = {
            **MAPPING,
            "touchpoints": [{"name": "Store Visited", "id": "event.id", "identifiers": {"email": "event.nobody"}}],
        }
        yard.world.webhooks.put("dev-server", "door", SECRET, mapping=wrong)
        await yard.post("door", Delivery(b'{"id": "7", "mail": "a@x.example"}', {"x-webhook-token": SECRET}))
        assert [reason for reason, _ in await yard.parked()] == ["no_identifier"]
        yard.world.webhooks.put("dev-server", "door", SECRET, mapping=MAPPING)
        assert await yard.replay() == Replayed(1, 0, None)
        assert [touchpoint.message_id for touchpoint in yard.world.recorded()] == ["7"]


def test_a_parked_address_reads_back_and_no_other_is_one() -> None:
    address = Address("shopify", "shop-1")
    delivery = Delivery(b"", {"x-shopify-topic": "orders/create", "x-shopify-webhook-id": "ü?&="})
    path = write_path(address, ADAPTERS["shopify"], delivery)
    assert read_path(path) == (address, dict(delivery.headers))
    assert read_path("/v1/webhooks/a") is None
    assert read_path("/v1/track") is None


def test_the_reference_names_the_addresses() -> None:
    document = World().build_app().openapi()
    assert set(document["paths"]["/v1/webhooks/{provider}/{source_id}"]) == {"post", "get"}
    assert {"put", "get", "delete"} <= set(document["paths"]["/v1/sources/{source_id}/webhooks/{provider}"])
