"""The view as it is shown and told: what identity and the facets add to the folded `core`, and versions.

Everything stays bytes: a view is put together from parts that were rendered when they changed.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from libs.identity import strength_key
from services.profile.domain.nodes import Node

GENERATION_BITS: Final = 40
SEGMENTS: Final = "segments"
LOYALTY: Final = "loyalty"
FACETS: Final = (SEGMENTS, LOYALTY)
LEFT: Final = "left"
"""Stands among the facets' judged versions for the version with which the id left the rest of its profile."""
DEFAULT_PROGRAM: Final = "default"


class ShownIdentifier(msgspec.Struct):
    kind: str
    value: str
    fragment: UUID
    verified: bool
    since: str
    first_seen_at: str
    last_seen_at: str


class ShownSegment(msgspec.Struct):
    id: str
    name: str
    since: str


class ShownPoints(msgspec.Struct):
    """An unknown member's are zeros: clients need no existence check."""

    program: str = DEFAULT_PROGRAM
    balance: int = 0
    pending: int = 0
    lifetime: int = 0
    tier: str | None = None


class FacetRow(msgspec.Struct, frozen=True):
    """What another service said last of one key; an empty body takes it back."""

    facet: str
    key: str
    body: bytes


_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def next_version(version: int, generation: int) -> int:
    """`generation << 40 | n`: grows by one, and a raised generation lifts it above all that was before."""
    return max(version, generation << GENERATION_BITS) + 1


def render_identifiers(nodes: Iterable[Node]) -> bytes:
    """Every live identifier once, strongest first: the same for every order of arrival."""
    shown = [
        ShownIdentifier(node.kind, node.value, node.fragment, node.verified, node.since, node.first, node.last)
        for node in nodes
        if node.carried and node.address is not None
    ]
    if len(shown) > 1:
        shown.sort(key=_strength)
    return _encode(shown)


def _strength(shown: ShownIdentifier) -> tuple[int, str, str]:
    return strength_key(shown.kind, shown.value)


def render_facets(rows: Sequence[FacetRow]) -> bytes:
    """Members of a JSON object, without its braces."""
    segments = sorted((row.key, row.body) for row in rows if row.facet == SEGMENTS and row.body)
    points = {row.key: row.body for row in rows if row.facet == LOYALTY and row.body}
    # One program is shown; where it isn't the default one, the first by name.
    shown = points.get(DEFAULT_PROGRAM) or (points[min(points)] if points else _encode(ShownPoints()))
    listed = b",".join(body for _, body in segments)
    return b'"segments":[%b],"loyalty":%b,"computed":{},"scores":{}' % (listed, shown)


NO_FACETS: Final = render_facets(())
NO_IDENTIFIERS: Final = b"[]"


def compare_facets(before: bytes, after: bytes) -> set[str]:
    """Names of the members that read otherwise: the parts of a change."""
    old, new = (_members.decode(b"{%b}" % (facets or NO_FACETS)) for facets in (before, after))
    return {name for name, raw in new.items() if old.get(name) != raw}


def render_view(profile_id: UUID, version: int, updated_at: str, identifiers: bytes, core: bytes, facets: bytes) -> bytes:
    """`GET /v1/profiles/{id}` as of a version."""
    head = f'{{"id":"{profile_id}","version":{version},"updated_at":"{updated_at}","identifiers":'
    return b"%b%b,%b,%b}" % (head.encode(), identifiers, core, facets or NO_FACETS)


MEMBERS: Final = (
    "identifiers",
    "traits",
    "aggregates",
    "attribution",
    "consent",
    "lead",
    "accounts",
    "last_message",
    "segments",
    "loyalty",
    "computed",
    "scores",
)
"""What a reader may ask for alone; id, version and the times come with it."""
_ALWAYS: Final = frozenset({"id", "version", "first_seen_at", "last_seen_at", "updated_at"})


def pick_members(view: bytes, names: Collection[str]) -> bytes:
    """The view with only these of its members."""
    return _encode({name: raw for name, raw in _members.decode(view).items() if name in names or name in _ALWAYS})
