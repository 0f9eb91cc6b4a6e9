"""Files of members in the folder that operators set: whole or not there, and readable by their owner alone."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path


async def write_file(folder: Path, name: str, chunks: AsyncIterator[bytes]) -> int:
    """The size in bytes. A file of that name is replaced in one step.

    Raises OSError.
    """
    part = await asyncio.to_thread(_prepare, folder, name)
    size = 0
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        async for chunk in chunks:
            size += file.write(chunk)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    part.replace(folder / name)
    return size


def _prepare(folder: Path, name: str) -> Path:
    """Where to write: each process in a place of its own, so that one that was thought dead spoils nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{name}.{os.getpid()}.part"
