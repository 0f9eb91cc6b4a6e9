"""How far an import has come, kept beside the platform's data so that an interrupted one goes on where it stopped."""

import hashlib
import json
from pathlib import Path

from cli.importing.delivery import Tally


class Bookmark:
    """One file of notes for one (file, format, mapping, ingest) by content: a changed file starts anew."""

    def __init__(self, home: Path, source: Path, *described: str) -> None:
        digest = hashlib.sha256()
        with source.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        for text in described:
            digest.update(b"\x1f" + text.encode())
        self._path = home / "imports" / f"{source.stem}-{digest.hexdigest()[:16]}.json"

    def load(self) -> Tally | None:
        try:
            return Tally.from_dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def save(self, tally: Tally) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        torn_free = self._path.with_suffix(".new")
        torn_free.write_text(json.dumps(tally.to_dict()), encoding="utf-8")
        torn_free.replace(self._path)

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)
