"""Other spellings of properties: the standard names come to stand beside them.

V1 of Segment's commerce names and Go's typed helpers write `orderId`, and `id` and `sky` (sic) of a product.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from libs.vocabulary import CATALOGUE, Property
from services.ingest.domain.calls import Object, Payload, read_object

_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_LINES: Final = msgspec.json.Decoder(list[Raw])
_PRODUCTS: Final = "products"


class _Spellings(NamedTuple):
    """Other spelling -> standard name; whether there is a list of products, with spellings of its own."""

    own: Mapping[str, str]
    has_lines: bool


def _collect(properties: Mapping[str, Property]) -> Mapping[str, str]:
    return {alias: name for name, one in properties.items() for alias in one.aliases}


_OF_LINES: Final = _collect(CATALOGUE.products)
_BY_NAME: Final[Mapping[str, _Spellings]] = MappingProxyType(
    {
        entry.name: spellings
        for entry in CATALOGUE.names.values()
        if any(spellings := _Spellings(_collect(entry.properties), _PRODUCTS in entry.properties))
    }
)


def add_standard_names(name: str, payload: Payload) -> Payload:
    """The properties of a touchpoint of this name, and the same object where nothing is missing. Numbers keep their literals."""
    spellings = _BY_NAME.get(name)
    if spellings is None:
        return payload
    value = payload.value
    own = _find_missing(value, spellings.own)
    lines = value.get(_PRODUCTS) if spellings.has_lines else None
    if not isinstance(lines, list):
        lines = ()
    if not own and not any(map(_find_missing_of_line, lines)):
        return payload
    members = _add(_MEMBERS.decode(payload.raw), own)
    if lines:
        raws = _LINES.decode(members[_PRODUCTS])
        members[_PRODUCTS] = _to_raw([_rewrite(raw, line) for raw, line in zip(raws, lines, strict=True)])
    return read_object(_to_raw(members))


def _find_missing(value: Object, spellings: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """(other spelling, standard name) where only the former says something. Nearly always nothing, which is found out first."""
    for alias in spellings:
        if alias in value:
            break
    else:
        return ()
    return [(alias, name) for alias, name in spellings.items() if value.get(alias) is not None and value.get(name) is None]


def _find_missing_of_line(line: object) -> Sequence[tuple[str, str]]:
    return _find_missing(line, _OF_LINES) if isinstance(line, dict) else ()


def _add(members: dict[str, Raw], missing: Sequence[tuple[str, str]]) -> dict[str, Raw]:
    return {**members, **{name: members[alias] for alias, name in missing}}


def _rewrite(raw: Raw, line: object) -> Raw:
    missing = _find_missing_of_line(line)
    return _to_raw(_add(_MEMBERS.decode(raw), missing)) if missing else raw


def _to_raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))
