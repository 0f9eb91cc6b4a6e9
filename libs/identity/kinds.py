"""Identifier kinds and which of two is the stronger. Decides no values: those are `values`'."""

import re
from typing import Final

VERSION: Final = 1
"""Of strength, normalisers and fragment ids together; stored at install and checked at every start."""

EXTERNAL: Final = "*"
"""Stands in `STRENGTH` for every kind a business brings itself (`cdnow`, `shopify_customer`, ...)."""

STRENGTH: Final[tuple[str, ...]] = ("user_id", "loyalty_card", EXTERNAL, "email", "phone", "anonymous_id", "device_id")

_RANK: Final = {kind: rank for rank, kind in enumerate(STRENGTH) if kind != EXTERNAL}
_EXTERNAL_RANK: Final = STRENGTH.index(EXTERNAL)
_KIND: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def strength_of(kind: str) -> int:
    """Smaller is stronger. Kinds not named in `STRENGTH` are external ids and rank as one."""
    return _RANK.get(kind, _EXTERNAL_RANK)


def strength_key(kind: str, value: str) -> tuple[int, str, str]:
    """Sort key, strongest first. Equally strong ones stand by kind, then value: the sender's order never decides."""
    return (strength_of(kind), kind, value)


def normalise_kind(kind: object) -> str | None:
    """A kind as it may stand before the colon of `kind:value`: trimmed, lower-cased; None where it is no such word.

    Letters, digits, `_`, `.` and `-`, at most 64 (Segment's own external id types, `ios.idfa` among them, fit).
    """
    if not isinstance(kind, str):
        return None
    text = kind.strip().lower()
    return text if _KIND.fullmatch(text) else None
