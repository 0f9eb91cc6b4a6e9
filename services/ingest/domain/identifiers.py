"""Whom a call is about: which of its fields name somebody, in normal form, strongest first."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from libs.identity import IdentityKey, normalise, normalise_kind, strength_key, to_text
from services.ingest.domain.limits import IDENTIFIER_CHARS, IDENTIFIERS
from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.vocabulary import Kind

I_co = TypeVar("I_co", covariant=True)
I = TypeVar("I")  # noqa: E741 - an identifier

Claim = tuple[str, object]
"""A kind and the value as sent."""

_REMEMBERED: Final = 65_536
"""Some 600 bytes each; one that has to be made again costs a few microseconds."""
_OWN_KINDS: Final = frozenset({"anonymous_id", "device_id"})
_PERSON_TRAITS: Final = ("loyalty_card", "email", "phone")


class SourceRules(Protocol):
    """What normalisation has to know of a source."""

    @property
    def id(self) -> str: ...
    @property
    def verified(self) -> bool: ...
    @property
    def default_channel(self) -> str | None: ...
    @property
    def default_currency(self) -> str: ...
    @property
    def user_id_kind(self) -> str: ...


class Named(NamedTuple, Generic[I_co]):
    """An identifier in normal form. `strength` sorts the strongest first; `key` is the log's key: its fragment's id."""

    strength: tuple[int, str, str]
    key: str
    identifier: I_co


class IdentifierBook(Generic[I]):
    """Turns claims into identifiers and remembers the latest: most traffic names the same people again.

    `make(kind, value, fragment, verified)` builds what the record carries. Blocked and empty values give None.
    """

    def __init__(self, key: IdentityKey, *, region: str, make: Callable[[str, str, UUID, bool], I]) -> None:
        @lru_cache(maxsize=_REMEMBERED)
        def name(kind: str, text: str, verified: bool) -> Named[I] | Refusal | None:
            value = normalise(kind, text, region=region)
            if value is None:
                return None
            if len(value) > IDENTIFIER_CHARS:
                return Refusal(Reason.IDENTIFIER_TOO_LONG, f"a {kind} of more than {IDENTIFIER_CHARS} characters")
            fragment = key.work_out_fragment_id(kind, value)
            return Named(strength_key(kind, value), str(fragment), make(kind, value, fragment, verified))

        self._name = name

    def name(self, kind: str, value: object, *, verified: bool) -> Named[I] | Refusal | None:
        text = value if type(value) is str else to_text(value)
        # A browser is the only one to know its own anonymous id: nobody could verify more.
        return self._name(kind, text, verified or kind in _OWN_KINDS) if text else None

    def name_all(self, claims: Iterable[Claim], *, verified: bool) -> list[Named[I]] | Refusal:
        """Each identifier once, strongest first. Refused where nobody is left, or too many are."""
        found: list[Named[I]] = []
        in_order = True
        for kind, value in claims:
            named = self.name(kind, value, verified=verified)
            if named is None:
                continue
            if isinstance(named, Refusal):
                return named
            if not found:
                found.append(named)
            elif named not in found:
                in_order = in_order and found[-1].strength < named.strength
                found.append(named)
        if not found:
            return Refusal(Reason.NO_IDENTIFIER, "no identifier, or only values that identify nobody")
        if len(found) > IDENTIFIERS:
            return Refusal(Reason.TOO_MANY_IDENTIFIERS, f"more than {IDENTIFIERS} identifiers")
        if not in_order:
            found.sort(key=_by_strength)
        return found


def _by_strength(named: Named[object]) -> tuple[int, str, str]:
    return named.strength


def collect_claims(
    kind: Kind,
    *,
    user_id: object,
    anonymous_id: object,
    traits: dict[str, object],
    context: dict[str, object],
    source: SourceRules,
) -> list[Claim]:
    """The fields of a tracking call that name somebody.

    `userId` is of the kind the source says; e-mail, phone and loyalty card count in an identify's traits and in any call's
    `context.traits`; a group's traits are its account's.
    """
    claims: list[Claim] = []
    if user_id is not None:
        claims.append((source.user_id_kind, user_id))
    if anonymous_id is not None:
        claims.append(("anonymous_id", anonymous_id))
    if kind == "identify":
        _collect_traits(claims, traits)
    if context:
        known = context.get("traits")
        if isinstance(known, dict):
            _collect_traits(claims, known)
        device = context.get("device")
        if isinstance(device, dict):
            claims.append(("device_id", device.get("id")))
        external = context.get("externalIds")
        if isinstance(external, list):
            claims.extend(_read_external_ids(external))
    return claims


def _collect_traits(claims: list[Claim], traits: dict[str, object]) -> None:
    claims.extend((kind, traits[kind]) for kind in _PERSON_TRAITS if kind in traits)


def _read_external_ids(entries: list[object]) -> Iterable[Claim]:
    """`[{type, id, collection, encoding}]`. Ids of accounts (`collection: accounts`) name no person."""
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("collection", "users") not in ("users", None):
            continue
        kind = normalise_kind(entry.get("type"))
        if kind is not None:
            yield kind, entry.get("id")


def collect_previous(previous_id: object, user_id: object, anonymous_id: object, *, source: SourceRules) -> list[Claim]:
    """Whom an alias says the new id was before.

    A server's word links the id both as a user's and as an anonymous one, since the call doesn't say which it was; a
    browser's links the anonymous one only. The same id twice says nothing.
    """
    previous = to_text(previous_id)
    new = to_text(user_id) or to_text(anonymous_id)
    if not previous or (new is not None and previous.strip() == new.strip()):
        return []
    if source.verified:
        return [(source.user_id_kind, previous), ("anonymous_id", previous)]
    return [("anonymous_id", previous)]
