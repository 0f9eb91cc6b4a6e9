"""Whether somebody agreed: the one decision that all who ask or write to customers share. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["granted", "denied"]
EVERY_CHANNEL: Final = "*"
ELSEWHERE: Final = "*"
"""In `Defaults`: everywhere else, and where it isn't known where somebody lives."""
DENIED: Final[Mapping[str, Status]] = {}
Entries: TypeAlias = Sequence[Mapping[str, Any]]
"""A view's `consent`: the newest word first, and of one touchpoint the word for every channel last."""
Defaults: TypeAlias = Mapping[str, Status]
"""What silence means, by ISO 3166 country code; where nothing is said of a country or of `ELSEWHERE`, it means no."""


class Decision(NamedTuple):
    """`word`: the entry that decided, None where nobody said anything and the default of `country` (a code, or `*`) did."""

    status: Status
    word: Mapping[str, Any] | None
    country: str


def find_word(entries: Entries, purpose: str, channel: str) -> Mapping[str, Any] | None:
    """The latest of the channel's own word and the one for every channel."""
    for entry in entries:
        if entry.get("purpose") == purpose and entry.get("channel") in (channel, EVERY_CHANNEL):
            return entry
    return None


def decide(entries: Entries, purpose: str, channel: str, traits: Mapping[str, Any], defaults: Defaults) -> Decision:
    """By the latest word, else by what silence means where the customer lives."""
    country = find_country(traits, defaults)
    word = find_word(entries, purpose, channel)
    if word is not None:
        return Decision("granted" if word.get("status") == "granted" else "denied", word, country)
    return Decision(defaults.get(country, "denied"), None, country)


def find_country(traits: Mapping[str, Any], defaults: Defaults) -> str:
    """The code in trait `country`, else in `address.country`, if there is a default for it; else `ELSEWHERE`."""
    address = traits.get("address")
    for stated in (traits.get("country"), address.get("country") if isinstance(address, Mapping) else None):
        if isinstance(stated, str) and stated.strip():
            code = stated.strip().upper()
            return code if code in defaults else ELSEWHERE
    return ELSEWHERE
