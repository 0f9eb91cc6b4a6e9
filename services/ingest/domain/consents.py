"""What a touchpoint says about consent: the preferences its context carries, and `Consent Changed`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from libs.identity import to_text
from services.ingest.domain.reasons import Flag
from services.ingest.domain.vocabulary import CONSENT_CHANGED

EVERY_CHANNEL = "*"


class ConsentWord(NamedTuple):
    purpose: str
    channel: str
    status: Literal["granted", "denied"]
    wording_version: str | None = None


def read_consents(
    name: str, properties: Mapping[str, object], context: Mapping[str, object]
) -> tuple[tuple[ConsentWord, ...], tuple[Flag, ...]]:
    """The words in it, flagged where a `Consent Changed` couldn't be read. Its own word stands after the context's."""
    words = _read_preferences(context["consent"]) if "consent" in context else ()
    if name != CONSENT_CHANGED:
        return words, ()
    own = _read_change(properties)
    return (words, (Flag.CONSENT_UNREADABLE,)) if own is None else ((*words, own), ())


def _read_preferences(consent: object) -> tuple[ConsentWord, ...]:
    """`context.consent.categoryPreferences`: purpose -> true or false, for every channel. Anything else says nothing."""
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if not isinstance(preferences, dict):
        return ()
    return tuple(
        ConsentWord(purpose, EVERY_CHANNEL, "granted" if given else "denied")
        for purpose, given in preferences.items()
        if purpose and isinstance(given, bool)
    )


def _read_change(properties: Mapping[str, object]) -> ConsentWord | None:
    purpose = properties.get("purpose")
    channel = properties.get("channel") or EVERY_CHANNEL
    status = properties.get("status")
    if not isinstance(purpose, str) or not purpose or not isinstance(channel, str) or not isinstance(status, str):
        return None
    wording = to_text(properties.get("wording_version"))
    match status.strip().lower():
        case "granted":
            return ConsentWord(purpose, channel, "granted", wording)
        case "denied":
            return ConsentWord(purpose, channel, "denied", wording)
        case _:
            return None
