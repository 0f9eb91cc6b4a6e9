"""Redis holds rate-limit counters and nothing that matters: being without it never stops a start."""

from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.kit.logging import get_logger

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 0.5
_log = get_logger(__name__)


async def connect_redis(url: str | None, *, ssl_cafile: "Path | None" = None) -> Redis | None:
    """A client with short timeouts, or None where no address is set.

    Never raises for a server that is away: the client connects when it comes, and until then its calls raise
    `redis.exceptions.RedisError`, on which the caller counts per process.
    """
    if url is None:
        return None
    options: dict[str, Any] = {}
    if ssl_cafile is not None and url.startswith("rediss://"):
        options["ssl_ca_certs"] = str(ssl_cafile)
    client: Redis = Redis.from_url(
        url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, protocol=2, decode_responses=False, **options
    )
    try:
        await client.ping()
    except (RedisError, OSError) as error:
        _log.warning("redis_away", reason=type(error).__name__, consequence="limits are counted per process until it is back")
    return client
