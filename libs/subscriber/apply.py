"""Apply a poll of profile-changes exactly once, in any order, with several workers (DESIGN section 4.5)."""

from collections.abc import Sequence

from libs.events.envelope import Incoming
from libs.kit.db import Tx
from libs.messaging.ports import BatchResult
from libs.subscriber.changes import Judge, SaveFacts


async def apply_changes(
    tx: Tx, messages: Sequence[Incoming], *, facts: SaveFacts, judge: Judge, keep_snapshots: bool
) -> BatchResult:
    raise NotImplementedError
