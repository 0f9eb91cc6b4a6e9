"""Topic -> handler. Wiring only."""

from collections.abc import Mapping, Sequence
from typing import Final

from libs.events import topics
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import ProfileChanged, TouchpointDismissed
from libs.kit.db import Tx
from libs.messaging.ports import BatchHandler, BatchResult
from libs.subscriber import Affected, Arrivals, apply_changes
from services.segmentation.adapters.progress import ConsumedProgress
from services.segmentation.handlers.context import Segmentation
from services.segmentation.handlers.follow_profiles import judge_affected

GROUP: Final = "segmentation"


def build_handlers(seg: Segmentation, arrivals: Arrivals, progress: ConsumedProgress) -> Mapping[str, BatchHandler]:
    async def judge(tx: Tx, affected: Sequence[Affected]) -> list[Outgoing]:
        return await judge_affected(tx, affected, seg)

    async def follow_profiles(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        progress.note(messages)
        result = await apply_changes(
            tx, messages, facts=seg.behaviours.save, judge=judge, keep_snapshots=True, now=seg.clock.now()
        )
        arrivals.announce()
        return result

    return {topics.PROFILE_CHANGES.name: follow_profiles}


ROUTES: Mapping[str, tuple[str, ...]] = {topics.PROFILE_CHANGES.name: (ProfileChanged.TYPE, TouchpointDismissed.TYPE)}
EMITS: tuple[str, ...] = (topics.SEGMENT_CHANGES.name,)
