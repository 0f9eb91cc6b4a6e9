"""Where each trait of a profile comes from: the touchpoint that had the last word, and the fragment that holds it."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from services.profile.domain.state import CLAIMED_TRAITS, TRAITS, OpenState
from services.profile.domain.traits import Said, is_later


class Origin(NamedTuple):
    """`value` is JSON, as is `original`: what was sent, where that was cleansed. `t_us`: the touchpoint's time."""

    name: str
    value: bytes
    t_us: int
    touchpoint_id: UUID
    fragment: UUID
    original: bytes | None = None


def trace_traits(states: Mapping[UUID, bytes]) -> list[Origin]:
    """The traits that the fragments' merged view shows, by name; a deleted one isn't shown."""
    last: dict[str, tuple[Said, UUID]] = {}
    for fragment, packed in states.items():
        opened = OpenState(packed)
        for name, word in (*opened.read(TRAITS).items(), *opened.read(CLAIMED_TRAITS).items()):
            held = last.get(name)
            if held is None or is_later(word, held[0]):
                last[name] = word, fragment
    return [
        Origin(name, word.value, word.t_us, UUID(bytes=word.by), fragment, word.original)
        for name, (word, fragment) in sorted(last.items())
        if word.value is not None
    ]
