"""A fragment's folded state: everything about it that stays small, as compact bytes. What grows lives in rows.

Every member is a mergeable value (least, greatest, sum, latest word), so touchpoints may come in any order and any grouping.
Sections stay encoded until a touchpoint touches them: most touchpoints move only the few integers in front.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from services.profile.domain.accounts import Account, bound_accounts, join_accounts
from services.profile.domain.attribution import Attribution, merge_attributions
from services.profile.domain.bounds import CLAIMED, STATED, Bounds
from services.profile.domain.consent import Consents, bound_consents, join_consents
from services.profile.domain.lead import Lead, merge_leads
from services.profile.domain.sessions import Interval
from services.profile.domain.surveys import HISTORY_MAX
from services.profile.domain.traits import Said, bound_traits, keep_latest, merge_said
from services.profile.domain.usage import Usage, merge_usages

FORMAT: Final = 1
"""Of the bytes. New members are appended with a default; anything else is a new format and a rebuild."""

_NIL: Final = Raw(b"\xc0")

T = TypeVar("T")
encode_packed = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class State(Struct, array_like=True, gc=False):
    """`session`: the latest interval of web or mobile activity. Sections are MessagePack, nil while nothing is in them."""

    format: int = FORMAT
    first_us: int | None = None
    last_us: int | None = None
    page_views: int = 0
    session: Interval | None = None
    traits: Raw = _NIL
    attribution: Raw = _NIL
    consent: Raw = _NIL
    surveys: Raw = _NIL
    lead: Raw = _NIL
    accounts: Raw = _NIL
    answers: Raw = _NIL
    usage: Raw = _NIL
    claimed_traits: Raw = _NIL
    claimed_consent: Raw = _NIL
    claimed_accounts: Raw = _NIL


class Section(Generic[T]):
    """A part of the state that is decoded when first asked for. `merge` never returns a value that belongs to a state.

    `claimed`: what only browsers say of the same, kept apart and joined by `join` when it is looked at.
    """

    __slots__ = ("claimed", "create", "decode", "join", "merge", "name")

    def __init__(
        self,
        name: str,
        kind: Any,
        create: Callable[[], T],
        merge: Callable[[Iterable[T]], T],
        *,
        claimed: "Section[T] | None" = None,
        join: Callable[[Iterable[T]], T] | None = None,
    ) -> None:
        self.name = name
        self.create = create
        self.merge = merge
        self.claimed = claimed
        self.join = join or merge
        self.decode: Callable[[Raw], T] = msgspec.msgpack.Decoder(kind).decode


def _said_and_claimed(
    name: str, kind: Any, join: Callable[[Iterable[T]], T], bound: Callable[[T, Bounds], T]
) -> "tuple[Section[T], Section[T]]":
    """What servers say, and apart from it what only browsers say, each within its own bounds."""
    claimed: Section[T] = Section(f"claimed_{name}", kind, dict, lambda parts: bound(join(parts), CLAIMED))  # type: ignore[arg-type]
    said: Section[T] = Section(name, kind, dict, lambda parts: bound(join(parts), STATED), claimed=claimed, join=join)  # type: ignore[arg-type]
    return said, claimed


TRAITS, CLAIMED_TRAITS = _said_and_claimed("traits", dict[str, Said], merge_said, bound_traits)
ATTRIBUTION: Final[Section[Attribution]] = Section("attribution", Attribution, Attribution, merge_attributions)
CONSENT, CLAIMED_CONSENT = _said_and_claimed("consent", Consents, join_consents, bound_consents)
SURVEYS: Final[Section[dict[str, Said]]] = Section("surveys", dict[str, Said], dict, merge_said)
LEAD: Final[Section[Lead]] = Section("lead", Lead, Lead, merge_leads)
USAGE: Final[Section[Usage]] = Section("usage", Usage, Usage, merge_usages)
ACCOUNTS, CLAIMED_ACCOUNTS = _said_and_claimed("accounts", dict[str, Account], join_accounts, bound_accounts)


def _merge_answers(parts: Iterable[list[Said]]) -> list[Said]:
    return keep_latest((word for part in parts for word in part), HISTORY_MAX)


ANSWERS: Final[Section[list[Said]]] = Section("answers", list[Said], list, _merge_answers)

_decode = msgspec.msgpack.Decoder(State).decode


class OpenState:
    """A state being folded. `edit` opens a section to be changed, `read` to be looked at; `encode` writes what was edited.

    `points` are the batch's activity in this fragment, not yet in `state.session`; `is_changed`: whether anything was folded.
    """

    __slots__ = ("_edited", "_opened", "is_changed", "points", "state")

    def __init__(self, packed: bytes) -> None:
        self.state = _decode(packed) if packed else State()
        self.points: list[int] = []
        self.is_changed = False
        self._opened: dict[str, Any] = {}
        self._edited: set[str] = set()

    def read(self, section: Section[T]) -> T:
        name = section.name
        value = self._opened.get(name)
        if value is None:
            raw = getattr(self.state, name)
            value = self._opened[name] = section.create() if bytes(raw) == _NIL_BYTES else section.decode(raw)
        return cast("T", value)

    def edit(self, section: Section[T]) -> T:
        self._edited.add(section.name)
        return self.read(section)

    def encode(self) -> bytes:
        for name in self._edited:
            setattr(self.state, name, Raw(encode_packed(self._opened[name])))
        return encode_packed(self.state)


_NIL_BYTES: Final = bytes(_NIL)


class OpenStates:
    """The states of a profile's fragments, opened when first asked for."""

    __slots__ = ("_opened", "_packed", "members")

    def __init__(self, members: Collection[UUID], packed: Mapping[UUID, bytes]) -> None:
        self.members = members
        self._packed = packed
        self._opened: dict[UUID, OpenState] = {}

    def __getitem__(self, fragment: UUID) -> OpenState:
        opened = self._opened.get(fragment)
        if opened is None:
            opened = self._opened[fragment] = OpenState(self._packed[fragment])
        return opened

    def active(self) -> list[tuple[UUID, OpenState]]:
        """Fragments with activity in this batch."""
        return [one for one in self._opened.items() if one[1].points]

    def encode_changed(self) -> dict[UUID, bytes]:
        return {fragment: opened.encode() for fragment, opened in self._opened.items() if opened.is_changed}


def merge_section(states: OpenStates, section: Section[T]) -> T:
    """The section over all fragments, to be looked at, not changed."""
    opened = [states[fragment].read(section) for fragment in states.members]
    merged = opened[0] if len(opened) == 1 else section.merge(opened)
    if section.claimed is None:
        return merged
    claimed = merge_section(states, section.claimed)
    return section.join((merged, claimed)) if claimed else merged
