"""Files of members in the folder that operators set: whole or not there, and readable by their owner alone."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4


async def write_file(folder: Path, name: str, chunks: AsyncIterator[bytes]) -> int:
    """The size in bytes. A file of that name is replaced in one step.

    Raises OSError.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    # Each attempt in a place of its own, so that one that was thought dead spoils nothing.
    part = folder / f".{name}.{uuid4()}.part"
    size = 0
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            async for chunk in chunks:
                size += file.write(chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        part.replace(folder / name)
    finally:
        part.unlink(missing_ok=True)
    return size
