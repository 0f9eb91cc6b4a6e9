"""The tolerant reader of JSON: what the strict one refuses is read here, piece by piece, so that no neighbour suffers.

NUL, lone surrogates and bytes that are no UTF-8 become U+FFFD; numbers keep the literal sent. Slow, and only for the odd call.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from libs.identity import repair_text
from services.ingest.domain.amounts import is_finite
from services.ingest.domain.limits import DEPTH, KEYS
from services.ingest.domain.reasons import Reason, Refusal

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:"]', re.DOTALL)
_CLOSERS: Final = {b"{": b"}", b"[": b"]"}
_SPACE: Final = b" \t\r\n"
_NOT_A_NUMBER: Final = Decimal("NaN")
_LONG_INT: Final = 300
"""Digits; beyond some 308 a double is infinite."""
TOO_DEEP: Final = Refusal(Reason.TOO_DEEP, f"nested deeper than {DEPTH} levels")
TOO_MANY_KEYS: Final = Refusal(Reason.TOO_MANY_KEYS, f"more than {KEYS} members in its objects")
NOT_JSON: Final = Refusal(Reason.NOT_JSON, "the bytes are no JSON")


def to_decimal(literal: str) -> Decimal:
    """For decoders: a number's literal, exactly; NaN where its exponent is beyond all sense."""
    try:
        return Decimal(literal)
    except InvalidOperation:
        return _NOT_A_NUMBER


def encode(value: object) -> bytes:
    """JSON of clean values; decimals as the numbers they came as."""
    return _ENCODER.encode(value)


def parse(data: bytes) -> object | Refusal:
    """Any JSON, and nearly JSON: NaN and Infinity, raw control characters, lone surrogates, bytes that aren't UTF-8."""
    try:
        value: object = json.loads(
            data.decode("utf-8", "replace").removeprefix("\ufeff"),
            strict=False,
            parse_float=to_decimal,
            parse_int=_to_int,
            parse_constant=_to_nan,
        )
    except RecursionError:
        return TOO_DEEP
    except ValueError:
        return NOT_JSON
    return value


def _to_int(literal: str) -> int | Decimal:
    return int(literal) if len(literal) < _LONG_INT else to_decimal(literal)


def _to_nan(_: str) -> Decimal:
    return _NOT_A_NUMBER


class Cleaner:
    """Makes parsed values fit to be stored, and remembers what it met.

    `replaced`: characters were; `not_finite`: a number no double can hold (the call can't stand); `too_deep` likewise.
    """

    def __init__(self) -> None:
        self.replaced = False
        self.not_finite = False
        self.too_deep = False

    def clean(self, value: object, depth: int = 0) -> object:
        match value:
            case str():
                return self._clean_text(value)
            case Decimal() if not is_finite(value):
                self.not_finite = True
            case dict() | list() if depth >= DEPTH:
                self.too_deep = True
            case list():
                return [self.clean(item, depth + 1) for item in value]
            case dict():
                return {self._clean_text(key): self.clean(item, depth + 1) for key, item in value.items()}
            case _:
                return value
        return None

    def _clean_text(self, text: str) -> str:
        clean = repair_text(text)
        # Bytes that were no UTF-8 are U+FFFD by now.
        if not self.replaced and not clean.isascii() and "\ufffd" in clean:
            self.replaced = True
        return clean


def is_deeper_than(value: object, levels: int) -> bool:
    """Whether lists and objects are nested in more than `levels` levels, the outermost counted."""
    layer = [value]
    for _ in range(levels):
        layer = [item for holder in layer for item in _items_of(holder)]
        if not layer:
            return False
    return True


def count_keys(value: object) -> int:
    """Members of all objects in it, and of it. For values that aren't nested beyond the limit."""
    found = len(value) if isinstance(value, dict) else 0
    return found + sum(count_keys(item) for item in _items_of(value))


def _items_of(value: object) -> list[object]:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in found if isinstance(item, dict | list)]


def split_batch(body: bytes, member: str) -> tuple[dict[str, bytes], list[bytes]] | None:
    """The envelope's other members and the items of the list `member`, as bytes, without reading what is inside an item.

    Knows strings and brackets only, so neither depth nor a bad token in one item keeps it from finding the others. None where
    the brackets don't match or the member is no list.
    """
    parts = _split(body.removeprefix(b"\xef\xbb\xbf"), b"{")
    if parts is None:
        return None
    envelope: dict[str, bytes] = {}
    for part in parts:
        found = _TOKEN.match(part)
        if found is None or part[found.end() :].lstrip(_SPACE)[:1] != b":":
            return None
        name = parse(found.group())
        if not isinstance(name, str):
            return None
        envelope[name] = part[found.end() :].lstrip(_SPACE)[1:].strip(_SPACE)
    items = _split(envelope.pop(member, b""), b"[")
    return None if items is None else (envelope, items)


def _split(data: bytes, opener: bytes) -> list[bytes] | None:
    """The parts between the commas of one object or list, trimmed; None where `data` isn't exactly one with matching brackets."""
    data = data.strip(_SPACE)
    if data[:1] != opener:
        return None
    parts: list[bytes] = []
    waiting: list[bytes] = []
    start = 1
    for found in _TOKEN.finditer(data):
        token = found.group()
        if token in _CLOSERS:
            waiting.append(_CLOSERS[token])
        elif token in (b"}", b"]"):
            if not waiting or waiting.pop() != token:
                return None
            if not waiting:
                return _close(parts, data[start : found.start()].strip(_SPACE)) if found.end() == len(data) else None
        elif token == b"," and len(waiting) == 1:
            parts.append(data[start : found.start()].strip(_SPACE))
            start = found.end()
        elif token == b'"':
            return None
    return None


def _close(parts: list[bytes], last: bytes) -> list[bytes]:
    """Nothing between the brackets is no part; nothing behind a comma is an empty one, which no reader takes."""
    return [*parts, last] if parts or last else []
