"""What a home remembers of its processes: who they were, so that a later start can tell a leftover from a stranger."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process. A pid alone may have been given to somebody else; with its start time it is unmistakable."""

    name: str
    pid: int
    created: float
    port: int


def record_path(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.json"


def write_json(path: Path, value: object) -> None:
    """Replace a small file so that a reader sees the old or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value, indent=1))
    draft.replace(path)


def save_record(home: Path, record: ProcessRecord) -> None:
    write_json(record_path(home, record.name), asdict(record))


def load_record(home: Path, name: str) -> ProcessRecord | None:
    """None when there is no record, or when it can't be read (a home of another version, a torn disk)."""
    try:
        return ProcessRecord(**json.loads(record_path(home, name).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remove_record(home: Path, name: str) -> None:
    record_path(home, name).unlink(missing_ok=True)


def find_process(pid: int, created: float) -> psutil.Process | None:
    """The running process with this pid, if it is still the one that was recorded."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def find_recorded(record: ProcessRecord | None) -> psutil.Process | None:
    return None if record is None else find_process(record.pid, record.created)
