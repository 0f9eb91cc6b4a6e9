"""The outbox on a real database: crashes between commit and publish, rivals for a row, the last record of a compacted log."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest

from libs.durable.outbox import PostgresOutbox
from libs.events.envelope import Outgoing
from libs.kit.db import Database, Tx
from libs.messaging.fake_broker import FakeBroker

TOPIC = "profile-changes"


def make_record(key: str, version: int) -> Outgoing:
    return Outgoing(TOPIC, key.encode(), str(version).encode(), (("rapport_version", str(version).encode()),), None)


@pytest.fixture
async def profiles(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("CREATE TABLE IF NOT EXISTS profiles (key text PRIMARY KEY, version int NOT NULL); TRUNCATE profiles")


async def current(tx: Tx, published: Sequence[tuple[bytes, int]]) -> Sequence[Outgoing]:
    rows = await tx.fetch(
        """
        SELECT key, version FROM profiles
        JOIN unnest($1::text[], $2::int[]) AS p (key, published) USING (key) WHERE version > published
        """,
        [key.decode() for key, _ in published],
        [version for _, version in published],
    )
    return [make_record(row["key"], row["version"]) for row in rows]


async def touch(tx: Tx, keys: Sequence[str]) -> list[Outgoing]:
    """A batch of a worker: each profile gets its next version, in sorted order as all workers lock them."""
    rows = await tx.fetch(
        """
        INSERT INTO profiles (key, version) SELECT key, 1 FROM unnest($1::text[]) AS k (key) ORDER BY key
        ON CONFLICT (key) DO UPDATE SET version = profiles.version + 1 RETURNING key, version
        """,
        sorted(set(keys)),
    )
    return [make_record(row["key"], row["version"]) for row in rows]


async def count_rows(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM outbox"))


async def test_a_rolled_back_transaction_leaves_nothing_to_publish(database: Database) -> None:
    broker = FakeBroker()
    outbox = PostgresOutbox(database, broker.publisher())

    async def stage_then_fail() -> None:
        async with database.transaction() as tx:
            await outbox.stage(tx, [make_record("p", 1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stage_then_fail()
    assert await outbox.sweep() == 0
    assert broker.records(TOPIC) == []


async def test_a_sweep_sees_no_row_of_an_open_transaction(database: Database) -> None:
    broker = FakeBroker()
    outbox = PostgresOutbox(database, broker.publisher())
    async with database.transaction() as tx:
        await outbox.stage(tx, [make_record("p", 1)])
        assert await outbox.sweep() == 0
    assert await outbox.sweep() == 1


async def test_a_publisher_that_died_while_publishing_gives_its_row_to_the_next_sweep(database: Database) -> None:
    broker = FakeBroker()
    sent, never = asyncio.Event(), asyncio.Event()

    class DyingPublisher:
        async def publish(self, messages: Sequence[Outgoing]) -> None:
            await broker.publisher().publish(messages)
            sent.set()
            await never.wait()

    async with database.transaction() as tx:
        staged = await PostgresOutbox(database, broker.publisher()).stage(tx, [make_record("p", 1)])
    assert staged is not None
    dying = asyncio.create_task(PostgresOutbox(database, DyingPublisher()).publish(staged, [make_record("p", 1)]))
    await sent.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await PostgresOutbox(database, broker.publisher()).sweep() == 1
    assert (len(broker.records(TOPIC)), await count_rows(database)) == (2, 0)


@pytest.mark.usefixtures("profiles")
async def test_rival_sweeps_publish_each_row_once(database: Database) -> None:
    broker = FakeBroker()
    outbox = PostgresOutbox(database, broker.publisher(), current=current)
    for _ in range(20):
        async with database.transaction() as tx:
            await outbox.stage(tx, [Outgoing(TOPIC, b"k", b"", (), None)])
    swept = await asyncio.gather(*(outbox.sweep() for _ in range(4)))
    assert (sum(swept), len(broker.records(TOPIC)), await count_rows(database)) == (20, 20, 0)


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize("seed", range(8))
async def test_the_last_record_of_every_key_is_its_newest_whatever_crashes(database: Database, seed: int) -> None:
    """Four workers and two sweepers race over few profiles; a worker may die after its commit.

    What compaction keeps, the record with the highest offset, must have the highest version, and no version may be missing.
    """
    rng = random.Random(seed)
    broker = FakeBroker(partitions=1)
    publisher = broker.publisher()
    outbox = PostgresOutbox(database, SlowPublisher(publisher.publish, rng), current=current)
    committed: list[Outgoing] = []

    async def work() -> None:
        for _ in range(12):
            async with database.transaction() as tx:
                records = await touch(tx, rng.choices("abc", k=2))
                staged = await outbox.stage(tx, records)
            committed.extend(records)
            await asyncio.sleep(rng.random() * 0.004)
            if staged is not None and rng.random() < 0.7:  # else it died here
                await outbox.publish(staged, records)

    async def sweep() -> None:
        for _ in range(10):
            await asyncio.sleep(rng.random() * 0.01)
            await outbox.sweep()

    await asyncio.gather(*(work() for _ in range(4)), *(sweep() for _ in range(2)))
    await outbox.sweep()
    log = [(record.key, int(record.headers["rapport_version"])) for record in broker.records(TOPIC)]
    newest = {record.key: max(int(r.value or b"0") for r in committed if r.key == record.key) for record in committed}
    assert dict(log) == newest
    assert {(record.key, int(record.value or b"0")) for record in committed} <= set(log)
    assert await count_rows(database) == 0


class SlowPublisher:
    """Sends after a while, so that records of rival publishers overtake each other."""

    def __init__(self, publish: Callable[[Sequence[Outgoing]], Awaitable[None]], rng: random.Random) -> None:
        self._publish = publish
        self._rng = rng

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await asyncio.sleep(self._rng.random() * 0.006)
        await self._publish(messages)
        await asyncio.sleep(self._rng.random() * 0.003)


async def test_two_thousand_large_records_fit_one_row(database: Database) -> None:
    broker = FakeBroker()
    outbox = PostgresOutbox(database, broker.publisher())
    records = [Outgoing(TOPIC, b"%d" % n, b'{"view": "%d"}' % n + b"x" * 3000, (("ce_id", b"%d" % n),), n) for n in range(2000)]
    async with database.transaction() as tx:
        await outbox.stage(tx, records)
    assert await outbox.sweep() == 1
    assert {record.key: record.value for record in broker.records(TOPIC)} == {record.key: record.value for record in records}
