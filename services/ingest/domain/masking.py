"""Shows what a touchpoint is made of without what it says of a person: names and shapes stay, values go."""

import re
from typing import Final

from services.ingest.domain.reasons import Refusal
from services.ingest.domain.tolerant import parse

_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$. -]{0,63}")
_SHOWN: Final = frozenset({"type", "event", "kind", "channel", "sentAt", "timestamp", "originalTimestamp", "occurred_at"})
"""Members of a call that say what happened and when, never to whom."""
_ITEMS: Final = ("batch", "touchpoints")


def mask(value: object) -> object:
    """Texts and numbers become what they are; truth values and nulls stay."""
    match value:
        case dict():
            return _mask_members(value)
        case list():
            return [mask(item) for item in value]
        case bool() | None:
            return value
        case str():
            return f"<text of {len(value)}>"
        case _:
            return "<number>"


def _mask_members(members: dict[str, object]) -> dict[str, object]:
    """A name that is no plain word may be somebody's address."""
    return {(name if _NAME.fullmatch(name) else "<name>"): mask(member) for name, member in members.items()}


def mask_body(body: bytes) -> object:
    """A refused body by its shape; where it is no JSON, by its size."""
    value = parse(body)
    if isinstance(value, Refusal):
        return f"<{len(body)} bytes>"
    return _mask_call(value)


def _mask_call(value: object) -> object:
    if not isinstance(value, dict):
        return mask(value)
    masked = _mask_members(value)
    for name in _ITEMS:
        if isinstance(value.get(name), list):
            masked[name] = [_mask_call(item) for item in value[name]]
    return {**masked, **{name: value[name] for name in _SHOWN if isinstance(value.get(name), str)}}
