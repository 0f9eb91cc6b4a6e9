"""Take the delivery of a webhook: verify it, read its touchpoints, and send them the way of all touchpoints.

A delivery in which anything is refused is parked whole, under the address it came to, with the headers its reader needs; sent
through again it is read anew, and what had been taken is taken again under the same ids.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from msgspec import Struct, structs

from libs.events.topics import TOUCHPOINT_REJECTIONS, TOUCHPOINTS
from libs.kit.metrics import counter
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.limits import BATCH_EVENTS
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.requests import Batch
from services.ingest.domain.routes import OWN
from services.ingest.domain.tolerant import encode
from services.ingest.domain.webhooks.deliveries import Delivery, Provider, Reading, Touchpoint
from services.ingest.errors import SignatureInvalid, WebhookNotFound
from services.ingest.handlers.take_touchpoints import Accepted, Intake, Receipt, Rejected
from services.ingest.ports import LiveWebhook, ParkedRejection, Sns, Sources, Webhooks

WEBHOOKS: Final = "/v1/webhooks/"
_PARKED_WHOLE_BYTES: Final = 256 * 1024
_KEPT_OF_UNREADABLE: Final = 32 * 1024
_OTHER: Final = "other"
_TOPIC: Final = re.compile(r"[\w./: -]{1,64}", re.ASCII)
_MAX_TOPICS: Final = 500

_DELIVERIES: Final = counter("ingest_webhooks_total", "Deliveries of webhooks by what became of them.", ("provider", "outcome"))
_IGNORED: Final = counter("ingest_webhooks_ignored_total", "Events of webhooks that mean nothing to us.", ("provider", "topic"))


class WebhookReceipt(Struct):
    """What became of a delivery."""

    accepted: list[Accepted]
    rejected: list[Rejected]
    ignored: list[str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a delivery came to."""

    provider: str
    source_id: str


class WebhookIntake:
    """Takes deliveries; one per process."""

    def __init__(self, intake: Intake, webhooks: Webhooks, sources: Sources, sns: Sns) -> None:
        self._intake = intake
        self._webhooks = webhooks
        self._sources = sources
        self._sns = sns
        self._topics: set[tuple[str, str]] = set()

    def find(self, address: Address) -> LiveWebhook:
        """Raises WebhookNotFound, or Unavailable while nothing could be loaded yet."""
        webhook = self._webhooks.find_webhook(address.source_id, address.provider)
        if webhook is None or self._sources.source_by_id(address.source_id) is None:
            raise WebhookNotFound
        return webhook

    async def take(self, address: Address, delivery: Delivery, arrival: Arrival) -> WebhookReceipt:
        """Raises WebhookNotFound, SignatureInvalid with nothing kept, SnsAway, and PublishFailed: then nothing was taken."""
        webhook = self.find(address)
        provider = webhook.provider
        if provider.is_greeting(delivery):
            return WebhookReceipt([], [], ["greeting"])
        await self._verify(webhook, delivery, arrival)
        arrival = structs.replace(arrival, path=write_path(address, provider, delivery))
        reading = provider.read(delivery)
        if isinstance(reading, Refusal):
            _DELIVERIES.labels(provider.name, "unreadable").inc()
            return await self._park(arrival, reading, delivery.body)
        if reading.confirm_url is not None:
            await self._sns.confirm(reading.confirm_url)
        receipt = judge(self._intake, arrival, reading.touchpoints, delivery.body)
        await self._intake.publish(receipt)
        self._count(provider.name, reading, receipt)
        return WebhookReceipt(receipt.accepted, receipt.rejected, list(reading.ignored))

    def judge_parked(self, rejection: ParkedRejection) -> Receipt | None:
        """What becomes of a parked delivery today; None where it can't be judged."""
        found = read_path(rejection.path)
        if found is None:
            return None
        address, headers = found
        webhook = self._webhooks.find_webhook(address.source_id, address.provider)
        source = self._sources.source_by_id(rejection.source_id)
        if webhook is None or source is None:
            return None
        reading = webhook.provider.read(Delivery(rejection.body, headers))
        if isinstance(reading, Refusal):
            return None
        arrival = Arrival(source, rejection.path, rejection.received_at)
        return judge(self._intake, arrival, reading.touchpoints, rejection.body)

    def try_out(self, provider: Provider, delivery: Delivery, arrival: Arrival) -> tuple[Reading, Receipt] | Refusal:
        """What a delivery would become. Nothing is kept."""
        reading = provider.read(delivery)
        if isinstance(reading, Refusal):
            return reading
        return reading, judge(self._intake, arrival, reading.touchpoints, delivery.body)

    async def _verify(self, webhook: LiveWebhook, delivery: Delivery, arrival: Arrival) -> None:
        provider = webhook.provider
        signed = delivery
        if provider.find_certificate is not None:
            url = provider.find_certificate(delivery, webhook.secrets)
            signed = delivery if url is None else replace(delivery, certificate=await self._sns.fetch_certificate(url))
        if not provider.scheme.verify(signed, webhook.secrets, arrival.received_at):
            _DELIVERIES.labels(provider.name, "unsigned").inc()
            raise SignatureInvalid

    async def _park(self, arrival: Arrival, refusal: Refusal, body: bytes) -> WebhookReceipt:
        """Kept as it came, so it is answered as taken: sent again it would be no better."""
        kept = body if len(body) <= _PARKED_WHOLE_BYTES else body[:_KEPT_OF_UNREADABLE]
        await self._intake.park_body(arrival, refusal, kept)
        return WebhookReceipt([], [Rejected(0, refusal.reason, refusal.detail)], [])

    def _count(self, provider: str, reading: Reading, receipt: Receipt) -> None:
        outcome = "rejected" if receipt.rejected else "accepted" if receipt.accepted else "ignored"
        _DELIVERIES.labels(provider, outcome).inc()
        for topic in reading.ignored:
            _IGNORED.labels(provider, self._name_topic(provider, topic)).inc()

    def _name_topic(self, provider: str, topic: str) -> str:
        """Topics are the provider's words: only so many of them become labels."""
        if (provider, topic) in self._topics:
            return topic
        if len(self._topics) >= _MAX_TOPICS or _TOPIC.fullmatch(topic) is None:
            return _OTHER
        self._topics.add((provider, topic))
        return topic


