"""Publisher over Kafka: coalesces what many tasks publish into one batch a partition, and never waits longer than its deadline.

A producer that is stuck or refused is replaced, and what it had on the way is sent again by its successor, which fences it
(see producer_link). While no broker answers, calls fail at once instead of piling up.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Self

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CorruptRecordException,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from libs.events.envelope import Outgoing
from libs.kit.logging import get_logger
from libs.kit.settings import PlatformSettings
from libs.messaging import metrics
from libs.messaging.errors import PublishFailed, RecordRefused
from libs.messaging.producer_link import KafkaLink, ProducerIdentity, ProducerLink
from libs.messaging.publish_queue import Batch, Call, PartitionQueue, TopicQueues, compute_size_bytes

log = get_logger(__name__)

_WATCH_EVERY_S = 0.1
_RECONNECT_MIN_S = 0.05
_RECONNECT_MAX_S = 1.0
_BACKLOG_RECORDS = 100  # worth a batch of their own without waiting for the next round
_CONTENT_REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError, CorruptRecordException)
_FORBIDDEN = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, InvalidTopicError)


@dataclass(frozen=True, slots=True)
class PublisherOptions:
    """`deadline_s` bounds every publish(). A batch unacknowledged for `replace_after_s` makes its producer be replaced; the

    patience doubles with each replacement that helped nothing. `linger_s` is the least time between two rounds of batches, unless
    `linger_records` are waiting; the first record after a pause goes out at once. A round costs the client and the broker some
    0.3 ms each, however little is in it. `connect_wait_s` is how long a broker may be away before calls fail at once.
    `request_timeout_s` bounds what a call may not: connecting, and one request of the client.
    """

    deadline_s: float = 10.0
    request_timeout_s: float = 10.0
    replace_after_s: float = 3.0
    connect_wait_s: float = 1.0
    linger_s: float = 0.004
    linger_records: int = 64
    max_batch_bytes: int = 512 * 1024
    max_in_flight_bytes: int = 64 * 1024 * 1024


class KafkaPublisher:
    """See libs.messaging.ports.Publisher. Start before use, stop after; one per process is enough."""

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        client_id: str = "rapport",
        options: PublisherOptions | None = None,
        make_link: Callable[[ProducerIdentity | None], ProducerLink] | None = None,
    ) -> None:
        self._options = options or PublisherOptions()
        self._prefix = settings.topic_prefix
        self._make_link = make_link or (
            lambda predecessor: KafkaLink(
                settings,
                client_id=client_id,
                max_batch_bytes=self._options.max_batch_bytes,
                request_timeout_s=self._options.request_timeout_s,
                predecessor=predecessor,
            )
        )
        self._queues = TopicQueues()
        self._calls: deque[Call] = deque()
        self._in_flight_bytes = 0
        self._admissions: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._link: ProducerLink | None = None
        self._away_since_s: float | None = None
        self._patience_s = self._options.replace_after_s
        self._last_round_s = 0.0
        self._round: asyncio.Handle | None = None
        self._lingering = 0
        self._loading: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Begin to connect; doesn't wait for the broker: publish() does."""
        self._spawn(self._connect(None))
        self._spawn(self._watch())

    async def stop(self) -> None:
        """Wait, within the deadline, for what was accepted; then close."""
        pending = [call.done for call in self._calls if not call.done.done()]
        if pending:
            await asyncio.wait(pending, timeout=self._options.deadline_s)
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        self._fail_overdue(before_s=float("inf"), detail="the publisher was stopped")
        if self._link is not None:
            await self._link.discard()
            self._link = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def check_ready(self) -> None:
        """For /readyz: raises while the broker is away."""
        if self._is_away():
            raise PublishFailed("no broker answers")

    @property
    def in_flight_bytes(self) -> int:
        """Accepted and not yet acknowledged."""
        return self._in_flight_bytes

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """See the port. Concurrent calls share batches."""
        if not messages:
            return
        if self._closed:
            raise PublishFailed("the publisher is stopped")
        if self._is_away():
            raise PublishFailed("no broker answers")
        began_s = time.monotonic()
        size_bytes = compute_size_bytes(messages)
        if self._has_room(size_bytes) and not self._admissions:
            self._in_flight_bytes += size_bytes
        else:
            await self._wait_for_room(size_bytes)
        call = Call(len(messages), began_s, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        self._queues.add(messages, call)
        self._lingering += len(messages)
        self._schedule_round()
        try:
            await call.done
        finally:
            # Also where the caller was cancelled: its future is then done, and what hasn't been sent is dropped.
            self._release(size_bytes)

    def _has_room(self, size_bytes: int) -> bool:
        """A call larger than the bound goes alone."""
        return not self._in_flight_bytes or self._in_flight_bytes + size_bytes <= self._options.max_in_flight_bytes

    async def _wait_for_room(self, size_bytes: int) -> None:
        """In the order of asking; the bytes are taken when this returns. Raises PublishFailed at the deadline."""
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._admissions.append((size_bytes, room))
        try:
            async with asyncio.timeout(self._options.deadline_s):
                await room
        except BaseException as error:
            if room.done() and not room.cancelled():
                self._release(size_bytes)
            if isinstance(error, TimeoutError):
                raise PublishFailed("too many bytes wait for the broker") from None
            raise

    def _release(self, size_bytes: int) -> None:
        self._in_flight_bytes -= size_bytes
        while self._admissions:
            wanted_bytes, room = self._admissions[0]
            if not room.done():
                if not self._has_room(wanted_bytes):
                    return
                self._in_flight_bytes += wanted_bytes
                room.set_result(None)
            self._admissions.popleft()

    def _schedule_round(self) -> None:
        """Gather what is published until then into one round of batches."""
        if self._round is None and not self._closed:
            wait_s = max(0.0, self._last_round_s + self._options.linger_s - time.monotonic())
            self._round = asyncio.get_running_loop().call_later(wait_s, self._begin_round)
        if self._round is not None and self._lingering >= self._options.linger_records:
            self._round.cancel()
            self._round = asyncio.get_running_loop().call_soon(self._begin_round)
            self._lingering = 0

    def _begin_round(self) -> None:
        self._round = None
        self._lingering = 0
        self._last_round_s = time.monotonic()
        if self._link is None or self._closed:
            return
        for topic in self._queues.unplaced_topics():
            count = self._link.partition_count(self._prefix + topic)
            if count is None:
                self._load_topic(topic)
            else:
                self._queues.place(topic, count)
        for queue in list(self._queues.sendable()):
            self._send(queue)

    def _send(self, queue: PartitionQueue) -> None:
        if self._link is None or queue.on_the_way is not None or not queue.waiting:
            return
        batch = queue.fill(self._link.create_batch(), time.monotonic())
        if batch is not None:
            self._spawn(self._deliver(self._link, queue, batch))

    async def _deliver(self, link: ProducerLink, queue: PartitionQueue, batch: Batch) -> None:
        refusal: KafkaError | None = None
        try:
            await link.send(batch.writer, self._prefix + queue.topic, queue.partition)
        except KafkaError as error:
            refusal = error
        if queue.on_the_way is not batch:
            return  # The producer was replaced meanwhile, and the batch sent again.
        if refusal is not None:
            self._handle_refusal(queue, refusal)
            return
        metrics.PUBLISHED.inc(queue.acknowledge())
        self._patience_s = self._options.replace_after_s
        if len(queue.waiting) >= _BACKLOG_RECORDS:
            self._send(queue)
        elif queue.waiting:
            self._schedule_round()

    def _handle_refusal(self, queue: PartitionQueue, error: KafkaError) -> None:
        """What may succeed later aiokafka tries again itself; what it reports is final for the batch, often for the producer."""
        cause = type(error).__name__
        metrics.PUBLISH_FAILURES.labels(cause).inc()
        if isinstance(error, _CONTENT_REFUSED):
            queue.take_apart(RecordRefused(f"{queue.topic}: {cause}"))
        elif isinstance(error, _FORBIDDEN):
            queue.fail(PublishFailed(f"{queue.topic}: {cause}", retryable=False))
        # The refused batch has used up sequence numbers that the broker hasn't seen: the producer is of no use for the partition.
        self._replace(cause, fenced=isinstance(error, ProducerFenced))

    def _replace(self, cause: str, *, fenced: bool = False) -> None:
        """Give the producer up; its batches come first again with its successor."""
        if self._link is None:
            return
        metrics.PRODUCERS_REPLACED.labels(cause).inc()
        log.warning("producer_replaced", cause=cause)
        for queue in self._queues.on_the_way():
            queue.put_back()
        given_up, self._link = self._link, None
        self._spawn(given_up.discard())
        self._spawn(self._connect(None if fenced else given_up.identity))

    async def _connect(self, predecessor: ProducerIdentity | None) -> None:
        began_s = time.monotonic()
        wait_s = _RECONNECT_MIN_S
        while True:
            link = self._make_link(predecessor)
            try:
                await link.start()
            except (KafkaError, OSError) as error:
                if self._away_since_s is None:
                    self._away_since_s = began_s
                    log.warning("broker_away", cause=type(error).__name__)
                await asyncio.sleep(wait_s)
                wait_s = min(_RECONNECT_MAX_S, wait_s * 2)
            else:
                break
        self._link = link
        self._away_since_s = None
        self._begin_round()

    def _load_topic(self, topic: str) -> None:
        if topic not in self._loading and self._link is not None:
            self._loading.add(topic)
            self._spawn(self._load(self._link, topic))

    async def _load(self, link: ProducerLink, topic: str) -> None:
        try:
            await link.load_topic(self._prefix + topic)
        except KafkaError as error:
            # The calls that wait for it fail at their deadline; until then the next round asks again.
            log.warning("topic_unknown", topic=topic, cause=type(error).__name__)
        finally:
            self._loading.discard(topic)
            self._schedule_round()

    def _is_away(self) -> bool:
        return self._away_since_s is not None and time.monotonic() - self._away_since_s > self._options.connect_wait_s

    async def _watch(self) -> None:
        """Fail calls past the deadline; replace a producer whose batches aren't acknowledged."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            now_s = time.monotonic()
            metrics.IN_FLIGHT_BYTES.set(self._in_flight_bytes)
            self._fail_overdue(before_s=now_s - self._options.deadline_s, detail="not acknowledged within the deadline")
            oldest_s = min((queue.on_the_way.sent_s for queue in self._queues.on_the_way() if queue.on_the_way), default=now_s)
            if now_s - oldest_s > self._patience_s:
                self._patience_s *= 2
                self._replace("unacknowledged")

    def _fail_overdue(self, *, before_s: float, detail: str) -> None:
        calls, failed = self._calls, False
        while calls and (calls[0].done.done() or calls[0].began_s < before_s):
            call = calls.popleft()
            if not call.done.done():
                call.fail(PublishFailed(detail))
                metrics.PUBLISH_FAILURES.labels("deadline").inc()
                failed = True
        if failed:
            self._queues.drop_failed()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
