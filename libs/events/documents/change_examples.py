"""What the touchpoints of the story make of profiles, segments and points."""

from typing import Final

import msgspec

from libs.events.documents.story import (
    ADA,
    ADA_BEFORE,
    BEN,
    BENS_EMAIL,
    EMAIL,
    USER,
    VERSIONS,
    VISITOR,
    minutes,
    show,
    view,
)
from libs.events.documents.touchpoint_examples import IDENTIFY, LEAD, ORDER, PAGE, REFUND, STORY
from libs.events.loyalty import LoyaltyBalanceChanged
from libs.events.profiles import AppliedTouchpoint, Member, ProfileChanged, TouchpointDismissed
from libs.events.segments import SegmentMembershipChanged, SegmentsJudged
from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.kit.ids import read_id


def _member(identifier: Identifier, membership: int) -> Member:
    return Member(identifier.fragment, membership, identifier.kind, identifier.fragment)


def _applied(*touchpoints: TouchpointRecorded) -> tuple[AppliedTouchpoint, ...]:
    return tuple(
        AppliedTouchpoint(touchpoint.identifiers[0].fragment, msgspec.Raw(msgspec.json.encode(touchpoint)))
        for touchpoint in touchpoints
    )


_SHOWN: Final = [show(USER, minutes(1)), show(EMAIL, minutes(1)), show(VISITOR, minutes(0))]
_WEB: Final = {"page_views": 1, "sessions": 1, "last_at": minutes(0)}
_BOUGHT: Final = {
    "count": 1,
    "occasions": 1,
    "first_at": minutes(1),
    "last_at": minutes(1),
    "gross_minor": {"EUR": 11995},
    "refunds_minor": {"EUR": 0},
    "net_minor": {"EUR": 11995},
    "average_minor": {"EUR": 11995},
}
_GAVE_BACK: Final = {**_BOUGHT, "refunds_minor": {"EUR": 2000}, "net_minor": {"EUR": 9995}, "average_minor": {"EUR": 9995}}
_KNOWN: Final = {
    "first_seen_at": minutes(0),
    "identifiers": _SHOWN,
    "traits": {"email": "ada@example.com", "first_name": "Ada", "plan": "gold"},
    "consent": [
        {"purpose": "analytics", "channel": "*", "status": "denied", "at": minutes(2)},
        {"purpose": "marketing", "channel": "*", "status": "granted", "at": minutes(2)},
    ],
    "attribution": {
        "first": {"source": "newsletter", "medium": "email", "campaign": "spring"},
        "last": {"source": "newsletter", "medium": "email", "campaign": "spring"},
    },
}
_AFTER_MERGE: Final = (_member(USER, 2), _member(EMAIL, 2), _member(VISITOR, 1))
_AFTER_REFUND: Final = ProfileChanged(
    profile_id=ADA,
    version=VERSIONS + 3,
    changed_at=minutes(3),
    founding=VISITOR.fragment,
    parts=("orders",),
    causes=("touchpoint",),
    members=_AFTER_MERGE,
    touchpoints=_applied(REFUND),
    snapshot=view(ADA, VERSIONS + 3, minutes(3), **_KNOWN, aggregates={"web": _WEB, "orders": _GAVE_BACK}),
)

