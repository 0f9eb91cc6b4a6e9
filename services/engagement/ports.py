"""What the engagement handlers need from outside: storage in the caller's transaction, and a way to send mail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol
from uuid import UUID

from libs.kit.db import Tx
from services.engagement.domain.campaigns import Campaign, SkipReason
from services.engagement.domain.templates import Template

MessageState = Literal["queued", "sending", "sent", "failed", "uncertain", "skipped"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A segment entry that may start campaigns, once per (segment, profile, seq)."""

    segment_id: str
    profile_id: UUID
    seq: int
    profile_version: int
    cause: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Intent:
    """A message that is meant to be sent (`reason` None), or was decided against (`reason` says why)."""

    id: UUID
    campaign_id: str
    fragment: UUID
    profile_id: UUID
    segment_id: str
    seq: int
    reason: SkipReason | None
    recipient: str | None
    sender: str
    subject: str | None
    text: str | None
    html: str | None
    sent_on: date
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message this process alone may send now."""

    id: UUID
    campaign_id: str
    fragment: UUID
    recipient: str
    sender: str
    subject: str
    text: str
    html: str | None
    tries: int


@dataclass(frozen=True, slots=True)
class SentBefore:
    fragment: UUID
    campaign_id: str
    sent_on: date


class Outreach(Protocol):
    """Campaigns, triggers and messages. Callers hold the locks of the profiles they judge."""

    async def add_triggers(self, tx: Tx, triggers: Sequence[Trigger]) -> list[Trigger]:
        """Insert those not seen before and return them: a trigger fires once."""

    async def campaigns_of(self, tx: Tx, segment_ids: Sequence[str]) -> list[tuple[Campaign, Template]]:
        """Active campaigns of these segments with their templates, in order of id."""

    async def daily_cap(self, tx: Tx) -> int | None: ...

    async def sent_before(self, tx: Tx, fragments: Sequence[UUID]) -> list[SentBefore]:
        """Messages that were meant for these fragments, skipped ones excepted."""

    async def save_intents(self, tx: Tx, intents: Sequence[Intent]) -> None: ...

    async def claim_due(self, tx: Tx, owner: int, now: datetime) -> Claimed | None:
        """Take one queued message for `owner` (state sending). Nobody else gets it until it is marked."""

    async def load_message(self, tx: Tx, message_id: UUID) -> tuple[Claimed, str] | None:
        """A message that has a recipient, and the purpose of its campaign."""

    async def mark(
        self, tx: Tx, message_id: UUID, state: MessageState, now: datetime, *, reason: str | None, next_try_at: datetime | None
    ) -> None: ...

    async def abandon_orphans(self, tx: Tx, own: int, now: datetime) -> list[UUID]:
        """Messages in state sending whose owner is gone become uncertain: nobody knows whether they went out."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server accepted the message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no, for good: it never goes out."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The message certainly did not go out; it may be tried again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The connection ended after the body was handed over and before the answer: it must not be sent again."""

    reason: str


Delivery = Delivered | Refused | NotYet | Uncertain


class Mailer(Protocol):
    """Sends one e-mail. The Message-ID is made of the message's id, so that a receiver can tell a repeat."""

    async def send(self, message: Claimed, *, unsubscribe_url: str) -> Delivery: ...
