"""Traits: last writer wins by (t, touchpoint id), one by one; null deletes. Decides what a touchpoint states, under what name."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from libs.identity import normalise
from services.profile.domain.bounds import TRAITS_SHOWN_BYTES, Bounds, choose_shown, keep_least
from services.profile.domain.touchpoint import NamedIdentifier, Touchpoint
from services.profile.domain.values import NULL, encode_json, read_text


class Said(Struct, array_like=True, frozen=True, gc=False):
    """What a touchpoint stated: the latest by (t, touchpoint id) stands. `value` is JSON; None says that it is deleted.

    `original`: what was sent, where cleansing made another value of it.
    """

    t_us: int
    by: bytes
    value: bytes | None
    original: bytes | None = None


Traits: TypeAlias = dict[str, Said]
Refused: TypeAlias = Collection[tuple[str, str]]
"""(kind, normalised value) of the identifiers that resolution refused on a touchpoint: they are no traits of this profile."""

RESERVED: Final = {"firstName": "first_name", "lastName": "last_name", "createdAt": "created_at"}
"""Of Segment's reserved traits (spec/identify) those whose two spellings differ; the other ones are single words."""

STANDARD: Final = frozenset(
    {
        "address",
        "age",
        "avatar",
        "birthday",
        "company",
        "country",
        "created_at",
        "description",
        "email",
        "first_name",
        "gender",
        "id",
    }
    | {"last_name", "loyalty_card", "name", "phone", "plan", "title", "username", "website"}
)
"""Traits that are kept and shown whatever else there is: Segment's reserved ones, and what Rapport itself reads."""

_CONTACTS: Final = ("email", "phone")
_NO_OBJECT: Final = frozenset({b"{}", b"null"})
_object = msgspec.json.Decoder(dict[str, Raw])


class _Context(Struct):
    traits: Raw = Raw(b"{}")


_context = msgspec.json.Decoder(_Context)


def is_later(a: Said, b: Said | None) -> bool:
    """Whether `a` has the last word over `b`."""
    return b is None or a.t_us > b.t_us or (a.t_us == b.t_us and a.by > b.by)


def fold_said(said: dict[str, Said], name: str, word: Said) -> None:
    if is_later(word, said.get(name)):
        said[name] = word


def keep_latest(words: Iterable[Said], most: int) -> list[Said]:
    """The latest of the words, each once, newest first: by (t, touchpoint id), so that it doesn't matter when which came."""
    known = {(word.t_us, word.by): word for word in words}
    return [known[stamp] for stamp in sorted(known, reverse=True)[:most]]


def merge_said(parts: Iterable[dict[str, Said]]) -> dict[str, Said]:
    """Name by name the latest word. Never one of the parts themselves."""
    merged: dict[str, Said] = {}
    for part in parts:
        for name, word in part.items():
            fold_said(merged, name, word)
    return merged


def bound_traits(traits: Traits, bounds: Bounds) -> Traits:
    keep_least(traits, bounds.traits, STANDARD)
    return traits


def state_traits(touchpoint: Touchpoint, refused: Refused) -> dict[str, bytes]:
    """What the touchpoint states of the customer: trait name -> JSON, `null` to delete.

    An identify states its `traits`, and `context.traits` where those are silent (some SDKs send them only there); any other
    call but group states what stands in its own `traits`. E-mail and phone are traits however they came, always normalised;
    what is blocked or refused as an identifier is no trait.
    """
    stated: dict[str, bytes] = {}
    if touchpoint.kind == "identify":
        _read_into(stated, _traits_of_context(touchpoint.context))
    if touchpoint.kind != "group":
        _read_into(stated, touchpoint.traits)
    contacts = [identifier for identifier in touchpoint.identifiers if identifier.kind in _CONTACTS]
    if not stated and not contacts:
        return stated
    for kind in _CONTACTS:
        _state_contact(stated, kind, contacts, refused)
    if refused and "loyalty_card" in stated and _is_refused("loyalty_card", stated["loyalty_card"], refused):
        del stated["loyalty_card"]
    return stated


def read_object(raw: Raw) -> dict[str, bytes]:
    """The members of a JSON object under their stored names, values as sent."""
    members: dict[str, bytes] = {}
    _read_into(members, raw)
    return members


def render_traits(traits: Traits) -> bytes:
    values = {name: Raw(word.value) for name, word in sorted(traits.items()) if word.value is not None}
    sizes = {name: len(encode_json(name)) + len(bytes(value)) for name, value in values.items()}
    shown = choose_shown(sizes, TRAITS_SHOWN_BYTES, STANDARD)
    return encode_json(values if len(shown) == len(values) else {name: value for name, value in values.items() if name in shown})


def _traits_of_context(context: Raw) -> Raw:
    return Raw(b"{}") if bytes(context) in _NO_OBJECT else _context.decode(context).traits


def _read_into(stated: dict[str, bytes], raw: Raw) -> None:
    """Where both spellings of a reserved trait stand in one object, the snake_case one is meant."""
    data = bytes(raw)
    if data in _NO_OBJECT or data[:1] != b"{":
        return
    members = _object.decode(data)
    for sent, value in members.items():
        name = RESERVED.get(sent, sent)
        if name is sent or name not in members:
            stated[name] = bytes(value)


def _state_contact(stated: dict[str, bytes], kind: str, identifiers: Sequence[NamedIdentifier], refused: Refused) -> None:
    named = False
    for identifier in identifiers:
        if identifier.kind == kind:
            named = True
            if (kind, identifier.value) not in refused:
                stated[kind] = encode_json(identifier.value)
                return
    sent = stated.get(kind)
    if sent is None or sent == NULL:
        return
    value = None if named else normalise(kind, read_text(Raw(sent)))
    if value is None:
        del stated[kind]
    else:
        stated[kind] = encode_json(value)


def _is_refused(kind: str, sent: bytes, refused: Refused) -> bool:
    value = normalise(kind, read_text(Raw(sent)))
    return value is not None and (kind, value) in refused
