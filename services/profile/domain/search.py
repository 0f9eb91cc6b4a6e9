"""Search: a profile is found by hashes of its (trait, value) pairs, of how its names begin, and of what is left of them without
one letter, which two words with a slip of the pen between them have in common; the view has the last word.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

MAX_VALUE_BYTES: Final = 256
"""Longer values (texts, lists, objects) aren't searched for."""
NAMES: Final = ("name", "first_name", "last_name")
"""The traits that say what somebody is called."""
SHORTEST_PREFIX: Final = 2
_LONGEST_PREFIX: Final = 12
"""Of a longer one only the beginning is looked up; the comparison with the view does the rest."""
_MOST_WORDS: Final = 12
_SHORTEST_FUZZY: Final = 4
"""In a shorter word one letter makes too much of a difference."""
_LONGEST_FUZZY: Final = 24
_LONGEST_SORTED: Final = 128
SORTED_MAX: Final = 2_000
"""So many matches are sorted by what moves with every touchpoint; of more the question is too wide."""


class SearchKeys(NamedTuple):
    """What a profile is found by, sorted 64-bit hashes: of its traits, and of its names; `name` is what it is sorted by."""

    traits: list[int]
    names: list[int]
    name: str


class Wanted(NamedTuple):
    """All of `traits`, and of each of `names` any."""

    traits: Sequence[int]
    names: Sequence[Sequence[int]] = ()


class _Core(Struct):
    traits: dict[str, Raw] = {}


class _Orders(Struct):
    count: int = 0
    net_minor: dict[str, int] = {}


class _Aggregates(Struct):
    orders: _Orders = msgspec.field(default_factory=_Orders)


class _View(Struct):
    traits: dict[str, Raw] = {}
    first_seen_at: str | None = None
    last_seen_at: str | None = None
    aggregates: _Aggregates = msgspec.field(default_factory=_Aggregates)


_core = msgspec.json.Decoder(_Core)
_view = msgspec.json.Decoder(_View)


def compute_trait_keys(core: bytes) -> SearchKeys:
    """Of the folded part of a view."""
    traits = _core.decode(b"{%b}" % core).traits
    keys = {compute_trait_key(name, value) for name, raw in traits.items() if (value := _read_value(raw)) is not None}
    names: set[int] = set()
    for name in NAMES:
        if name in traits and (value := _read_value(traits[name])) is not None:
            names.update(_list_name_keys(value))
    return SearchKeys(sorted(keys), sorted(names), _choose_sorted_name(traits))


def compute_trait_key(name: str, value: str) -> int:
    return _compute_key(b"trait", f"{name}\0{value}")


def split_name(text: str) -> list[str]:
    """The words of a name as they are compared: without regard to case, to hyphens, or to how an accent was typed."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return plain.replace("-", " ").split()[:_MOST_WORDS]


def compute_name_keys(words: Sequence[str], *, fuzzy: bool = False) -> list[list[int]]:
    """For each word what everybody has one of who has a word that it begins, or with `fuzzy` one that it is but for a slip.

    Nothing where a word is too short to look up.
    """
    if any(len(word) < SHORTEST_PREFIX for word in words):
        return []
    return [[_compute_prefix_key(word[:_LONGEST_PREFIX]), *(_list_slip_keys(word) if fuzzy else ())] for word in words]


def has_name(view: bytes, words: Sequence[str], *, fuzzy: bool = False) -> bool:
    """Whether each of the words begins one of the view's names, or with `fuzzy` is one but for a slip."""
    known = _list_words(_view.decode(view).traits)
    return all(any(one.startswith(word) or (fuzzy and is_slip(one, word)) for one in known) for word in words)


def is_slip(a: str, b: str) -> bool:
    """Whether two words of four letters or more differ by one letter added, left out or replaced, or two that changed places."""
    if not all(_SHORTEST_FUZZY <= len(word) <= _LONGEST_FUZZY for word in (a, b)) or abs(len(a) - len(b)) > 1:
        return False
    at = next((place for place, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    if len(a) != len(b):
        longer, shorter = (a, b) if len(a) > len(b) else (b, a)
        return longer[at + 1 :] == shorter[at:]
    return a[at + 1 :] == b[at + 1 :] or (a[at : at + 2] == b[at : at + 2][::-1] and a[at + 2 :] == b[at + 2 :])


SORTS: Final[Mapping[str, Callable[[_View], Any]]] = {
    "name": lambda view: _choose_sorted_name(view.traits),
    "first_seen_at": lambda view: view.first_seen_at or "",
    "last_seen_at": lambda view: view.last_seen_at or "",
    "orders": lambda view: view.aggregates.orders.count,
}
NET: Final = "net."
"""`net.EUR`: by what is left of the orders in a currency after refunds."""


def read_sorted(view: bytes, sort: str) -> str | int:
    """What a view is sorted by; texts by code point."""
    decoded = _view.decode(view)
    if sort.startswith(NET):
        return decoded.aggregates.orders.net_minor.get(sort.removeprefix(NET), 0)
    value: str | int = SORTS[sort](decoded)
    return value


def _choose_sorted_name(traits: Mapping[str, Raw]) -> str:
    """The last name, then the first; else the name."""
    said = [value for name in ("last_name", "first_name") if name in traits and (value := _read_value(traits[name]))]
    if not said and "name" in traits:
        said = [_read_value(traits["name"]) or ""]
    return " ".join(split_name(" ".join(said)))[:_LONGEST_SORTED]


def _list_words(traits: Mapping[str, Raw]) -> list[str]:
    said: Iterable[str | None] = (_read_value(traits[name]) for name in NAMES if name in traits)
    return [word for value in said if value is not None for word in split_name(value)]


@lru_cache(maxsize=16_384)
def _list_name_keys(name: str) -> tuple[int, ...]:
    """Remembered: an active customer's name is looked at again with every trait they state, and first names repeat."""
    words = split_name(name)
    beginnings = [
        _compute_prefix_key(word[:length])
        for word in words
        for length in range(SHORTEST_PREFIX, min(len(word), _LONGEST_PREFIX) + 1)
    ]
    return (*beginnings, *(key for word in words for key in _list_slip_keys(word)))


def _list_slip_keys(word: str) -> list[int]:
    """Of the word, and of it without each of its letters: two words but for a slip have one of these in common."""
    if not _SHORTEST_FUZZY <= len(word) <= _LONGEST_FUZZY:
        return []
    left = {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}
    return [_compute_key(b"slip", one) for one in left]


def _compute_key(person: bytes, text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8, person=person).digest(), "big", signed=True)


def _compute_prefix_key(prefix: str) -> int:
    return _compute_key(b"name", prefix)


def has_trait(view: bytes, name: str, value: str) -> bool:
    raw = _view.decode(view).traits.get(name)
    return raw is not None and _read_value(raw) == value


def _read_value(raw: Raw) -> str | None:
    """As it is asked for in a query: texts as they are, numbers and booleans as JSON. None for what isn't searched."""
    text = bytes(raw)
    if len(text) > MAX_VALUE_BYTES or text[:1] in (b"{", b"[", b"n"):
        return None
    return msgspec.json.decode(text, type=str) if text[:1] == b'"' else text.decode()
