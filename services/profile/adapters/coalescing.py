"""Reads that wait at the same moment share one statement: a point read costs a round trip, a thousand cost hardly more."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Coalescer(Generic[K, V]):
    """`get` joins the next statement, never one that was already sent: what was committed before the call is seen.

    At most `concurrency` statements run at once, each for at most `batch_max` keys; whoever comes meanwhile waits for the next.
    """

    def __init__(
        self, load: Callable[[Collection[K]], Awaitable[Mapping[K, V]]], *, batch_max: int = 256, concurrency: int = 2
    ) -> None:
        self._load = load
        self._batch_max = batch_max
        self._concurrency = concurrency
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """None where there is nothing under the key. Raises what the load raised."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            if len(self._running) < self._concurrency:
                task = asyncio.create_task(self._run())
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        # A reader that goes away must not take the answer from those it shares it with.
        return await asyncio.shield(future)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[: self._batch_max]
            batch = {key: self._waiting.pop(key) for key in keys}
            (found,) = await asyncio.gather(self._load(keys), return_exceptions=True)
            for key, future in batch.items():
                if future.done():
                    continue
                if isinstance(found, BaseException):
                    future.set_exception(found)
                    future.exception()  # marks it as read: whoever asked may have gone
                else:
                    future.set_result(found.get(key))
