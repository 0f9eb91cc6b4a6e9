"""Which records loyalty follows, and with what. Wiring only."""

from collections.abc import Mapping, Sequence

from libs.events import topics
from libs.events.envelope import Incoming, Outgoing
from libs.events.profiles import ProfileChanged, TouchpointDismissed
from libs.kit.db import Tx
from libs.messaging.ports import BatchHandler, BatchResult
from libs.subscriber import Affected, Arrivals, FactTouchpoint, apply_changes
from services.loyalty.handlers import Loyalty, judge_profiles, save_order_facts, states_order

GROUP = "loyalty"


def build_handlers(loyalty: Loyalty, arrivals: Arrivals) -> Mapping[str, BatchHandler]:
    """Topic -> what handles a poll of it."""

    async def follow_profiles(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        unnamed: set[str] = set()

        async def facts(tx: Tx, touchpoints: Sequence[FactTouchpoint]) -> None:
            unnamed.update(await save_order_facts(tx, touchpoints, loyalty))

        async def judge(tx: Tx, affected: Sequence[Affected]) -> list[Outgoing]:
            return await judge_profiles(tx, affected, loyalty, unnamed=unnamed)

        result = await apply_changes(tx, messages, facts=facts, judge=judge, keep_snapshots=False, bears=states_order)
        arrivals.announce()
        return result

    return {topics.PROFILE_CHANGES.name: follow_profiles}


ROUTES: Mapping[str, tuple[str, ...]] = {topics.PROFILE_CHANGES.name: (ProfileChanged.TYPE, TouchpointDismissed.TYPE)}
EMITS: tuple[str, ...] = (topics.LOYALTY_EVENTS.name,)
