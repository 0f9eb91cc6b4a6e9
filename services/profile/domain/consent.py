"""Consent by purpose and channel: the latest word stands, at equal t that of the greater touchpoint id."""

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec import Raw, Struct

from services.profile.domain.edits import COMMAND_SOURCES
from services.profile.domain.touchpoint import Touchpoint
from services.profile.domain.values import encode_json, render_time, to_micros

EVERY_CHANNEL: Final = "*"
Status: TypeAlias = Literal["granted", "denied"]


class Consent(Struct, array_like=True, frozen=True, gc=False):
    t_us: int
    by: bytes
    status: Status
    wording_version: str | None = None


Consents: TypeAlias = dict[str, dict[str, Consent]]
"""purpose -> channel -> the latest word."""


def fold_consents(consents: Consents, touchpoint: Touchpoint, t_us: int, by: bytes) -> None:
    """Take in what a touchpoint says of consent, at its t but no later than its receipt: a sender's clock may not run ahead.

    A command's and a one-click's t is set by us, after every word known, and stands.
    """
    at_us = t_us if touchpoint.source_id in COMMAND_SOURCES else min(t_us, to_micros(touchpoint.received_at))
    for said in touchpoint.consent:
        _fold(consents, said.purpose, said.channel, Consent(at_us, by, said.status, said.wording_version))


def merge_consents(parts: Iterable[Consents]) -> Consents:
    merged: Consents = {}
    for part in parts:
        for purpose, by_channel in part.items():
            for channel, word in by_channel.items():
                _fold(merged, purpose, channel, word)
    return merged


def effective_consent(consents: Consents, purpose: str, channel: str) -> Status | None:
    """The latest of the channel's own word and the one for every channel; None where neither was said.

    One touchpoint that says both means its more special word.
    """
    by_channel = consents.get(purpose, {})
    own, general = by_channel.get(channel), by_channel.get(EVERY_CHANNEL)
    if own is None or (general is not None and (general.t_us, general.by) > (own.t_us, own.by)):
        own = general
    return None if own is None else own.status


def latest_consent_us(consents: Consents) -> int | None:
    """The greatest t of any word: a command's t is max(now, this + 1 ms), so that the newest word of a person always wins."""
    return max((word.t_us for by_channel in consents.values() for word in by_channel.values()), default=None)


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
    if word.wording_version is not None:
        shown["wording_version"] = word.wording_version
    return shown


def _descending(by: bytes) -> int:
    return -int.from_bytes(by, "big")


def _fold(consents: Consents, purpose: str, channel: str, word: Consent) -> None:
    by_channel = consents.setdefault(purpose, {})
    known = by_channel.get(channel)
    if known is None or (word.t_us, word.by) > (known.t_us, known.by):
        by_channel[channel] = word
