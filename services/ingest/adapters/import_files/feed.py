"""A file's rows in batches, read in a thread: the loop never waits for a disk or a parser."""

import asyncio
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Generic, Self, TypeVar

from services.ingest.adapters.import_files.reading import read_steps
from services.ingest.adapters.import_files.unpack import unpack
from services.ingest.domain.imports.layouts import Layout
from services.ingest.domain.imports.steps import Step

R = TypeVar("R")


class Feed(Generic[R]):
    """An async context; one batch at a time. `prepare` is called in the thread."""

    def __init__(
        self, path: Path, layout: Layout, *, skip: int, batch_rows: int, max_bytes: int, prepare: Callable[[Step], R]
    ) -> None:
        self._path = path
        self._layout = layout
        self._skip = skip
        self._batch_rows = batch_rows
        self._max_bytes = max_bytes
        self._prepare = prepare
        self._busy: asyncio.Future[list[R]] | None = None

    async def __aenter__(self) -> Self:
        plain = await asyncio.to_thread(unpack, self._path, self._layout.packing, self._max_bytes)
        self._steps = read_steps(plain, self._layout, skip=self._skip)
        return self

    async def __aexit__(self, *_: object) -> None:
        # A cancelled task leaves its thread behind: the file is closed when that is through with its batch.
        if self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy])
        self._steps.close()

    async def next_batch(self) -> list[R]:
        """Empty at the end of the file."""
        self._busy = asyncio.ensure_future(asyncio.to_thread(self._take))
        return await asyncio.shield(self._busy)

    def _take(self) -> list[R]:
        return [self._prepare(step) for step in islice(self._steps, self._batch_rows)]
