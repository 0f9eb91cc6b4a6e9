"""How journal rows read in lists: timeline, history, refusals, links."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw

from libs.events.codec import decoder_for
from libs.events.touchpoints import ConsentStatement, TouchpointRecorded
from libs.kit.times import format_utc, from_micros, to_micros
from services.profile.domain.consent import compute_word_time
from services.profile.domain.provenance import Origin

_touchpoint = decoder_for(TouchpointRecorded)
encode = msgspec.json.Encoder().encode


class ShownNode(msgspec.Struct):
    kind: str
    value: str
    fragment: UUID


class TimelineItem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A touchpoint as it was applied. `original_at` is the customer's own word where the time was corrected; `sentiment`
    the score of its text, and the version of what gave it.
    """

    id: UUID
    message_id: str
    kind: str
    name: str
    channel: str
    source: str
    occurred_at: str
    received_at: str
    fragment: UUID
    identifiers: list[dict[str, object]]
    properties: Raw
    original_at: str | None = None
    traits: Raw | None = None
    flags: tuple[str, ...] = ()
    context: Raw | None = None
    sentiment: Raw | None = None


class ConsentItem(msgspec.Struct, kw_only=True):
    """What one touchpoint said of consent: its `words` have purpose, channel, status, and wording version and proof where said.

    `at` is the time the words count from.
    """

    touchpoint_id: UUID
    name: str
    at: str
    received_at: str
    source: str
    fragment: UUID
    words: list[ConsentStatement]


class TraitItem(msgspec.Struct, kw_only=True):
    """A trait as the view shows it, and who said so when; `original` is what they sent, where it was cleansed."""

    name: str
    value: Raw
    at: str
    touchpoint_id: UUID
    source: str | None
    fragment: UUID
    original: Raw | None


class HistoryItem(msgspec.Struct, kw_only=True):
    """`other_id` became part of `profile_id` (merge), left it (split), or may again be linked with it (unban).

    `identifiers` are the two that the cause of a merge put together, or the one that a split took out. A command's cause has
    its `reason` and `actor`, the name of the API key it came with; that of an unban names the ban.
    """

    id: str
    kind: str
    at: str
    profile_id: UUID
    other_id: UUID
    cause: dict[str, object]
    identifiers: list[ShownNode]


class RefusalItem(msgspec.Struct, kw_only=True):
    """`identifiers` gave way; the touchpoint is `kept_by`'s, or nobody's where none was left. `rules`: by which version."""

    id: str
    at: str
    touchpoint_id: UUID
    reason: str
    identifiers: list[ShownNode]
    kept_by: ShownNode | None
    rules: int | None


class BanItem(msgspec.Struct, kw_only=True):
    """`identifier` was split off and is kept from all of `against` until the ban is lifted."""

    id: UUID
    at: str
    reason: str
    actor: str
    identifier: ShownNode
    against: list[ShownNode]


def show_ban(row: Any, described: Mapping[UUID, tuple[str, str]]) -> BanItem:
    """A row of `load_bans`; `described`: fragment -> kind and value."""
    _, ban_id, at, reason, actor, fragment, against = row
    shown = [ShownNode(*described[one], one) for one in (fragment, *against)]
    return BanItem(id=ban_id, at=format_utc(at), reason=reason, actor=actor, identifier=shown[0], against=shown[1:])


def show_touchpoint(row: Any, *, with_context: bool) -> TimelineItem:
    """A row of `load_timeline`."""
    fragment, _, _, body, sentiment = row
    touchpoint = _touchpoint.decode(body)
    return TimelineItem(
        id=touchpoint.id,
        message_id=touchpoint.message_id,
        kind=touchpoint.kind,
        name=touchpoint.name,
        channel=touchpoint.channel,
        source=touchpoint.source_id,
        occurred_at=format_utc(touchpoint.occurred_at),
        received_at=format_utc(touchpoint.received_at),
        fragment=fragment,
        identifiers=[{"kind": one.kind, "value": one.value, "verified": one.verified} for one in touchpoint.identifiers],
        properties=touchpoint.properties,
        original_at=format_utc(touchpoint.original_at) if touchpoint.original_at is not None else None,
        traits=touchpoint.traits if bytes(touchpoint.traits) != b"{}" else None,
        flags=touchpoint.flags,
        context=touchpoint.context if with_context else None,
        sentiment=Raw(sentiment.encode()) if sentiment is not None else None,
    )


def show_consent(row: Any, purpose: str | None, channel: str | None) -> ConsentItem:
    """A row of `load_consents`, with those of its words that are asked for."""
    fragment, _, _, body, _ = row
    touchpoint = _touchpoint.decode(body)
    words = [one for one in touchpoint.consent if purpose in (None, one.purpose) and channel in (None, one.channel)]
    return ConsentItem(
        touchpoint_id=touchpoint.id,
        name=touchpoint.name,
        at=format_utc(from_micros(compute_word_time(to_micros(touchpoint.occurred_at), touchpoint))),
        received_at=format_utc(touchpoint.received_at),
        source=touchpoint.source_id,
        fragment=fragment,
        words=words,
    )


def show_origin(origin: Origin, source: str | None) -> TraitItem:
    return TraitItem(
        name=origin.name,
        value=Raw(origin.value),
        at=format_utc(from_micros(origin.t_us)),
        touchpoint_id=origin.touchpoint_id,
        source=source,
        fragment=origin.fragment,
        original=None if origin.original is None else Raw(origin.original),
    )


def show_history(row: Any) -> HistoryItem:
    """A row of `load_history`."""
    applied, other_id, kind, profile_id, touchpoint_id, reason, at, kinds, values, fragments, command_id, actor = row
    cause: dict[str, object] = {"kind": "command", "command_id": command_id, "reason": reason, "actor": actor}
    if touchpoint_id is not None:
        cause = {"kind": "touchpoint", "touchpoint_id": touchpoint_id}
    return HistoryItem(
        id=f"{applied}:{other_id}",
        kind=kind,
        at=format_utc(at),
        profile_id=profile_id,
        other_id=other_id,
        cause=cause,
        identifiers=_show_nodes(kinds, values, fragments),
    )


def show_refusal(row: Any) -> RefusalItem:
    """A row of `load_refusals`."""
    _, touchpoint_id, reason, at, own_kind, own_value, own_fragment, kinds, values, found, named, fragments, rules = row
    if named is not None:  # values that have no fragment: nothing is ever folded there
        kinds, _, values = zip(*(one.partition(":") for one in named), strict=True)
        found = fragments
    return RefusalItem(
        id=f"{touchpoint_id}:{reason}",
        at=format_utc(at),
        touchpoint_id=touchpoint_id,
        reason=reason,
        identifiers=_show_nodes(kinds, values, found),
        kept_by=ShownNode(own_kind, own_value, own_fragment) if own_kind is not None else None,
        rules=rules,
    )


def _show_nodes(kinds: Sequence[str], values: Sequence[str], fragments: Sequence[UUID]) -> list[ShownNode]:
    return [ShownNode(kind, value, fragment) for kind, value, fragment in zip(kinds, values, fragments, strict=True)]
