"""Who asked to be left alone: what was said of a fragment, and which touchpoints are dropped for it."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

RequestKind = Literal["erase", "suppress", "erase_and_suppress", "lift"]


class Suppression(NamedTuple):
    """What holds for a fragment. `decided` orders what was said about suppressing: (at, request id), the greatest wins.

    `cutoff` is the latest of all erasures: lifting a suppression brings nothing erased back.
    """

    suppressed: bool
    cutoff: datetime | None
    decided: tuple[datetime, UUID] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.suppressed and self.cutoff is None


NOTHING_SAID = Suppression(suppressed=False, cutoff=None)


def apply_request(
    held: Suppression, kind: RequestKind, *, cutoff: datetime | None, at: datetime, request_id: UUID
) -> Suppression:
    """In any order, any number of times: the same set of requests always comes to the same."""
    if kind in ("erase", "erase_and_suppress"):
        erased = cutoff or at
        held = held._replace(cutoff=erased if held.cutoff is None else max(held.cutoff, erased))
    decided = (at, request_id)
    if kind != "erase" and (held.decided is None or decided > held.decided):
        held = held._replace(suppressed=kind != "lift", decided=decided)
    return held


def is_dropped(said: Suppression, *, occurred_at: datetime, received_at: datetime) -> bool:
    """Suppressed: everything. Erased: only what happened or came at or before the cutoff."""
    if said.suppressed:
        return True
    return said.cutoff is not None and (occurred_at <= said.cutoff or received_at <= said.cutoff)
