"""Normal forms of identifier values, and the values that identify nobody.

| kind | normal form |
|---|---|
| email | trimmed, the whole address in lower case, nothing else (no dot or plus rules) |
| phone | E.164 where the number is valid (national numbers by `region`); else its digits, with the leading `+` if sent |
| every other kind | trimmed; letter case and inner spaces as sent; no Unicode normalisation |

Every normal form is its own normal form, so what an API shows may be sent back to it.
"""

import math
import re
from decimal import Decimal
from typing import Final

from libs.identity.phones import normalise_phone

DEFAULT_REGION: Final = "DE"

# Segment's suggestion and PostHog's two lists, all compared without regard to case. `0`, `-` and the all-zero advertising
# id fall under the pattern.
BLOCKED: Final = frozenset(
    {
        "-1",
        "[object object]",
        "anonymous",
        "distinct_id",
        "distinctid",
        "email",
        "false",
        "guest",
        "id",
        "nan",
        "none",
        "not_authenticated",
        "null",
        "true",
        "undefined",
    }
)
_ZEROS_AND_HYPHENS: Final = re.compile(r"[0-]*")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_MAX_NUMBER_BITS: Final = 4096


def is_blocked(text: str) -> bool:
    """Whether a trimmed value identifies nobody: empty, only zeros and hyphens, or one of `BLOCKED` in any letter case."""
    return text.lower() in BLOCKED or _ZEROS_AND_HYPHENS.fullmatch(text) is not None


def repair_text(text: str) -> str:
    """NUL and lone surrogates, which neither UTF-8 nor PostgreSQL can hold, become U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def to_text(value: object) -> str | None:
    """An identifier as text. Numbers are accepted, because senders of raw JSON use them; None for anything else.

    A whole number reads the same however it was written (`1`, `1.0` and `1e0` are `1`: JSON and JavaScript know no
    difference); a fraction is its shortest decimal. NaN, infinity, booleans, null, lists and objects identify nobody.
    """
    match value:
        case str():
            return repair_text(value)
        case bool():
            return None
        case int():
            return str(value) if value.bit_length() <= _MAX_NUMBER_BITS else None
        case float():
            return _number_to_text(value) if math.isfinite(value) else None
        case Decimal():
            return _number_to_text(value) if value.is_finite() and value.adjusted() <= _MAX_NUMBER_BITS // 4 else None
        case _:
            return None


def _number_to_text(value: float | Decimal) -> str:
    return str(int(value)) if value == int(value) else str(value)


def normalise(kind: str, value: object, *, region: str = DEFAULT_REGION) -> str | None:
    """The value's normal form (see the module's table), or None where it is blocked or empty and so must be dropped.

    `region` (ISO 3166-1 alpha-2) is the country whose national phone numbers are meant; part of an installation's identity.
    """
    text = to_text(value)
    if text is None:
        return None
    text = text.strip()
    if is_blocked(text):
        return None
    if kind == "email":
        return text.lower()
    if kind == "phone":
        phone = normalise_phone(text, region)
        return None if is_blocked(phone.removeprefix("+")) else phone
    return text
