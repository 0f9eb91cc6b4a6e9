"""A process that counts records per key, each id once, and tells the new counts: the smallest service there is. For crash tests.

Run as `python -m tests.integration.messaging.counter`; addresses and the topic prefix come from the environment.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from uuid import UUID, uuid4

import uvloop

from libs.durable.outbox import PostgresOutbox
from libs.events.codec import VERSION_HEADER
from libs.events.envelope import Incoming, Outgoing
from libs.kit.clock import SystemClock
from libs.kit.db import Database, Tx
from libs.kit.logging import configure_logging
from libs.kit.settings import PlatformSettings
from libs.messaging.consumer import BatchConsumer
from libs.messaging.kafka_source import KafkaSource, SourceOptions
from libs.messaging.outcomes import DUPLICATE, HANDLED, Outcome, Reject
from libs.messaging.policy import ConsumerPolicy
from libs.messaging.ports import BatchResult
from libs.messaging.producer import KafkaPublisher, PublisherOptions

GROUP = "counter"
LOAD = "load"
COUNTED = "counted"
SCHEMA = "counter"
TABLES = f"""
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.seen (id uuid PRIMARY KEY);
CREATE TABLE {SCHEMA}.counts (key bytea PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE {SCHEMA}.outbox (id uuid PRIMARY KEY, staged_at timestamptz NOT NULL DEFAULT now(), records bytea NOT NULL);
"""


def tell(key: bytes, count: int) -> Outgoing:
    headers = (("ce_id", str(uuid4()).encode()), (VERSION_HEADER, str(count).encode()))
    return Outgoing(COUNTED, key, str(count).encode(), headers)


async def count_records(tx: Tx, messages: Sequence[Incoming]) -> BatchResult:
    """Values say what a record is: `poison` makes this fail, `bad` is refused, anything else counts."""
    ids = {index: UUID(message.headers["ce_id"].decode()) for index, message in enumerate(messages) if message.value != b"bad"}
    rows = await tx.fetch(
        "INSERT INTO seen SELECT DISTINCT id FROM unnest($1::uuid[]) id ORDER BY id ON CONFLICT DO NOTHING RETURNING id",
        list(ids.values()),
    )
    new = {row["id"] for row in rows}
    outcomes: list[Outcome] = []
    added: Counter[bytes] = Counter()
    for index, message in enumerate(messages):
        if message.value == b"bad":
            outcomes.append(Reject("bad", "count"))
        elif message.value == b"poison":
            raise ValueError("poison")
        elif ids[index] in new:
            new.discard(ids[index])
            added[message.key or b""] += 1
            outcomes.append(HANDLED)
        else:
            outcomes.append(DUPLICATE)
    counted = await tx.fetch(
        """
        INSERT INTO counts SELECT * FROM unnest($1::bytea[], $2::bigint[]) added(key, n) ORDER BY key
        ON CONFLICT (key) DO UPDATE SET n = counts.n + EXCLUDED.n RETURNING key, n
        """,
        sorted(added),
        [added[key] for key in sorted(added)],
    )
    return BatchResult(outcomes, [tell(row["key"], row["n"]) for row in counted])


async def find_current(tx: Tx, published: Sequence[tuple[bytes, int]]) -> Sequence[Outgoing]:
    rows = await tx.fetch(
        """
        SELECT key, counts.n FROM counts JOIN unnest($1::bytea[], $2::bigint[]) told(key, n) USING (key)
        WHERE counts.n > told.n
        """,
        [key for key, _ in published],
        [version for _, version in published],
    )
    return [tell(row["key"], row["n"]) for row in rows]


async def run() -> None:
    settings = PlatformSettings()
    configure_logging(GROUP, settings)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = await Database.open(settings.postgres, schema=SCHEMA, application_name=GROUP)
    policy = ConsumerPolicy(batch_max_records=300, backoff_max_s=2.0, sweep_interval_s=1.0, revoke_wait_s=5.0)
    options = SourceOptions(
        session_timeout_s=float(os.environ.get("COUNTER_SESSION_S", "4")), rebalance_timeout_s=8.0, fetch_wait_s=0.1
    )
    async with KafkaPublisher(settings, options=PublisherOptions(deadline_s=5.0)) as publisher:
        consumer = BatchConsumer(
            group=GROUP,
            handlers={LOAD: count_records},
            source=KafkaSource(settings, GROUP, options=options),
            database=database,
            outbox=PostgresOutbox(database, publisher, current=find_current),
            clock=SystemClock(),
            policy=policy,
        )
        await consumer.run(stop)
    await database.close()


if __name__ == "__main__":
    uvloop.run(run())
