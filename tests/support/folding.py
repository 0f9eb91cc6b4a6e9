"""Drives the fold as the profile service does: which fragments are one profile, what is stored, one batch at a time."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid5

from libs.events.touchpoints import TouchpointRecorded
from services.profile.domain.traits import Refused
from services.profile.handlers.fold_profiles import HISTORY_MAX, FactRows, ProfileWork, fold_rows

SPACE = UUID(int=77)
Applied = tuple[UUID, TouchpointRecorded]


def score_by_length(text: str) -> str:
    """A sentiment that any test can work out in its head: as many hundredths as the text has letters, above 50 negative."""
    return f"{(len(text) if len(text) <= 50 else -len(text)) / 100:.4f}"


def score_by_length_exactly(text: str) -> Fraction:
    return Fraction(score_by_length(text))


@dataclass
class Stored:
    """What the profiles table keeps."""

    id: UUID
    founded: int
    members: tuple[UUID, ...] = ()
    totals: bytes = b""
    core: bytes = b""


@dataclass
class FoldingBook:
    """Profiles as stored between batches. `rows` is the fake or PostgreSQL's."""

    rows: FactRows
    sentiment: Callable[[str], str] = score_by_length
    states: dict[UUID, bytes] = field(default_factory=dict)
    profiles: dict[UUID, Stored] = field(default_factory=dict)
    owner: dict[UUID, UUID] = field(default_factory=dict)
    keep_core: bool = True
    parts: dict[UUID, set[str]] = field(default_factory=dict)
    founded: int = 0
    history_max: int = HISTORY_MAX

    async def apply(
        self,
        applied: Sequence[Applied] = (),
        *,
        joined: Iterable[tuple[UUID, UUID]] = (),
        refused: dict[UUID, Refused] | None = None,
        rebuild: bool = False,
    ) -> None:
        """One batch: links first, then the touchpoints, in the order given."""
        before = {profile_id: stored.members for profile_id, stored in self.profiles.items()}
        born = [fragment for fragment, _ in applied] + [fragment for pair in joined for fragment in pair]
        for fragment in born:
            if fragment not in self.owner:
                self.founded += 1
                profile_id = uuid5(SPACE, str(fragment))
                self.owner[fragment] = profile_id
                self.profiles[profile_id] = Stored(profile_id, self.founded, (fragment,))
                self.states[fragment] = b""
        absorbed: dict[UUID, list[tuple[UUID, tuple[UUID, ...], bytes]]] = {}
        for one, other in joined:
            self._join(self.owner[one], self.owner[other], before, absorbed)
        touched = set(self.profiles) if rebuild else {self.owner[fragment] for fragment in born} | absorbed.keys()
        work = [
            ProfileWork(
                profile_id=profile_id,
                members=self.profiles[profile_id].members,
                absorbed=tuple(absorbed.get(profile_id, ())),
                own_before=before.get(profile_id, ()),
                applied=[one for one in applied if self.owner[one[0]] == profile_id],
                states={member: self.states[member] for member in self.profiles[profile_id].members},
                totals=self.profiles[profile_id].totals,
                core=self.profiles[profile_id].core if self.keep_core else b"",
                refused=refused or {},
                rebuild=rebuild,
            )
            for profile_id in touched
        ]
        await fold_rows(self.rows, work, sentiment=self.sentiment, history_max=self.history_max)
        for one in work:
            self.states.update(one.changed_states)
            stored = self.profiles[one.profile_id]
            stored.totals, stored.core = one.totals, one.core
            self.parts[one.profile_id] = one.parts

    def _join(
        self,
        a: UUID,
        b: UUID,
        before: dict[UUID, tuple[UUID, ...]],
        absorbed: dict[UUID, list[tuple[UUID, tuple[UUID, ...], bytes]]],
    ) -> None:
        if a == b:
            return
        root, gone = sorted((self.profiles[a], self.profiles[b]), key=lambda stored: stored.founded)
        root.members += gone.members
        for member in gone.members:
            self.owner[member] = root.id
        del self.profiles[gone.id]
        sides = absorbed.setdefault(root.id, [])
        sides += absorbed.pop(gone.id, [])
        if gone.id in before:
            sides.append((gone.id, before[gone.id], gone.totals))

    def groups(self) -> list[tuple[UUID, ...]]:
        return [stored.members for stored in self.profiles.values()]

    def view(self, fragment: UUID) -> dict[str, Any]:
        view: dict[str, Any] = json.loads(b"{" + self.profiles[self.owner[fragment]].core + b"}")
        return view
