"""Exact search by trait: a profile is found by hashes of its (trait, value) pairs; hits are compared with the view."""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw, Struct

MAX_VALUE_BYTES: Final = 256
"""Longer values (texts, lists, objects) aren't searched for."""


class _Core(Struct):
    traits: dict[str, Raw] = {}


class _View(Struct):
    traits: dict[str, Raw] = {}


_core = msgspec.json.Decoder(_Core)
_view = msgspec.json.Decoder(_View)


def compute_trait_keys(core: bytes) -> list[int]:
    """Sorted 64-bit hashes of the traits in the folded part of a view."""
    traits = _core.decode(b"{%b}" % core).traits
    return sorted({compute_trait_key(name, value) for name, raw in traits.items() if (value := _read_value(raw)) is not None})


def compute_trait_key(name: str, value: str) -> int:
    digest = blake2b(f"{name}\0{value}".encode(), digest_size=8, person=b"trait").digest()
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
