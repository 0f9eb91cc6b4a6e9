"""The catalogue of standard names as it lies in catalogue.toml, read once at start."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

PropertyType = Literal[
    "text", "id", "number", "integer", "money", "boolean", "time", "url", "currency", "object", "list", "products"
]
Kind = Literal["track", "identify", "page", "screen", "group", "alias"]
TYPES: Final[Mapping[PropertyType, str]] = MappingProxyType(
    {
        "text": "any text",
        "id": "a text or a number; both read the same",
        "number": "a number",
        "integer": "a whole number",
        "money": "a number of major units (`19.99`) of the touchpoint's `currency`, taken exactly as it was written",
        "boolean": "`true` or `false`",
        "time": "an RFC 3339 instant, or a date",
        "url": "an address",
        "currency": "an ISO 4217 code",
        "object": "an object",
        "list": "a list of objects",
        "products": "a list of objects with the properties of a product",
    }
)

_FILE: Final = Path(__file__).with_name("catalogue.toml")
_GROUP: Final = "@"


class Property(Struct, frozen=True, forbid_unknown_fields=True):
    """One property. `aliases` are other spellings that ingest puts the standard one beside."""

    type: PropertyType
    about: str
    aliases: tuple[str, ...] = ()


class Family(Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    source: str


class StandardName(NamedTuple):
    """One name. `counts_by`: two touchpoints with the same value there are words on the same thing.

    `aliases` are stored under this name. `moves` are the members of the profile's view that show it. `example`: properties; the
    traits of an identify or group; `context` where that belongs to it.
    """

    name: str
    family: str
    kind: Kind
    about: str
    aliases: tuple[str, ...]
    properties: Mapping[str, Property]
    counts_by: str | None
    moves: tuple[str, ...]
    example: Mapping[str, Any]
    context: Mapping[str, Any]


class Catalogue(NamedTuple):
    """`aliases`: old name -> standard name. `products`: what a line of `products` may say."""

    families: Mapping[str, Family]
    names: Mapping[str, StandardName]
    aliases: Mapping[str, str]
    products: Mapping[str, Property]


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    family: str
    about: str
    properties: tuple[str, ...]
    example: dict[str, Any]
    kind: Kind = "track"
    aliases: tuple[str, ...] = ()
    own: dict[str, Property] = {}
    counts_by: str | None = None
    moves: tuple[str, ...] = ()
    context: dict[str, Any] = {}


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    families: dict[str, Family]
    properties: dict[str, Property]
    groups: dict[str, tuple[str, ...]]
    touchpoints: dict[str, _Entry]


def read_catalogue(text: str) -> Catalogue:
    """Raises msgspec.ValidationError, or KeyError where something is named that the file doesn't define."""
    file = msgspec.convert(tomllib.loads(text), _File)
    names = {name: _read_name(file, name, entry) for name, entry in file.touchpoints.items()}
    return Catalogue(
        MappingProxyType(file.families),
        MappingProxyType(names),
        MappingProxyType({alias: entry.name for entry in names.values() for alias in entry.aliases}),
        MappingProxyType({name: file.properties[name] for name in (*file.groups["product"], "discount")}),
    )


def _read_name(file: _File, name: str, entry: _Entry) -> StandardName:
    listed = [one for item in entry.properties for one in (file.groups[item[1:]] if item.startswith(_GROUP) else (item,))]
    properties = {one: file.properties[one] for one in listed} | entry.own
    if entry.family not in file.families or (entry.counts_by is not None and entry.counts_by not in properties):
        raise KeyError(name)
    return StandardName(
        name,
        entry.family,
        entry.kind,
        entry.about,
        entry.aliases,
        MappingProxyType(properties),
        entry.counts_by,
        entry.moves,
        entry.example,
        entry.context,
    )


CATALOGUE: Final = read_catalogue(_FILE.read_text(encoding="utf-8"))
