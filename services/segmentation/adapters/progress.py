"""Up to when each partition of profile-changes is consumed: a timer may fire only where nothing older can still come."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from libs.events import topics
from libs.events.envelope import Incoming
from libs.kit.clock import Clock
from libs.kit.logging import get_logger
from libs.kit.times import to_micros
from libs.messaging.errors import SourceUnavailable
from libs.messaging.ports import RecordSource, TopicPartition

_log = get_logger(__name__)
_MEASURE_EVERY_S: Final = 0.5
MeasureLag = Callable[[], Awaitable[Mapping[TopicPartition, int]]]


class ConsumedProgress:
    """Two witnesses. A handled record: whatever was received before it in its partition is handled, too. And the broker: where
    it says that the group has committed everything, all that was appended before the question is consumed.
    """

    def __init__(self, source: RecordSource, measure_lag: MeasureLag, clock: Clock) -> None:
        self._source = source
        self._measure_lag = measure_lag
        self._clock = clock
        self._pending: dict[int, tuple[int, int]] = {}
        self._until_us: dict[int, int] = {}
        self._measured_at_s = -_MEASURE_EVERY_S
        self.partitions = topics.PROFILE_CHANGES.partitions

    def note(self, messages: Sequence[Incoming]) -> None:
        """A batch is being handled. What was noted before counts once a later record of its partition comes: it is committed."""
        for message in messages:
            known = self._pending.get(message.partition)
            if known is not None and message.offset > known[0]:
                self._raise_to(message.partition, known[1])
        for message in messages:
            self._pending[message.partition] = (message.offset, message.timestamp_ms * 1000)

    async def consumed_until(self) -> dict[int, int]:
        """By partition that is ours, in microseconds. Asks the broker at most twice a second."""
        if self._clock.monotonic() - self._measured_at_s >= _MEASURE_EVERY_S:
            await self._measure()
            self._measured_at_s = self._clock.monotonic()
        ours = {partition for topic, partition in self._source.assignment() if topic == topics.PROFILE_CHANGES.name}
        return {partition: until_us for partition, until_us in self._until_us.items() if partition in ours}

    async def _measure(self) -> None:
        asked_us = to_micros(self._clock.now())
        try:
            lag = await self._measure_lag()
        except (SourceUnavailable, OSError, TimeoutError) as error:
            _log.warning("timers_wait_for_the_broker", cause=type(error).__name__)
            return
        partitions = {place.partition: behind for place, behind in lag.items() if place.topic == topics.PROFILE_CHANGES.name}
        self.partitions = len(partitions) or self.partitions
        for partition, behind in partitions.items():
            if behind == 0:
                self._raise_to(partition, asked_us)

    def _raise_to(self, partition: int, until_us: int) -> None:
        self._until_us[partition] = max(self._until_us.get(partition, until_us), until_us)
