"""What a website may read of its own visitor: by which id, and when what is known may be shown.

A browser's word ties an anonymous id to whomever it names, and a write key of a website is no secret. So an anonymous id opens a
profile only as far as nobody could have tied it there by a claim: see `may_see`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from services.profile.domain.identity import ANONYMOUS_ID, UNKNOWN_PERSON_KINDS

_UUID_4: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")
_ANY_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX: Final = re.compile(r"[0-9a-f]{32,128}|[0-9A-F]{32,128}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]{22,128}")
_FEWEST_DIGITS: Final = 8
"""Fewer different hexadecimal digits among 30 or more have a chance of 1 in 10 million: a counter, not a draw."""
_FEWEST_LETTERS: Final = 10
NOBODY: Final[dict[str, Any]] = {"segments": [], "tier": None, "points": 0}
"""What is shown of a visitor who isn't known, has nothing, or may not see it: always the same."""


class Seen(msgspec.Struct):
    """An identifier of the profile as the view shows it."""

    kind: str
    fragment: UUID
    verified: bool


class _Segment(msgspec.Struct):
    id: str
    name: str


class _Points(msgspec.Struct):
    balance: int = 0
    tier: str | None = None


class _Facets(msgspec.Struct):
    segments: list[_Segment]
    loyalty: _Points


read_seen = msgspec.json.Decoder(list[Seen]).decode
_facets = msgspec.json.Decoder(_Facets)


def is_unguessable(anonymous_id: str) -> bool:
    """Whether it has the form of at least 122 random bits: a UUIDv4, 32 or more hexadecimal digits, 22 or more of base64url.

    A form proves no randomness, but what clearly is none is refused: UUIDs of other versions, which hold a time or a name,
    counters, words in one letter case.
    """
    if _ANY_UUID.fullmatch(anonymous_id):
        return _UUID_4.fullmatch(anonymous_id) is not None and _has_digits(anonymous_id)
    if _HEX.fullmatch(anonymous_id):
        return _has_digits(anonymous_id)
    return (
        _BASE64URL.fullmatch(anonymous_id) is not None
        and len(set(anonymous_id)) >= _FEWEST_LETTERS
        and anonymous_id not in (anonymous_id.lower(), anonymous_id.upper())
    )


def _has_digits(text: str) -> bool:
    return len(set(text.lower()) - {"-"}) >= _FEWEST_DIGITS


def is_only_anonymous(seen: Sequence[Seen]) -> bool:
    """Such a profile opens by any of its ids: to be tied to it, one must know them."""
    return all(one.kind == ANONYMOUS_ID for one in seen)


def may_see(seen: Sequence[Seen], address: UUID, vouched: Iterable[tuple[UUID, UUID]]) -> bool:
    """Whether the anonymous id of this address opens the profile of somebody known, that shows these identifiers.

    `vouched`: the profile's links that a server or a merge by command made and no ban voids. It does where all that is known of
    the person hangs together with the id by such links alone: a browser's claim may have brought together anybody with anybody.
    Once the address leads to another fragment than its first (a shared device) it opens nothing.
    """
    shown = {one.fragment for one in seen}
    if address not in shown:
        return False
    neighbours: dict[UUID, set[UUID]] = {}
    for a, b in vouched:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    reached, ahead = {address}, [address]
    while ahead:
        found = neighbours.get(ahead.pop(), set()) - reached
        reached |= found
        ahead += found
    known = [one for one in seen if one.kind not in UNKNOWN_PERSON_KINDS]
    return bool(known) and all(one.verified and one.fragment in reached for one in known)


def show_visitor(facets: bytes) -> dict[str, Any]:
    """Segments, tier and points of a profile's facets, and nothing else."""
    if not facets:
        return NOBODY
    found = _facets.decode(b"{%b}" % facets)
    segments = [{"id": one.id, "name": one.name} for one in found.segments]
    return {"segments": segments, "tier": found.loyalty.tier, "points": found.loyalty.balance}
