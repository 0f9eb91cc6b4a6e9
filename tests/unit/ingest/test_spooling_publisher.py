"""When touchpoints go to the log, when to the spool, and in which order they come out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from libs.events.envelope import Outgoing
from libs.kit.clock import FakeClock
from libs.kit.metrics import render_metrics
from libs.messaging.errors import PublishFailed, RecordRefused
from services.ingest.adapters.fake_spool import FakeSpool
from services.ingest.adapters.spooling_publisher import SpoolingPublisher
from tests.support.eventually import eventually


@dataclass
class Log:
    """One log, and two ways to it that can be closed apart. A record whose value is in `poison` is refused."""

    values: list[str] = field(default_factory=list)
    hasty_fails: bool = False
    patient_fails: bool = False
    poison: frozenset[str] = frozenset()
    hasty_calls: int = 0

    @property
    def is_down(self) -> bool:
        return self.hasty_fails and self.patient_fails

    @is_down.setter
    def is_down(self, down: bool) -> None:
        self.hasty_fails = self.patient_fails = down

    def take(self, messages: Sequence[Outgoing]) -> None:
        values = [(message.value or b"").decode() for message in messages]
        if self.poison & set(values):
            raise RecordRefused("too large")
        self.values.extend(values)


class Way:
    def __init__(self, log: Log, *, hasty: bool) -> None:
        self._log = log
        self._hasty = hasty

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        await asyncio.sleep(0)
        if self._hasty:
            self._log.hasty_calls += 1
        if self._log.hasty_fails if self._hasty else self._log.patient_fails:
            raise PublishFailed("no broker answers")
        self._log.take(messages)


def make(*values: object, key: str = "k") -> list[Outgoing]:
    return [Outgoing("touchpoints", key.encode(), str(value).encode(), (), 1) for value in values]


@asynccontextmanager
async def publishing(log: Log, spool: FakeSpool) -> AsyncIterator[SpoolingPublisher]:
    async with SpoolingPublisher(Way(log, hasty=True), Way(log, hasty=False), spool, FakeClock()) as publisher:
        yield publisher


def read_gauge(name: str) -> float:
    line = next(line for line in render_metrics().decode().splitlines() if line.startswith(f"rapport_{name} "))
    return float(line.split()[1])


async def test_while_the_log_answers_the_spool_stays_empty() -> None:
    log, spool = Log(), FakeSpool()
    async with publishing(log, spool) as publisher:
        await publisher.publish(make(1))
        await publisher.publish(make(2))
    assert (log.values, spool.usage.records) == (["1", "2"], 0)


async def test_what_the_log_does_not_take_is_spooled_and_drained_when_it_is_back() -> None:
    log, spool = Log(), FakeSpool()
    log.is_down = True
    async with publishing(log, spool) as publisher:
        await publisher.publish(make(1))
        assert (log.values, spool.usage.records) == ([], 1)
        assert read_gauge("ingest_broker_away") == 1
        assert read_gauge("ingest_spool_records") == 1
        log.is_down = False
        await eventually(lambda: log.values == ["1"])
        await eventually(lambda: read_gauge("ingest_broker_away") == 0)
        await publisher.publish(make(2))
    assert log.values == ["1", "2"]
    assert spool.usage.records == 0


async def test_while_it_is_away_nothing_waits_for_it() -> None:
    log, spool = Log(), FakeSpool()
    log.is_down = True
    async with publishing(log, spool) as publisher:
        await publisher.publish(make(0))
        asked = log.hasty_calls
        await asyncio.gather(*(publisher.publish(make(number, key=f"k{number}")) for number in range(1, 50)))
        assert spool.usage.records == 50
        assert log.hasty_calls == asked
        await publisher.check_ready()
        log.is_down = False
        await eventually(lambda: len(log.values) == 50)
    assert log.values == [str(number) for number in range(50)]


async def test_no_record_overtakes_an_earlier_one_of_its_key_over_outages() -> None:
    log, spool = Log(), FakeSpool()
    done = False

    async def write(publisher: SpoolingPublisher, key: str) -> int:
        number = 0
        while not done:
            await publisher.publish(make(f"{key}:{number}", key=key))
            number += 1
            await asyncio.sleep(0.001)
        return number

    async with publishing(log, spool) as publisher:
        writers = [asyncio.create_task(write(publisher, f"k{number}")) for number in range(20)]
        for _ in range(3):
            before = len(log.values)
            await eventually(lambda before=before: len(log.values) > before + 100)
            log.is_down = True
            await eventually(lambda: spool.usage.records > 200)
            log.is_down = False
            await eventually(lambda: read_gauge("ingest_broker_away") == 0)
        done = True
        written = await asyncio.gather(*writers)
    for number, count in enumerate(written):
        of_key = [int(value.split(":")[1]) for value in log.values if value.startswith(f"k{number}:")]
        assert of_key == list(range(count))


async def test_while_the_way_of_requests_is_stuck_only_few_wait_for_it_and_all_arrives() -> None:
    log, spool = Log(hasty_fails=True), FakeSpool()
    async with publishing(log, spool) as publisher:
        for number in range(300):
            await publisher.publish(make(number))
            await asyncio.sleep(0)
        await eventually(lambda: len(log.values) == 300)
        assert log.hasty_calls <= 4
        log.hasty_fails = False
        await eventually(lambda: read_gauge("ingest_broker_away") == 0)
        await publisher.publish(make(300))
    assert log.values == [str(number) for number in range(301)]


async def test_when_neither_takes_it_the_call_fails_and_the_process_is_not_ready() -> None:
    log, spool = Log(), FakeSpool()
    log.is_down = spool.is_broken = True
    async with publishing(log, spool) as publisher:
        with pytest.raises(PublishFailed):
            await publisher.publish(make(1))
        spool.is_broken = False
        await publisher.publish(make(2))
        spool.is_broken = True
        with pytest.raises(PublishFailed):
            await publisher.publish(make(3))
        with pytest.raises(PublishFailed):
            await publisher.check_ready()
        log.is_down = False
        await eventually(lambda: log.values == ["2"])
        await eventually(lambda: read_gauge("ingest_broker_away") == 0)
        await publisher.check_ready()


async def test_a_record_the_log_refuses_for_good_is_set_aside_and_the_others_arrive() -> None:
    log, spool = Log(poison=frozenset({"13"})), FakeSpool()
    log.is_down = True
    async with publishing(log, spool) as publisher:
        await publisher.publish(make(*range(30)))
        log.is_down = False
        await eventually(lambda: spool.usage.records == 0)
    assert log.values == [str(number) for number in range(30) if number != 13]
    assert [record.value for record in spool.refused] == [b"13"]


async def test_a_refusal_for_good_is_not_spooled() -> None:
    log, spool = Log(poison=frozenset({"1"})), FakeSpool()
    async with publishing(log, spool) as publisher:
        with pytest.raises(RecordRefused):
            await publisher.publish(make(1))
    assert spool.usage.records == 0


async def test_what_an_ended_process_left_is_drained_without_being_asked() -> None:
    log, spool = Log(), FakeSpool()
    spool.left_behind = make("left")
    async with publishing(log, spool):
        await eventually(lambda: log.values == ["left"])


async def test_what_was_there_at_the_start_comes_before_the_first_request() -> None:
    log, spool = Log(), FakeSpool()
    await spool.append(make("left"))
    async with publishing(log, spool) as publisher:
        await publisher.publish(make("new"))
        await eventually(lambda: len(log.values) == 2)
    assert log.values == ["left", "new"]


async def test_a_stop_drains_what_the_log_takes_and_leaves_the_rest() -> None:
    log, spool = Log(), FakeSpool()
    log.is_down = True
    async with publishing(log, spool) as publisher:
        await publisher.publish(make(1))
        log.is_down = False
    assert (log.values, spool.usage.records) == (["1"], 0)
    log.is_down = True
    async with publishing(log, spool) as publisher:
        await publisher.publish(make(2))
    assert (log.values, spool.usage.records) == (["1"], 1)
