"""How much senders' own keys may fill: a view is told in one record, and the broker takes none above 1 MiB.

What stays is chosen by the key alone, never by when it came, so that every order and grouping ends the same: who isn't among
the least hashes now never will be, because more keys push it further back.
"""

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

NAMES_MAX: Final = 1_000
"""Custom traits of a profile, accounts it belongs to, purposes of consent."""
VALUE_BYTES: Final = 8 * 1024
"""A trait's value as JSON; a longer one stays in the timeline alone."""
SHOWN_BYTES: Final = 256 * 1024
"""All traits of a view together, and all its accounts."""


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
