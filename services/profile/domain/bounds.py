"""How much senders' own keys may fill: a view is told in one record, and the broker takes none above 1 MiB.

What stays is chosen by the key alone, never by when it came, so that every order and grouping ends the same: who isn't among
the least hashes now never will be, because more keys push it further back. A website's key is public: what only browsers say is
kept and bounded apart, so that it displaces nothing that the business itself said.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what servers say, or of what only browsers say. `account_names`: traits of one account in the profile's copy."""

    traits: int
    value_bytes: int
    accounts: int
    account_names: int
    purposes: int


STATED: Final = Bounds(traits=500, value_bytes=4096, accounts=100, account_names=50, purposes=30)
CLAIMED: Final = Bounds(traits=100, value_bytes=512, accounts=20, account_names=10, purposes=10)
NAME_CHARS: Final = 128
"""A longer name of a trait, or one of a purpose, says nothing: it stays in the timeline alone."""
TRAITS_SHOWN_BYTES: Final = 160 * 1024
ACCOUNTS_SHOWN_BYTES: Final = 96 * 1024
"""All of a view together. What browsers alone may say fits in beside 100 KiB, and 40, of the business's own."""


def keep_least(kept: dict[str, Any], most: int, always: Collection[str] = ()) -> None:
    """Drop from `kept` what is too much: all of `always` stay, and of the others those with the least hashes."""
    if len(kept) > most:
        for name in sorted((name for name in kept if name not in always), key=_hash_name)[most:]:
            del kept[name]


def choose_shown(sizes: Mapping[str, int], most_bytes: int, always: Iterable[str] = ()) -> Collection[str]:
    """The names that fit together, `always` first, then by the least hashes up to the first that doesn't fit."""
    if sum(sizes.values()) <= most_bytes:
        return sizes.keys()
    shown = {name for name in always if name in sizes}
    room = most_bytes - sum(sizes[name] for name in shown)
    for name in sorted(sizes.keys() - shown, key=_hash_name):
        room -= sizes[name]
        if room < 0:
            break
        shown.add(name)
    return shown


def _hash_name(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest()
