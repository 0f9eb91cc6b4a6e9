"""Whether a campaign may write to someone: consent, address, once, and no more than the day's cap. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from libs.consent import Decision
from services.engagement.domain.addresses import to_mailbox

SkipReason = Literal["no_address", "invalid_address", "no_consent", "already_sent", "capped", "template_error"]

# Edges that come from a customer's touch or from passing time. A merge, split, edit or back-fill starts no campaign
# unless the campaign asks for it: those people did nothing just now.
DEFAULT_CAUSES = frozenset({"touchpoint", "time", "facet"})


@dataclass(frozen=True, slots=True)
class Campaign:
    """Sends `template_id` by e-mail when a profile enters `segment_id`, for `purpose` (the consent it needs)."""

    id: str
    name: str
    segment_id: str
    template_id: str
    purpose: str
    sender: str
    active: bool
    causes: frozenset[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """What the snapshot says of the person: `fragment` is the e-mail identifier's, the facts of messages stand under it."""

    address: str
    fragment: UUID


@dataclass(frozen=True, slots=True)
class History:
    """Messages already meant for this profile: campaigns that have written, and how many messages today (UTC)."""

    campaigns: frozenset[str]
    sent_today: int


def judge_send(
    campaign: Campaign,
    *,
    recipient: Recipient | None,
    consent: Decision,
    history: History,
    daily_cap: int | None,
) -> SkipReason | None:
    """None when the message may go; else the first reason that forbids it."""
    if campaign.id in history.campaigns:
        return "already_sent"
    if recipient is None:
        return "no_address"
    if to_mailbox(recipient.address) is None:
        return "invalid_address"
    if consent.status != "granted":
        return "no_consent"
    if daily_cap is not None and history.sent_today >= daily_cap:
        return "capped"
    return None


def find_recipient(identifiers: Sequence[Mapping[str, Any]], traits: Mapping[str, Any]) -> Recipient | None:
    """The e-mail the profile shows, when it is one of its live identifiers."""
    shown = traits.get("email")
    for entry in identifiers:
        if entry.get("kind") == "email" and entry.get("value") == shown:
            return Recipient(address=entry["value"], fragment=UUID(entry["fragment"]))
    return None
