"""One idempotent aiokafka producer, from connecting to giving it up. The publisher replaces it when it is stuck.

aiokafka can't be closed while the broker is away, can't be told to take over from a producer that was given up, and compresses
with lz4's slowest setting. All three are mended here, with its private parts, and nowhere else.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.codec import lz4_encode
from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder

from libs.kit.settings import PlatformSettings
from libs.messaging.connection import build_client_options

_LAST_EPOCH = 32_767
_LZ4_LEVEL = 1


def use_fast_lz4() -> None:
    """Compress at 2 us a record instead of 29: level 9 searches for the best match and saves a sixth of the bytes for it.

    aiokafka has no setting for the level; both its record writers look the function up in their module.
    """
    for name in ("aiokafka.record._crecords.default_records", "aiokafka.record.default_records"):
        with suppress(ImportError):
            module = import_module(name)
            if hasattr(module, "lz4_encode"):
                setattr(module, "lz4_encode", partial(lz4_encode, level=_LZ4_LEVEL))  # noqa: B010 - of no module that mypy knows


@dataclass(frozen=True, slots=True)
class ProducerIdentity:
    """The broker knows an idempotent producer by this. A successor with the same id and the next epoch fences it:

    once the successor has written to a partition, what its predecessor still had on the way there is refused, so an old record
    can't arrive behind a newer one of its key.
    """

    producer_id: int
    epoch: int


class BatchWriter(Protocol):
    """A batch being filled: aiokafka's BatchBuilder."""

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> object | None: ...

    def close(self) -> None: ...


class ProducerLink(Protocol):
    """What the publisher needs of a producer."""

    async def start(self) -> None: ...

    @property
    def identity(self) -> ProducerIdentity | None: ...

    def partition_count(self, topic: str) -> int | None:
        """None until the topic's metadata is here; ask for it with `load_topic`."""
        ...

    async def load_topic(self, topic: str) -> None: ...

    def create_batch(self) -> BatchWriter: ...

    async def send(self, batch: BatchWriter, topic: str, partition: int) -> None:
        """Return when the batch is acknowledged by all in-sync replicas."""
        ...

    async def discard(self) -> None:
        """Close at once, without waiting for what is on the way."""
        ...


class KafkaLink:
    """A ProducerLink over aiokafka: acks=all, idempotent, lz4, one batch on the way per partition."""

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        client_id: str,
        max_batch_bytes: int,
        request_timeout_s: float,
        predecessor: ProducerIdentity | None = None,
    ) -> None:
        use_fast_lz4()
        self._producer = AIOKafkaProducer(
            **build_client_options(settings),
            client_id=client_id,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=max_batch_bytes,
            request_timeout_ms=int(request_timeout_s * 1000),
            retry_backoff_ms=50,
            metadata_max_age_ms=60_000,
        )
        self._start_timeout_s = request_timeout_s
        if predecessor is not None and predecessor.epoch < _LAST_EPOCH:
            self._producer._txn_manager.set_pid_and_epoch(predecessor.producer_id, predecessor.epoch + 1)  # noqa: SLF001 - see the module's text

    async def start(self) -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise

    @property
    def identity(self) -> ProducerIdentity | None:
        manager = self._producer._txn_manager  # noqa: SLF001 - see the module's text
        return ProducerIdentity(manager.producer_id, manager.producer_epoch) if manager.has_pid() else None

    def partition_count(self, topic: str) -> int | None:
        partitions = self._producer.client.cluster.partitions_for_topic(topic)
        return None if partitions is None else len(partitions)

    async def load_topic(self, topic: str) -> None:
        await self._producer.partitions_for(topic)

    def create_batch(self) -> BatchBuilder:
        return self._producer.create_batch()

    async def send(self, batch: BatchWriter, topic: str, partition: int) -> None:
        acknowledged = await self._producer.send_batch(batch, topic, partition=partition)
        await acknowledged

    async def discard(self) -> None:
        """No new requests; break the connections under those on the way; let nobody wait for metadata that won't come."""
        producer, client = self._producer, self._producer.client
        sender_closed = asyncio.ensure_future(producer._sender.close())  # noqa: SLF001 - see the module's text
        await asyncio.sleep(0)
        await client.close()
        for _ in range(40):
            if client._md_update_fut is not None and not client._md_update_fut.done():  # noqa: SLF001
                client._md_update_fut.set_result(False)  # noqa: SLF001
            if (await asyncio.wait({sender_closed}, timeout=0.05))[0]:
                break
        sender_closed.cancel()
        with suppress(asyncio.CancelledError, KafkaError):
            await sender_closed
        self._strand()
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(producer.stop(), 1)

    def _strand(self) -> None:
        """Fail what will never be delivered. The sender is closed: without this a closing producer waits for it for ever."""
        accumulator = self._producer._message_accumulator  # noqa: SLF001 - see the module's text
        waiting = [batch for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001
        # Each batch that was on the way once expects to find itself here when it ends.
        accumulator._pending_batches.update(waiting)  # noqa: SLF001
        stranded = list(accumulator._pending_batches)  # noqa: SLF001
        accumulator.fail_all(ProducerClosed())
        for batch in stranded:
            # Nobody waits for these any more; asking keeps asyncio from complaining of it.
            for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
                if future.done() and not future.cancelled():
                    future.exception()
