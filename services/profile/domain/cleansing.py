"""Names and postal addresses as people meant them: spaces, Unicode, letter case, placeholders; reserved traits of the right type.

Applied once, when a trait is folded: what was sent is kept beside what stands, and a later `VERSION` changes nothing that stands.
Conservative: where a name is written in mixed case, somebody has thought about it.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

from services.profile.domain.values import NULL, encode_json, read_number, read_text, render_number

VERSION: Final = 1
"""Raise it with every change of what comes out."""

_PEOPLE: Final = frozenset({"first_name", "last_name", "name"})
_PLACES: Final = frozenset({"street", "city"})
_TEXTS: Final = frozenset({"title", "gender", "username", "website", "avatar", "description"})
_ADDRESS: Final = "address"
_AGE: Final = "age"
CLEANSED: Final = _PEOPLE | _PLACES | _TEXTS | {_ADDRESS, _AGE}
_ADDRESS_PARTS: Final = _PLACES | {"state", "postal_code", "postalCode", "zip", "country"}
_MEANINGLESS: Final = (
    "- -- --- . .. ... _ ? ?? ??? * x xx xxx n/a n.a. n/a. na #n/a none null nil nan undefined unknown unspecified anonymous "
    "test testing tester asdf asdfg asdfgh qwerty foo bar foobar abc xyz tbd tba todo noname"
)
_PLACEHOLDERS: Final = frozenset(_MEANINGLESS.split()) | {
    "no name",
    "not available",
    "not applicable",
    "first name",
    "last name",
    "test test",
    "asdf asdf",
    "john doe test",
}
_MAY_BE_MEANT: Final = frozenset({"na", "nil", "nan", "test", "tester", "foo", "bar", "abc", "x", "xx"})
"""Somebody's name or a town's, unless it is written as nobody writes a name."""
_SMALL_WORDS: Final = (
    "van von der den de del della di da dos das du la le les ten ter te zu zum zur am an auf im bei ob af av bin ibn al el y e i "
    "und and of on upon sur"
)
_PARTICLES: Final = frozenset(_SMALL_WORDS.split())
_NUMERALS: Final = frozenset({"II", "III", "IV"})
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\ufeff\u00ad"))
_LONGEST: Final = 256
"""Longer texts are left as they are: no name, whatever it is."""
_PIECE: Final = re.compile(r"[^\s\-]+")
_SHORTEST_WORD: Final = 3
_OF_MC: Final = 5
_object = msgspec.json.Decoder(dict[str, Raw]).decode


@lru_cache(maxsize=16_384)
def cleanse(name: str, value: bytes) -> bytes | None:
    """A trait of `CLEANSED` as it is to stand: JSON, the very bytes where nothing is to be done. None: it states nothing.

    Null deletes and stays. A reserved text may be sent as a number, an age as a text; what is of another type says nothing.
    """
    if value == NULL or len(value) > 4 * _LONGEST:
        return value
    if name == _ADDRESS:
        return _cleanse_address(value) if value[:1] == b"{" else _cleanse_text(value, is_name=False, is_surname=False)
    if name in _PLACES and value[:1] != b'"':
        return value  # no reserved trait: whatever somebody keeps under this name
    if name == _AGE:
        number = read_number(Raw(value))
        return None if number is None else value if value[:1] != b'"' else render_number(number)
    return _cleanse_text(value, is_name=name in _PEOPLE or name in _PLACES, is_surname=name == "last_name")


def _cleanse_address(value: bytes) -> bytes | None:
    parts = _object(value)
    kept: dict[str, Raw] = {}
    for part, raw in parts.items():
        clean: bytes | None = bytes(raw)
        if part in _ADDRESS_PARTS and clean != NULL:
            clean = _cleanse_text(bytes(raw), is_name=part in _PLACES, is_surname=False)
        if clean is not None:
            kept[part] = Raw(clean)
    if len(kept) == len(parts) and all(bytes(kept[part]) == bytes(raw) for part, raw in parts.items()):
        return value
    return encode_json(kept) if kept else None


def _cleanse_text(value: bytes, *, is_name: bool, is_surname: bool) -> bytes | None:
    text = read_text(Raw(value))
    if text is None:
        return None
    if len(text) > _LONGEST:
        return value
    clean = tidy(text)
    if not clean or is_placeholder(clean):
        return None
    if is_name:
        clean = "\n".join(capitalise(line, is_surname=is_surname) for line in clean.split("\n"))
    return value if clean == text and value[:1] == b'"' else encode_json(clean)


def tidy(text: str) -> str:
    """NFC, without invisible characters; one space between words, none at the ends; empty lines gone."""
    plain = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
    lines = [" ".join(line.split()) for line in plain.splitlines()]
    return "\n".join(line for line in lines if line)


def is_placeholder(text: str) -> bool:
    """What somebody types who has to type something. A word that may be a name is none where it is written as one (`Na`)."""
    word = text.casefold()
    return word in _PLACEHOLDERS and (word not in _MAY_BE_MEANT or not text.istitle())


def capitalise(text: str, *, is_surname: bool = False) -> str:
    """Of a name all in capitals or all in small letters each word with a capital: `McDonald`, `O'Neil`, `van der Berg`.

    `is_surname`: its first word may be a particle, too.
    """
    if not (text.isupper() or text.islower()) or "@" in text:
        return text
    shouted = text.isupper()
    return _PIECE.sub(
        lambda found: _capitalise_word(found[0], first=found.start() == 0 and not is_surname, shouted=shouted), text
    )


def _capitalise_word(word: str, *, first: bool, shouted: bool) -> str:
    lower = word.lower()
    if shouted and (word in _NUMERALS or (len(word) < _SHORTEST_WORD and lower not in _PARTICLES)):
        return word  # initials: AJ, J.
    if lower in _PARTICLES and not first:
        return lower
    if any(letter.isdigit() for letter in word):
        return word
    if lower.startswith("mc") and len(lower) >= _OF_MC and lower.isalpha():
        return "Mc" + lower[2:].capitalize()
    if lower[1:2] in ("'", "\N{RIGHT SINGLE QUOTATION MARK}") and lower[0] in "dol":
        return lower[:2].upper() + lower[2:].capitalize()
    return lower.capitalize()
