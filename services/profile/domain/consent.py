"""Consent by purpose and channel: the latest word stands, at equal t that of the greater touchpoint id."""

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Raw, Struct

from libs.consent import EVERY_CHANNEL, Status
from services.profile.domain.bounds import NAME_CHARS, Bounds, keep_least
from services.profile.domain.edits import COMMAND_SOURCES
from services.profile.domain.touchpoint import Touchpoint
from services.profile.domain.values import encode_json, render_time, to_micros

_CHANNELS_MAX: Final = 12
_CHANNEL_CHARS: Final = 64
_WORDING_CHARS: Final = 128


class Consent(Struct, array_like=True, frozen=True, gc=False):
    t_us: int
    by: bytes
    status: Status
    wording_version: str | None = None
    source: str | None = None
    proof: str | None = None


Consents: TypeAlias = dict[str, dict[str, Consent]]
"""purpose -> channel -> the latest word."""


def fold_consents(consents: Consents, touchpoint: Touchpoint, t_us: int, by: bytes, bounds: Bounds) -> None:
    """Take in what a touchpoint says of consent, at its t but no later than its receipt: a sender's clock may not run ahead.

    A command's and a one-click's t is set by us, after every word known, and stands.
    """
    source = touchpoint.source_id
    at_us = compute_word_time(t_us, touchpoint)
    for said in touchpoint.consent:
        if not (_is_word(said.purpose, NAME_CHARS) and _is_word(said.channel, _CHANNEL_CHARS)):
            continue
        wording = said.wording_version and said.wording_version[:_WORDING_CHARS]
        word = Consent(at_us, by, said.status, wording, source, said.proof)
        _fold(consents, said.purpose, said.channel, word)
    bound_consents(consents, bounds)


def compute_word_time(t_us: int, touchpoint: Touchpoint) -> int:
    return t_us if touchpoint.source_id in COMMAND_SOURCES else min(t_us, to_micros(touchpoint.received_at))


def join_consents(parts: Iterable[Consents]) -> Consents:
    merged: Consents = {}
    for part in parts:
        for purpose, by_channel in part.items():
            for channel, word in by_channel.items():
                _fold(merged, purpose, channel, word)
    return merged


def bound_consents(consents: Consents, bounds: Bounds) -> Consents:
    keep_least(consents, bounds.purposes)
    return consents


def render_consents(consents: Consents) -> bytes:
    """Newest word first by (t, touchpoint id), which the milliseconds shown may not tell; of one touchpoint `*` comes last."""
    entries = [
        ((-word.t_us, _descending(word.by), channel == EVERY_CHANNEL, purpose, channel), word)
        for purpose, by_channel in consents.items()
        for channel, word in by_channel.items()
    ]
    entries.sort(key=lambda entry: entry[0])
    return encode_json([_show(purpose, channel, word) for (_, _, _, purpose, channel), word in entries])


def _show(purpose: str, channel: str, word: Consent) -> dict[str, str | Raw]:
    shown: dict[str, str | Raw] = {
        "purpose": purpose,
        "channel": channel,
        "status": word.status,
        "at": Raw(render_time(word.t_us)),
    }
    more = {"wording_version": word.wording_version, "source": word.source, "proof": word.proof}
    return shown | {name: value for name, value in more.items() if value is not None}


def _descending(by: bytes) -> int:
    return -int.from_bytes(by, "big")


def _fold(consents: Consents, purpose: str, channel: str, word: Consent) -> None:
    by_channel = consents.setdefault(purpose, {})
    known = by_channel.get(channel)
    if known is None or (word.t_us, word.by) > (known.t_us, known.by):
        by_channel[channel] = word
        keep_least(by_channel, _CHANNELS_MAX, (EVERY_CHANNEL,))


def _is_word(text: str, most_chars: int) -> bool:
    return len(text) <= most_chars and text.isprintable()
