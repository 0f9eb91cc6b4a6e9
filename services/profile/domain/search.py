"""Search: a profile is found by hashes of its (trait, value) pairs and of how its names begin; the view has the last word."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

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


class _Core(Struct):
    traits: dict[str, Raw] = {}


class _View(Struct):
    traits: dict[str, Raw] = {}


_core = msgspec.json.Decoder(_Core)
_view = msgspec.json.Decoder(_View)


def compute_trait_keys(core: bytes) -> list[int]:
    """Sorted 64-bit hashes of the traits in the folded part of a view, and of the beginnings of its names' words."""
    traits = _core.decode(b"{%b}" % core).traits
    keys = {compute_trait_key(name, value) for name, raw in traits.items() if (value := _read_value(raw)) is not None}
    for name in NAMES:
        if name in traits and (value := _read_value(traits[name])) is not None:
            keys.update(_list_prefix_keys(value))
    return sorted(keys)


def compute_trait_key(name: str, value: str) -> int:
    digest = blake2b(f"{name}\0{value}".encode(), digest_size=8, person=b"trait").digest()
    return int.from_bytes(digest, "big", signed=True)


def split_name(text: str) -> list[str]:
    """The words of a name as they are compared: without regard to case, to hyphens, or to how an accent was typed."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return plain.replace("-", " ").split()[:_MOST_WORDS]


def compute_name_keys(words: Sequence[str]) -> list[int]:
    """What everybody has one of whose names' words begins with each of these; none where a word is too short to look up."""
    if any(len(word) < SHORTEST_PREFIX for word in words):
        return []
    return [_compute_prefix_key(word[:_LONGEST_PREFIX]) for word in words]


def has_name(view: bytes, words: Sequence[str]) -> bool:
    """Whether each of the words begins one of the view's names."""
    known = _list_words(_view.decode(view).traits)
    return all(any(one.startswith(word) for one in known) for word in words)


def _list_words(traits: Mapping[str, Raw]) -> list[str]:
    said: Iterable[str | None] = (_read_value(traits[name]) for name in NAMES if name in traits)
    return [word for value in said if value is not None for word in split_name(value)]


@lru_cache(maxsize=16_384)
def _list_prefix_keys(name: str) -> tuple[int, ...]:
    """Remembered: an active customer's name is looked at again with every trait they state, and first names repeat."""
    return tuple(
        _compute_prefix_key(word[:length])
        for word in split_name(name)
        for length in range(SHORTEST_PREFIX, min(len(word), _LONGEST_PREFIX) + 1)
    )


def _compute_prefix_key(prefix: str) -> int:
    digest = blake2b(prefix.encode(), digest_size=8, person=b"name").digest()
    return int.from_bytes(digest, "big", signed=True)


def has_trait(view: bytes, name: str, value: str) -> bool:
    raw = _view.decode(view).traits.get(name)
    return raw is not None and _read_value(raw) == value


def _read_value(raw: Raw) -> str | None:
    """As it is asked for in a query: texts as they are, numbers and booleans as JSON. None for what isn't searched."""
    text = bytes(raw)
    if len(text) > MAX_VALUE_BYTES or text[:1] in (b"{", b"[", b"n"):
        return None
    return msgspec.json.decode(text, type=str) if text[:1] == b'"' else text.decode()
