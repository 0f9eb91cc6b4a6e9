"""Use cases of engagement: remember who entered a segment, decide whom to write to, send, and tell what became of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.consent import Defaults, decide
from libs.events import codec, topics
from libs.events.envelope import Outgoing
from libs.events.segments import SegmentMembershipChanged
from libs.events.touchpoints import ConsentStatement, Identifier, TouchpointRecorded, compute_touchpoint_id
from libs.identity.keys import IdentityKey
from libs.kit.clock import Clock
from libs.kit.db import Tx
from libs.kit.ids import IdFactory
from libs.subscriber.changes import Affected
from services.engagement.domain.campaigns import Campaign, History, Recipient, SkipReason, find_recipient, judge_send
from services.engagement.domain.templates import Rendered, Template, TemplateFault, render
from services.engagement.ports import (
    Claimed,
    Delivered,
    Delivery,
    Intent,
    MessageState,
    NotYet,
    Outreach,
    Refused,
    Trigger,
)

SOURCE = "engagement"
CHANNEL: Final = "email"
MAX_TRIES = 8
RETRY_BASE_S = 5
RETRY_MAX_S = 900


@dataclass(frozen=True, slots=True)
class Engagement:
    """What the handlers work with."""

    outreach: Outreach
    identity_key: IdentityKey
    clock: Clock
    new_id: IdFactory
    consent_defaults: Defaults = field(default_factory=dict)


class _Snapshot(msgspec.Struct):
    traits: dict[str, Any] = {}
    aggregates: dict[str, Any] = {}
    identifiers: list[dict[str, Any]] = []
    consent: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    loyalty: dict[str, Any] | None = None
    lead: dict[str, Any] | None = None


_snapshots = msgspec.json.Decoder(_Snapshot)


async def answer_entries(
    tx: Tx, edges: Sequence[SegmentMembershipChanged], members: Mapping[UUID, Affected], engagement: Engagement
) -> int:
    """Decide whom to write to because they entered a segment; how many messages are meant to go out.

    Each entry fires once, by (segment, profile, seq). `members` gives, by the profile id the edge names, the profile it is
    now, locked, in a version that is at least the one judged.
    """
    entries = [
        Trigger(edge.segment_id, edge.profile_id, edge.seq, edge.profile_version, edge.cause, edge.at)
        for edge in edges
        if edge.action == "entered" and edge.profile_id in members
    ]
    fresh = await engagement.outreach.add_triggers(tx, entries) if entries else []
    campaigns: dict[str, list[tuple[Campaign, Template]]] = defaultdict(list)
    if fresh:
        for campaign, template in await engagement.outreach.campaigns_of(tx, sorted({t.segment_id for t in fresh})):
            campaigns[campaign.segment_id].append((campaign, template))
    if not campaigns:
        return 0
    intents = await _decide(tx, fresh, members, campaigns, engagement)
    if intents:
        await engagement.outreach.save_intents(tx, intents)
    return sum(intent.reason is None for intent in intents)


async def _decide(
    tx: Tx,
    entries: Sequence[Trigger],
    members: Mapping[UUID, Affected],
    campaigns: Mapping[str, list[tuple[Campaign, Template]]],
    engagement: Engagement,
) -> list[Intent]:
    outreach = engagement.outreach
    fragments = sorted({fragment for member in members.values() for fragment in member.fragments})
    sent: dict[UUID, list[tuple[str, date]]] = defaultdict(list)
    for before in await outreach.sent_before(tx, fragments):
        sent[before.fragment].append((before.campaign_id, before.sent_on))
    cap = await outreach.daily_cap(tx)
    intents: list[Intent] = []
    for trigger in sorted(entries, key=lambda entry: (entry.at, entry.segment_id, entry.profile_id)):
        member = members[trigger.profile_id]
        for campaign, template in campaigns.get(trigger.segment_id, ()):
            if trigger.cause not in campaign.causes:
                continue
            intent = _judge_one(trigger, member, campaign, template, sent, cap, engagement)
            if intent.reason is None:
                sent[intent.fragment].append((campaign.id, intent.sent_on))
            intents.append(intent)
    return intents


def _judge_one(
    trigger: Trigger,
    member: Affected,
    campaign: Campaign,
    template: Template,
    sent: Mapping[UUID, list[tuple[str, date]]],
    cap: int | None,
    engagement: Engagement,
) -> Intent:
    now = engagement.clock.now()
    today = now.date()
    snapshot = _snapshots.decode(member.snapshot) if member.snapshot else _Snapshot()
    earlier = [entry for fragment in member.fragments for entry in sent.get(fragment, ())]
    history = History(
        campaigns=frozenset(campaign_id for campaign_id, _ in earlier), sent_today=sum(day == today for _, day in earlier)
    )
    recipient = find_recipient(snapshot.identifiers, snapshot.traits)
    reason: SkipReason | None = judge_send(
        campaign,
        recipient=recipient,
        consent=decide(snapshot.consent, campaign.purpose, CHANNEL, snapshot.traits, engagement.consent_defaults),
        history=history,
        daily_cap=cap,
    )
    rendered: Rendered | None = None
    if reason is None:
        done = render(template, _template_data(snapshot, member.profile_id))
        if isinstance(done, TemplateFault):
            reason = "template_error"
        else:
            rendered = done
    return _intent(trigger, member, campaign, recipient, reason, rendered, engagement)


def _template_data(snapshot: _Snapshot, profile_id: UUID) -> dict[str, Any]:
    return {
        "profile": {
            "id": str(profile_id),
            "traits": snapshot.traits,
            "aggregates": snapshot.aggregates,
            "segments": snapshot.segments,
            "loyalty": snapshot.loyalty,
            "lead": snapshot.lead,
        },
        "traits": snapshot.traits,
    }


def _intent(
    trigger: Trigger,
    member: Affected,
    campaign: Campaign,
    recipient: Recipient | None,
    reason: SkipReason | None,
    rendered: Rendered | None,
    engagement: Engagement,
) -> Intent:
    now = engagement.clock.now()
    return Intent(
        id=engagement.new_id(),
        campaign_id=campaign.id,
        fragment=recipient.fragment if recipient else min(member.fragments),
        profile_id=member.profile_id,
        segment_id=trigger.segment_id,
        seq=trigger.seq,
        reason=reason,
        recipient=recipient.address if recipient and reason is None else None,
        sender=campaign.sender,
        subject=rendered.subject if rendered else None,
        text=rendered.text if rendered else None,
        html=rendered.html if rendered else None,
        sent_on=now.date(),
        created_at=now,
    )


async def record_delivery(tx: Tx, message: Claimed, delivery: Delivery, engagement: Engagement) -> list[Outgoing]:
    """Write down what became of a message; an accepted one becomes an `Email Sent` touchpoint of the customer."""
    now = engagement.clock.now()
    outreach = engagement.outreach
    if isinstance(delivery, Delivered):
        await outreach.mark(tx, message.id, "sent", now, reason=None, next_try_at=None)
        return [sent_touchpoint(message, engagement)]
    if isinstance(delivery, NotYet) and message.tries < MAX_TRIES:
        wait_s = min(RETRY_MAX_S, RETRY_BASE_S * 2 ** (message.tries - 1))
        again_at = now + timedelta(seconds=wait_s)
        await outreach.mark(tx, message.id, "queued", now, reason=delivery.reason, next_try_at=again_at)
        return []
    state: MessageState = "failed" if isinstance(delivery, Refused | NotYet) else "uncertain"
    await outreach.mark(tx, message.id, state, now, reason=delivery.reason, next_try_at=None)
    return []


def sent_touchpoint(message: Claimed, engagement: Engagement) -> Outgoing:
    """`Email Sent` with message id `<message>:sent`: published twice, it is still one touchpoint."""
    properties = {"email_id": str(message.id), "campaign_id": message.campaign_id, "email_subject": message.subject}
    return _touchpoint(message, f"{message.id}:sent", "Email Sent", properties, engagement.clock.now(), engagement)


def consent_touchpoint(message: Claimed, click: str, said: ConsentStatement, at: datetime, engagement: Engagement) -> Outgoing:
    """`Consent Changed`, by who holds the message's link. `at` is later than any word known before.

    `click` tells the message's clicks apart: published twice, one is still one touchpoint.
    """
    message_id = f"{message.id}:{click}"
    properties = {name: value for name, value in msgspec.structs.asdict(said).items() if value is not None}
    properties["email_id"] = str(message.id)
    return _touchpoint(message, message_id, "Consent Changed", properties, at, engagement, consent=(said,))


def _touchpoint(
    message: Claimed,
    message_id: str,
    name: str,
    properties: Mapping[str, str],
    at: datetime,
    engagement: Engagement,
    *,
    consent: tuple[ConsentStatement, ...] = (),
) -> Outgoing:
    now = engagement.clock.now()
    fragment = engagement.identity_key.fragment_id("email", message.recipient)
    touchpoint = TouchpointRecorded(
        id=compute_touchpoint_id(SOURCE, message_id),
        message_id=message_id,
        source_id=SOURCE,
        kind="track",
        name=name,
        channel=CHANNEL,
        occurred_at=at,
        received_at=now,
        identifiers=(Identifier(kind="email", value=message.recipient, fragment=fragment),),
        properties=msgspec.Raw(msgspec.json.encode(properties)),
        consent=consent,
    )
    return codec.encode(
        touchpoint,
        topic=topics.TOUCHPOINTS,
        key=fragment,
        event_id=str(touchpoint.id),
        source=SOURCE,
        time=now,
        received_ms=int(now.timestamp() * 1000),
    )
