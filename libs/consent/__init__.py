"""Whether somebody agreed: the one decision that all who ask or write to customers share. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["granted", "denied"]
EVERY_CHANNEL: Final = "*"
ELSEWHERE: Final = "*"
"""In `Defaults`: everywhere else, and where nothing says where somebody lives."""
DENIED: Final[Mapping[str, Status]] = {}
Entries: TypeAlias = Sequence[Mapping[str, Any]]
"""A view's `consent`: the newest word first, and of one touchpoint the word for every channel last."""
Defaults: TypeAlias = Mapping[str, Status]
"""What silence means, by ISO 3166 country code; where nothing is said of a country or of `ELSEWHERE`, it means no."""
_CODE: Final = re.compile(r"[A-Za-z]{2}")


class Decision(NamedTuple):
    """`word`: the entry that decided, None where nobody said anything and the default of `country` did.

    `country`: a code, or `*`; None where one is stated that can't be read.
    """

    status: Status
    word: Mapping[str, Any] | None
    country: str | None


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
    return Decision("denied" if country is None else defaults.get(country, "denied"), None, country)


def find_country(traits: Mapping[str, Any], defaults: Defaults) -> str | None:
    """The two-letter code in trait `country`, else in `address.country`, if there is a default for it; else `ELSEWHERE`.

    None where one is stated and neither is a code: "Germany" may be a country that has a default, and not that of elsewhere.
    """
    address = traits.get("address")
    found: str | None = ELSEWHERE
    for stated in (traits.get("country"), address.get("country") if isinstance(address, Mapping) else None):
        written = stated.strip() if isinstance(stated, str) else stated
        if isinstance(written, str) and _CODE.fullmatch(written):
            code = written.upper()
            return code if code in defaults else ELSEWHERE
        if written not in (None, ""):
            found = None
    return found
