"""The publisher over a scripted producer: batches shared, deadlines kept, producers replaced, bytes bounded."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    TopicAuthorizationFailedError,
)

from libs.events.envelope import Outgoing
from libs.kit.settings import PlatformSettings
from libs.messaging.errors import PublishFailed
from libs.messaging.producer import KafkaPublisher, PublisherOptions
from libs.messaging.producer_link import BatchWriter, ProducerIdentity
from tests.support.brokers import make_outgoing
from tests.support.eventually import eventually

QUICK = PublisherOptions(deadline_s=1.5, replace_after_s=0.3, connect_wait_s=0.2, linger_s=0.002)


class Writer:
    """Takes `room` records."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.values: list[str] = []

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> object | None:
        if len(self.values) >= self.room:
            return None
        self.values.append((value or b"").decode())
        return self

    def close(self) -> None: ...


@dataclass
class Cluster:
    """What the brokers do. `answer` may raise or wait; `log` is what they have."""

    log: list[tuple[str, int, list[str]]] = field(default_factory=list)
    answer: Callable[["Link", Writer], object] = lambda _link, _writer: None
    reachable: bool = True
    room: int = 1000
    partitions: int = 2
    links: list["Link"] = field(default_factory=list)

    def make_link(self, predecessor: ProducerIdentity | None) -> "Link":
        link = Link(self, len(self.links), predecessor)
        self.links.append(link)
        return link

    def values(self) -> list[str]:
        return [value for _, _, values in self.log for value in values]


class Link:
    def __init__(self, cluster: Cluster, number: int, predecessor: ProducerIdentity | None) -> None:
        self.cluster = cluster
        self.number = number
        self.predecessor = predecessor
        self.topics: set[str] = set()
        self.discarded = False

    async def start(self) -> None:
        await asyncio.sleep(0)
        if not self.cluster.reachable:
            raise KafkaConnectionError("nobody there")

    @property
    def identity(self) -> ProducerIdentity:
        return ProducerIdentity(7, self.number)

    def partition_count(self, topic: str) -> int | None:
        return self.cluster.partitions if topic in self.topics else None

    async def load_topic(self, topic: str) -> None:
        await asyncio.sleep(0)
        self.topics.add(topic)

    def create_batch(self) -> Writer:
        return Writer(self.cluster.room)

    async def send(self, batch: BatchWriter, topic: str, partition: int) -> None:
        assert isinstance(batch, Writer)
        await asyncio.sleep(0)
        answer = self.cluster.answer(self, batch)
        if asyncio.iscoroutine(answer):
            await answer
        self.cluster.log.append((topic, partition, batch.values))

    async def discard(self) -> None:
        self.discarded = True


@asynccontextmanager
async def publishing(cluster: Cluster, options: PublisherOptions = QUICK, prefix: str = "") -> AsyncIterator[KafkaPublisher]:
    async with KafkaPublisher(PlatformSettings(topic_prefix=prefix), options=options, make_link=cluster.make_link) as publisher:
        yield publisher


def one(value: object, key: str = "k") -> list[Outgoing]:
    return [make_outgoing("t", key, str(value))]


async def never(*_: object) -> None:
    await asyncio.Event().wait()


async def test_hundreds_of_single_publishes_share_a_few_batches() -> None:
    cluster = Cluster()
    async with publishing(cluster) as publisher:
        await asyncio.gather(*(publisher.publish(one(n, key=f"k{n}")) for n in range(600)))

    assert sorted(map(int, cluster.values())) == list(range(600))
    assert len(cluster.log) <= 8


async def test_records_of_a_key_keep_their_order_over_full_batches() -> None:
    cluster = Cluster(room=3)
    async with publishing(cluster) as publisher:
        await publisher.publish([make_outgoing("t", "k", str(n)) for n in range(20)])
        await publisher.publish([make_outgoing("t", "k", str(n)) for n in range(20, 30)])

    assert cluster.values() == [str(n) for n in range(30)]
    assert max(len(values) for _, _, values in cluster.log) == 3


async def test_topics_get_the_installations_prefix() -> None:
    cluster = Cluster()
    async with publishing(cluster, prefix="shop-") as publisher:
        await publisher.publish(one(1))
    assert cluster.log[0][0] == "shop-t"


async def test_nothing_to_publish_is_done_at_once() -> None:
    async with publishing(Cluster(reachable=False)) as publisher:
        await publisher.publish([])


async def test_the_deadline_holds_when_the_broker_never_answers() -> None:
    cluster = Cluster(answer=never)
    async with publishing(cluster) as publisher:
        began_s = time.monotonic()
        with pytest.raises(PublishFailed) as failed:
            await publisher.publish(one(1))
        took_s = time.monotonic() - began_s

    assert failed.value.retryable
    assert QUICK.deadline_s <= took_s < QUICK.deadline_s + 0.5


async def test_a_producer_that_hangs_is_replaced_and_its_batch_arrives_through_a_successor_that_fences_it() -> None:
    cluster = Cluster(answer=lambda link, _writer: never() if link.number == 0 else None)
    async with publishing(cluster) as publisher:
        await publisher.publish(one(1))
        await publisher.publish(one(2))

    assert cluster.values() == ["1", "2"]
    assert [link.predecessor for link in cluster.links] == [None, ProducerIdentity(7, 0)]
    assert cluster.links[0].discarded


