"""Folders for files under way. One left behind by a process that was killed is removed by the next who needs one."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "rapport-import-"
_LOCK: Final = "in-use"
_YOUNG_S: Final = 60.0
"""Not looked at: it may just be in the making."""


@contextmanager
def open_scratch(parent: Path | None = None) -> Iterator[Path]:
    """Ours as long as the context is open: a lock says so, which ends with the process. In the temporary folder unless said."""
    parent = parent or Path(tempfile.gettempdir())
    remove_leftovers(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name, (Path(name) / _LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield Path(name)


def remove_leftovers(parent: Path, *, older_than_s: float = _YOUNG_S) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < older_than_s:
                continue
            with (folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # somebody's, or gone