CHANGES: Final[tuple[tuple[str, ProfileChanged], ...]] = (
    (
        "a new profile of an anonymous visitor",
        ProfileChanged(
            profile_id=ADA,
            version=VERSIONS + 1,
            changed_at=minutes(0),
            founding=VISITOR.fragment,
            parts=("identifiers", "membership", "web", "attribution"),
            causes=("touchpoint",),
            members=(_member(VISITOR, 1),),
            touchpoints=_applied(PAGE),
            snapshot=view(ADA, VERSIONS + 1, minutes(0), identifiers=[show(VISITOR, minutes(0))], aggregates={"web": _WEB}),
        ),
    ),
    (
        "a new profile with two fragments",
        ProfileChanged(
            profile_id=ADA_BEFORE,
            version=VERSIONS + 1,
            changed_at=minutes(1),
            founding=USER.fragment,
            parts=("identifiers", "membership", "orders"),
            causes=("touchpoint",),
            members=(_member(USER, 1), _member(EMAIL, 1)),
            touchpoints=_applied(ORDER),
            snapshot=view(
                ADA_BEFORE,
                VERSIONS + 1,
                minutes(1),
                identifiers=_SHOWN[:2],
                traits={"email": "ada@example.com"},
                aggregates={"orders": _BOUGHT},
            ),
        ),
    ),
    (
        "a merge: the survivor lists all fragments, those that came with a higher membership",
        ProfileChanged(
            profile_id=ADA,
            version=VERSIONS + 2,
            changed_at=minutes(2),
            founding=VISITOR.fragment,
            parts=("identifiers", "membership", "traits", "orders", "consent"),
            causes=("merge", "touchpoint"),
            members=_AFTER_MERGE,
            touchpoints=_applied(IDENTIFY),
            snapshot=view(ADA, VERSIONS + 2, minutes(2), **_KNOWN, aggregates={"web": _WEB, "orders": _BOUGHT}),
        ),
    ),
    (
        "the profile it absorbed: no members, and where they went",
        ProfileChanged(
            profile_id=ADA_BEFORE,
            version=VERSIONS + 2,
            changed_at=minutes(2),
            founding=USER.fragment,
            parts=("membership",),
            causes=("merge",),
            absorbed_into=ADA,
        ),
    ),
    ("a refund", _AFTER_REFUND),
    (
        "a facet that came back: points and a segment, no touchpoint",
        ProfileChanged(
            profile_id=ADA,
            version=VERSIONS + 4,
            changed_at=minutes(4),
            founding=VISITOR.fragment,
            parts=("loyalty", "segments"),
            causes=("facet",),
            members=_AFTER_MERGE,
            snapshot=view(
                ADA,
                VERSIONS + 4,
                minutes(4),
                **_KNOWN,
                aggregates={"web": _WEB, "orders": _GAVE_BACK},
                segments=[{"id": "buyers", "name": "Buyers", "since": minutes(2)}],
                loyalty={"program": "default", "balance": 99, "pending": 0, "tier": None},
            ),
        ),
    ),
    (
        "somebody else's profile",
        ProfileChanged(
            profile_id=BEN,
            version=VERSIONS + 1,
            changed_at=minutes(16),
            founding=BENS_EMAIL.fragment,
            parts=("identifiers", "membership", "lead"),
            causes=("touchpoint",),
            members=(_member(BENS_EMAIL, 1),),
            touchpoints=_applied(LEAD),
            snapshot=view(
                BEN,
                VERSIONS + 1,
                minutes(16),
                identifiers=[show(BENS_EMAIL, minutes(16))],
                traits={"email": "ben@example.org"},
                lead={"stage": "lead", "since": minutes(16)},
            ),
        ),
    ),
    (
        "the current record once more, because a reader waits for the facets",
        msgspec.structs.replace(_AFTER_REFUND, touchpoints=(), probe=True),
    ),
)

DISMISSED: Final = (
    (
        "a touchpoint that changed nothing",
        TouchpointDismissed(touchpoint_id=STORY[7][1].id, outcome="ignored", reason="suppressed"),
    ),
    (
        "a touchpoint that nobody could apply",
        TouchpointDismissed(touchpoint_id=STORY[8][1].id, outcome="dead_lettered", reason="malformed"),
    ),
)

EDGES: Final = (
    (
        "entered by a touchpoint",
        SegmentMembershipChanged(
            segment_id="buyers",
            segment_name="Buyers",
            segment_version=1,
            profile_id=ADA,
            profile_version=VERSIONS + 2,
            action="entered",
            seq=1,
            at=minutes(2),
            cause="merge",
            touchpoint_id=IDENTIFY.id,
        ),
    ),
    (
        "exited when time had passed, after thirty days",
        SegmentMembershipChanged(
            segment_id="buyers",
            segment_name="Buyers",
            segment_version=1,
            profile_id=ADA,
            profile_version=VERSIONS + 4,
            action="exited",
            seq=2,
            at=minutes(1 + 30 * 24 * 60),
            cause="time",
            previous_s=2591940.0,
        ),
    ),
    (
        "another profile, by a back-fill",
        SegmentMembershipChanged(
            segment_id="everyone",
            segment_name="Everyone",
            segment_version=3,
            profile_id=BEN,
            profile_version=VERSIONS + 1,
            action="entered",
            seq=1,
            at=minutes(20),
            cause="backfill",
        ),
    ),
)

JUDGED: Final = (
    ("a probe's answer", SegmentsJudged(profile_id=ADA, profile_version=VERSIONS + 3)),
    (
        "an answer that comes late: a lower version than the one before",
        SegmentsJudged(profile_id=ADA, profile_version=VERSIONS + 2),
    ),
)


def _points(version: int, at_version: int, **more: object) -> LoyaltyBalanceChanged:
    fields: dict[str, object] = {
        "profile_id": str(ADA),
        "profile_version": VERSIONS + at_version,
        "version": version,
        "program": "default",
        "at": minutes(at_version),
        **more,
    }
    return msgspec.convert(fields, LoyaltyBalanceChanged, dec_hook=read_id)


BALANCES: Final = (
    ("points for an order that came with a merge", _points(1, 2, balance=119, lifetime=119, delta=119, cause="merge")),
    ("taken back for a refund", _points(2, 3, balance=99, lifetime=99, delta=-20, cause="refund")),
    ("a probe's answer: nothing changed", _points(3, 3, balance=99, lifetime=99, cause="probe")),
    ("below zero, after spent points were taken back", _points(4, 4, balance=-1, lifetime=99, delta=-100, cause="redemption")),
)
