"""A consumer to test the loop with: it counts records per key, once each, in a database of its own that can fail on order."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from libs.durable.outbox import FakeOutbox
from libs.events.envelope import Incoming, Outgoing
from libs.kit.db import Tx
from libs.messaging.outcomes import DUPLICATE, HANDLED, Outcome
from libs.messaging.ports import BatchResult, Publisher, StagedId


@dataclass
class CountingTx:
    """What one transaction has done so far."""

    seen: set[tuple[str, int, int]] = field(default_factory=set)
    counts: Counter[bytes] = field(default_factory=Counter)
    staged: list[StagedId] = field(default_factory=list)


@dataclass
class CountingDatabase:
    """Commits all or nothing. The next commits raise `failures`; those of `late_failures` are raised after committing."""

    seen: set[tuple[str, int, int]] = field(default_factory=set)
    counts: Counter[bytes] = field(default_factory=Counter)
    failures: list[Exception] = field(default_factory=list)
    late_failures: list[Exception] = field(default_factory=list)
    commits: int = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        tx = CountingTx()
        yield cast("Tx", tx)
        if self.failures:
            raise self.failures.pop(0)
        self.seen |= tx.seen
        self.counts.update(tx.counts)
        self.commits += 1
        if self.late_failures:
            raise self.late_failures.pop(0)


@dataclass
class CountingHandler:
    """Counts each record once per key and says so on `counted`. `rule` may answer or raise for single records first."""

    database: CountingDatabase
    rule: Callable[[Incoming], Outcome | None] = lambda _: None
    tell: str | None = None
    batches: list[list[Incoming]] = field(default_factory=list)

    async def __call__(self, tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
        self.batches.append(list(messages))
        mine = cast("CountingTx", tx)
        outcomes: list[Outcome] = []
        outgoing: list[Outgoing] = []
        for message in messages:
            ruled = self.rule(message)
            place = (message.topic, message.partition, message.offset)
            if ruled is not None:
                outcomes.append(ruled)
            elif place in self.database.seen | mine.seen:
                outcomes.append(DUPLICATE)
            else:
                mine.seen.add(place)
                mine.counts[message.key or b""] += 1
                outcomes.append(HANDLED)
                if self.tell is not None:
                    outgoing.append(Outgoing(self.tell, message.key or b"", message.value, ()))
        return BatchResult(outcomes, outgoing)


class RollingBackOutbox(FakeOutbox):
    """The fake outbox, whose rows vanish when the transaction that staged them fails."""

    def __init__(self, publisher: Publisher, database: CountingDatabase) -> None:
        super().__init__(publisher)
        original = database.transaction

        @asynccontextmanager
        async def transaction() -> AsyncIterator[Tx]:
            commits = database.commits
            tx: Tx | None = None
            try:
                async with original() as tx:
                    yield tx
            except BaseException:
                if database.commits == commits and tx is not None:
                    for staged in cast("CountingTx", tx).staged:
                        self.rows.pop(staged, None)  # type: ignore[call-overload]
                raise

        database.transaction = transaction  # type: ignore[method-assign]

    async def stage(self, tx: Tx, messages: Sequence[Outgoing]) -> StagedId | None:
        staged = await super().stage(tx, messages)
        if staged is not None:
            cast("CountingTx", tx).staged.append(staged)
        return staged
