"""Rate limiters: per process, or in Redis for all processes together. Redis away: per process until it is back."""

from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from libs.kit.clock import Clock
from libs.kit.logging import get_logger
from services.ingest.domain.rates import MICROS, Bucket, Rate, admit

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from services.ingest.ports import RateLimiter

_RETRY_S: Final = 2.0
_log = get_logger(__name__)

# `domain.rates.admit`, word for word, with the server's own clock: that is the one all processes share.
_ADMIT: Final = """
local per_s, burst, events = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now, full = time[1] * 1000000 + time[2], burst * 1000000
local held = redis.call('HMGET', KEYS[1], 'level', 'at_us')
local level, at = tonumber(held[1] or full), tonumber(held[2] or now)
level = math.min(full, level + math.max(0, now - at) * per_s)
local missing = math.min(events * 1000000, full) - level
local wait = 0
if missing > 0 then wait = math.ceil(missing / (per_s * 1000000)) else level = level - events * 1000000 end
redis.call('HSET', KEYS[1], 'level', string.format('%.0f', level), 'at_us', string.format('%.0f', math.max(now, at)))
redis.call('PEXPIRE', KEYS[1], math.ceil((full - level) / per_s / 1000) + 1000)
return wait
"""


class ProcessLimiter:
    """See services.ingest.ports.RateLimiter. Each process for itself: so many processes, so many times the limit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    async def admit(self, source_id: str, rate: Rate, events: int) -> int:
        now_us = int(self._clock.monotonic() * MICROS)
        self._buckets[source_id], wait_s = admit(rate, self._buckets.get(source_id), now_us, events)
        return wait_s


class RedisLimiter:
    """See services.ingest.ports.RateLimiter. All processes share the buckets."""

    def __init__(self, redis: "Redis", clock: Clock, *, prefix: str = "") -> None:
        self._script = redis.register_script(_ADMIT)
        self._clock = clock
        self._prefix = f"{prefix}rapport:rates:"
        self._own = ProcessLimiter(clock)
        self._away_until_s = 0.0

    async def admit(self, source_id: str, rate: Rate, events: int) -> int:
        if self._clock.monotonic() < self._away_until_s:
            return await self._own.admit(source_id, rate, events)
        try:
            return int(await self._script(keys=[self._prefix + source_id], args=[rate.per_s, rate.burst, events]))
        except (RedisError, OSError) as error:
            # Not asked again for a while: a request that waited for its timeout each time would be worse than no limit.
            self._away_until_s = self._clock.monotonic() + _RETRY_S
            _log.warning("rates_counted_per_process", reason=type(error).__name__, for_s=_RETRY_S)
            return await self._own.admit(source_id, rate, events)


def build_limiter(redis: "Redis | None", clock: Clock, *, prefix: str) -> "RateLimiter":
    return ProcessLimiter(clock) if redis is None else RedisLimiter(redis, clock, prefix=prefix)
