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
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> V | None:
        """None where there is nothing under the key. Raises what the load raised."""
        # Every reader has a future of its own: one that goes away takes the answer from nobody.
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if len(self._running) < self._concurrency:
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[: self._batch_max]
            batch = {key: self._waiting.pop(key) for key in keys}
            (found,) = await asyncio.gather(self._load(keys), return_exceptions=True)
            for key, futures in batch.items():
                for future in futures:
                    if future.done():
                        continue
                    if isinstance(found, BaseException):
                        future.set_exception(found)
                    else:
                        future.set_result(found.get(key))
