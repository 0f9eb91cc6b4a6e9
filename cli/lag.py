"""How many records each service's consumer group is behind, asked of the broker itself."""

import asyncio
from collections.abc import Iterable

TIMEOUT_S = 8.0


async def measure_lag(services: Iterable[str]) -> dict[str, float]:
    """Empty when the broker doesn't answer: what the services' own metrics say then has to do."""
    from libs.kit.settings import PlatformSettings
    from libs.messaging.admin import consumer_lag
    from libs.messaging.errors import MessagingError

    settings = PlatformSettings()
    names = list(services)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            lags = await asyncio.gather(*(consumer_lag(settings, name) for name in names))
    except (MessagingError, TimeoutError):
        return {}
    return {name: float(sum(lag.values())) for name, lag in zip(names, lags, strict=True) if lag}
