"""What customers do: one `TouchpointRecorded` per accepted touchpoint, one `TouchpointRejected` per refused one."""

import hashlib
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Raw, Struct

from libs.events.fields import Instant, JsonObject
from libs.kit.ids import Id, make_uuid8
from libs.orders.statements import Money, OrderLine, OrderStatement

Kind = Literal["track", "identify", "page", "screen", "group", "alias"]
Channel = Literal["web", "mobile", "pos", "social", "support", "email", "sms", "push", "server", "import"]
EMPTY_OBJECT = Raw(b"{}")


class Identifier(Struct, frozen=True, omit_defaults=True):
    """One identifier a touchpoint names: normalised, with its epoch-0 fragment id.

    `verified` is false where only a browser claims it.
    """

    kind: str
    value: str
    fragment: Id
    verified: bool = True


class Campaign(Struct, frozen=True, omit_defaults=True):
    """Where the visit came from: stated by the campaign, or derived from a click id or an external referrer."""

    source: str | None = None
    medium: str | None = None
    campaign: str | None = None


class ConsentStatement(Struct, frozen=True, omit_defaults=True):
    """One word on consent. `channel` is `*` where it holds for every channel; `proof`: how it can be shown that it was said."""

    purpose: str
    channel: str
    status: Literal["granted", "denied"]
    wording_version: str | None = None
    proof: str | None = None


class Page(Struct, frozen=True, omit_defaults=True):
    """The page it came from. Addresses without query, fragment and credentials; the context has them as sent."""

    url: str | None = None
    path: str | None = None
    title: str | None = None
    referrer: str | None = None


class Device(Struct, frozen=True, omit_defaults=True):
    """What the user agent says of the device, named as uap-core names them.

    `kind` is desktop, mobile, tablet, tv or console. `bot`: a program (crawler, page test, script), not a person.
    """

    kind: str | None = None
    browser: str | None = None
    os: str | None = None
    bot: bool = False


class TouchpointRecorded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A touchpoint as ingest accepted it.

    `identifiers` stand strongest first (libs.identity.STRENGTH) and are never empty; the first is the Kafka key.
    `occurred_at` is the corrected time t, `original_at` the customer's own word where it differs.
    `properties`, `traits` and `context` are JSON objects exactly as sent (reserved traits keep the sender's spelling).
    `order` is set on Order Completed/Updated/Cancelled/Refunded: exact decimals, for those who settle orders. `money` is the
    amount it states in minor units, where its currency is known, and `lines` its lines in short. `flags` name what was repaired.
    """

    TYPE: ClassVar[str] = "rapport.touchpoint.recorded.v1"

    id: Id
    message_id: str
    source_id: str
    kind: Kind
    name: str
    channel: Channel
    occurred_at: Instant
    received_at: Instant
    identifiers: Annotated[tuple[Identifier, ...], Meta(min_length=1)]
    original_at: Instant | None = None
    previous: tuple[Identifier, ...] = ()
    group_id: str | None = None
    properties: JsonObject = EMPTY_OBJECT
    traits: JsonObject = EMPTY_OBJECT
    context: JsonObject = EMPTY_OBJECT
    order: OrderStatement | None = None
    campaign: Campaign | None = None
    consent: tuple[ConsentStatement, ...] = ()
    flags: tuple[str, ...] = ()
    money: Money | None = None
    lines: tuple[OrderLine, ...] = ()
    page: Page | None = None
    device: Device | None = None


class TouchpointRejected(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A touchpoint ingest refused, with its original bytes (base64 in JSON), so that it can be shown and replayed."""

    TYPE: ClassVar[str] = "rapport.touchpoint.rejected.v1"

    id: Id
    source_id: str
    received_at: Instant
    reason: str
    detail: str
    path: str
    body: bytes


def compute_touchpoint_id(source_id: str, message_id: str) -> UUID:
    """UUIDv8 of the first 128 bits of SHA-256(source id + U+001F + message id): same source and message id, same touchpoint."""
    return make_uuid8(hashlib.sha256(f"{source_id}\x1f{message_id}".encode()).digest()[:16])
