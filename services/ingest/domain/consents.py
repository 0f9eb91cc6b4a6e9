"""What a touchpoint says about consent: the preferences its context carries, and `Consent Changed`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from libs.identity import to_text
from services.ingest.domain.reasons import Flag
from services.ingest.domain.vocabulary import CONSENT_CHANGED

EVERY_CHANNEL = "*"
PROOF_CHARS = 500


class ConsentWord(NamedTuple):
    purpose: str
    channel: str
    status: Literal["granted", "denied"]
    wording_version: str | None = None
    proof: str | None = None


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
    wording, proof = to_text(properties.get("wording_version")), _read_proof(properties.get("proof"))
    match status.strip().lower():
        case "granted":
            return ConsentWord(purpose, channel, "granted", wording, proof)
        case "denied":
            return ConsentWord(purpose, channel, "denied", wording, proof)
        case _:
            return None


def _read_proof(stated: object) -> str | None:
    """A text: the id of a form, a double opt-in, a recording. The touchpoint itself is kept besides."""
    text = to_text(stated)
    return text.strip()[:PROOF_CHARS] or None if text is not None else None