def judge(intake: Intake, arrival: Arrival, touchpoints: Sequence[Touchpoint], body: bytes) -> Receipt:
    """Judge a delivery's touchpoints like any others. However many are refused, the delivery is parked once.

    One too large to be parked whole leaves what is refused in it as touchpoints of our own.
    """
    items = [encode(_name_users(touchpoint, arrival.source.user_id_kind)) for touchpoint in touchpoints]
    if len(body) > _PARKED_WHOLE_BYTES:
        arrival = structs.replace(arrival, path=OWN)
    wrap = _wrap_own if arrival.path == OWN else lambda _items: body
    receipt = Receipt([], [], [])
    for start in range(0, len(items), BATCH_EVENTS):
        part = intake.judge_own(arrival, Batch(items[start : start + BATCH_EVENTS], wrap))
        receipt.accepted += [Accepted(start + one.index, one.message_id, one.id) for one in part.accepted]
        receipt.rejected += [Rejected(start + one.index, one.reason, one.detail) for one in part.rejected]
        receipt.outgoing += part.outgoing
    parked = [record for record in receipt.outgoing if record.topic == TOUCHPOINT_REJECTIONS.name]
    if arrival.path != OWN and len(parked) > 1:
        receipt.outgoing = [record for record in receipt.outgoing if record.topic == TOUCHPOINTS.name] + parked[:1]
    return receipt


def _name_users(touchpoint: Touchpoint, kind: str) -> Touchpoint:
    """What a tool calls the business's own user id is of the kind that the source says."""
    identifiers = touchpoint["identifiers"]
    if kind == "user_id" or "user_id" not in identifiers:
        return touchpoint
    return {**touchpoint, "identifiers": {kind if name == "user_id" else name: value for name, value in identifiers.items()}}


def _wrap_own(items: Sequence[bytes]) -> bytes:
    return b'{"touchpoints":[' + b",".join(items) + b"]}"


def write_path(address: Address, provider: Provider, delivery: Delivery) -> str:
    """The address, and behind it the headers that a reader needs to read the body again."""
    path = f"{WEBHOOKS}{quote(address.provider)}/{quote(address.source_id)}"
    headers = {name: delivery.headers[name] for name in provider.headers if name in delivery.headers}
    return f"{path}?{urlencode(headers)}" if headers else path


def read_path(path: str) -> tuple[Address, dict[str, str]] | None:
    place, _, query = path.partition("?")
    parts = place.removeprefix(WEBHOOKS).split("/")
    if not path.startswith(WEBHOOKS) or len(parts) != 2:  # noqa: PLR2004 - provider and source
        return None
    return Address(parts[0], parts[1]), dict(parse_qsl(query))