@pytest.mark.parametrize("error", [OutOfOrderSequenceNumber, ProducerFenced])
async def test_a_refused_producer_is_replaced_and_the_batch_sent_again(error: type[Exception]) -> None:
    def answer(link: Link, _writer: Writer) -> None:
        if link.number == 0:
            raise error

    cluster = Cluster(answer=answer)
    async with publishing(cluster) as publisher:
        await publisher.publish(one(1))

    assert cluster.values() == ["1"]
    # A fenced producer's id is another's by now: the successor asks for one of its own.
    assert cluster.links[1].predecessor == (None if error is ProducerFenced else ProducerIdentity(7, 0))


async def test_a_record_the_broker_refuses_fails_alone_and_for_good() -> None:
    def answer(_link: Link, writer: Writer) -> None:
        if "huge" in writer.values:
            raise MessageSizeTooLargeError

    cluster = Cluster(answer=answer, partitions=1)
    async with publishing(cluster) as publisher:
        calls = [publisher.publish(one("huge" if n == 13 else n)) for n in range(30)]
        results = await asyncio.gather(*calls, return_exceptions=True)

    (failure,) = [result for result in results if result is not None]
    assert isinstance(failure, PublishFailed)
    assert not failure.retryable
    assert results.index(failure) == 13
    assert sorted(map(int, cluster.values())) == [n for n in range(30) if n != 13]


async def test_a_forbidden_topic_is_not_tried_again() -> None:
    def answer(_link: Link, _writer: Writer) -> None:
        raise TopicAuthorizationFailedError

    async with publishing(Cluster(answer=answer)) as publisher:
        with pytest.raises(PublishFailed, match="TopicAuthorizationFailed") as failed:
            await publisher.publish(one(1))
    assert not failed.value.retryable


async def test_while_no_broker_answers_calls_fail_at_once_and_succeed_when_one_is_back() -> None:
    cluster = Cluster(reachable=False)
    async with publishing(cluster) as publisher:
        with pytest.raises(PublishFailed):
            await publisher.publish(one(1))
        with pytest.raises(PublishFailed):
            await publisher.check_ready()
        began_s = time.monotonic()
        with pytest.raises(PublishFailed, match="no broker"):
            await publisher.publish(one(2))
        assert time.monotonic() - began_s < 0.1
        cluster.reachable = True
        await eventually(lambda: is_ready(publisher))
        await publisher.publish(one(3))

    assert cluster.values() == ["3"]


async def is_ready(publisher: KafkaPublisher) -> bool:
    try:
        await publisher.check_ready()
    except PublishFailed:
        return False
    return True


async def test_what_failed_before_it_was_sent_is_not_sent_later() -> None:
    gate = asyncio.Event()
    cluster = Cluster(answer=lambda _link, _writer: gate.wait(), partitions=1)
    options = PublisherOptions(deadline_s=0.4, replace_after_s=30, linger_s=0)
    async with publishing(cluster, options) as publisher:
        first = asyncio.create_task(publisher.publish(one("on the way")))
        await eventually(lambda: cluster.links and cluster.links[0].topics)
        with pytest.raises(PublishFailed):
            await publisher.publish(one("waiting"))
        with pytest.raises(PublishFailed):
            await first
        gate.set()
        await publisher.publish(one("later"))

    assert "waiting" not in cluster.values()
    assert cluster.values()[-1] == "later"


async def test_bytes_on_the_way_are_bounded_and_calls_wait_their_turn() -> None:
    gate = asyncio.Event()
    cluster = Cluster(answer=lambda _link, _writer: gate.wait())
    options = PublisherOptions(deadline_s=5, max_in_flight_bytes=3_000, linger_s=0)
    async with publishing(cluster, options) as publisher:
        calls = [asyncio.create_task(publisher.publish(one("x" * 700, key=f"k{n}"))) for n in range(12)]
        await eventually(lambda: cluster.links and cluster.links[0].topics)
        assert publisher.in_flight_bytes <= 3_000
        gate.set()
        await asyncio.gather(*calls)
        assert publisher.in_flight_bytes == 0

    assert len(cluster.values()) == 12


async def test_a_call_larger_than_the_bound_still_goes_out() -> None:
    cluster = Cluster()
    async with publishing(cluster, PublisherOptions(deadline_s=2, max_in_flight_bytes=1_000)) as publisher:
        await publisher.publish([make_outgoing("t", f"k{n}", "x" * 500) for n in range(10)])
    assert len(cluster.values()) == 10


async def test_a_cancelled_call_gives_its_bytes_back() -> None:
    cluster = Cluster(answer=never)
    async with publishing(cluster) as publisher:
        call = asyncio.create_task(publisher.publish(one(1)))
        await eventually(lambda: publisher.in_flight_bytes)
        call.cancel()
        await asyncio.wait({call})
        assert publisher.in_flight_bytes == 0


async def test_stopping_waits_for_what_was_accepted_and_refuses_more() -> None:
    cluster = Cluster(answer=lambda _link, _writer: asyncio.sleep(0.1))
    publisher = KafkaPublisher(PlatformSettings(), options=QUICK, make_link=cluster.make_link)
    await publisher.start()
    call = asyncio.create_task(publisher.publish(one(1)))
    await eventually(lambda: publisher.in_flight_bytes)
    await publisher.stop()
    await call
    with pytest.raises(PublishFailed, match="stopped"):
        await publisher.publish(one(2))
    assert cluster.links[-1].discarded
