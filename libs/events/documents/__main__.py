"""`python -m libs.events.documents [--check]`: write, or compare, what is made from the event classes and the catalogue."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from libs.events.codec import EVENT_TYPES
from libs.events.documents.asyncapi import render_asyncapi
from libs.events.documents.compatibility import find_breaks
from libs.events.documents.examples import build_examples, render_examples
from libs.events.documents.pages import render_page
from libs.events.documents.schemas import build_schema
from libs.events.documents.vocabulary import render_vocabulary
from libs.vocabulary import CATALOGUE

ROOT: Final = Path(__file__).parents[3]
SCHEMAS: Final = Path("libs/events/schemas")
EXAMPLES: Final = Path("libs/events/examples")


def render_all() -> Mapping[Path, bytes]:
    """Path within the checkout -> what must stand there."""
    examples = build_examples()
    files: dict[Path, bytes] = {}
    for name, event in EVENT_TYPES.items():
        files[SCHEMAS / f"{name}.json"] = msgspec.json.format(msgspec.json.encode(build_schema(event)), indent=2) + b"\n"
        files[EXAMPLES / f"{name}.json"] = render_examples(examples[name])
    files[Path("docs/asyncapi.yaml")] = render_asyncapi(examples)
    files[Path("docs/events.md")] = render_page(examples)
    files[Path("docs/touchpoints.md")] = render_vocabulary(CATALOGUE)
    return files


def find_refusals(files: Mapping[Path, bytes], root: Path) -> Iterator[str]:
    """Committed schemas that what the classes say now may not replace, and those that no class stands behind any more."""
    for committed in sorted((root / SCHEMAS).glob("*.json")):
        path = SCHEMAS / committed.name
        if path not in files:
            yield f"{path}: no topic declares this event any more; once no log holds one, delete its schema and examples by hand"
            continue
        old, new = (msgspec.json.decode(content, type=dict) for content in (committed.read_bytes(), files[path]))
        yield from (f"{path}: {found}" for found in find_breaks(old, new))


def find_stale(files: Mapping[Path, bytes], root: Path) -> list[Path]:
    return [path for path, content in files.items() if not (root / path).is_file() or (root / path).read_bytes() != content]


def run(*, check: bool, root: Path = ROOT) -> int:
    """0: all is as it should be. 1: stale (with `check`). 2: an incompatible change; nothing was written."""
    files = render_all()
    refusals = list(find_refusals(files, root))
    if refusals:
        _say("These changes break readers of the log. Leave the event as it is and add a new version beside it:", *refusals)
        return 2
    stale = find_stale(files, root)
    if check:
        if stale:
            _say("Stale; run `make docs` and commit:", *map(str, stale))
        return 1 if stale else 0
    for path in stale:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(files[path])
    _say(f"{len(stale)} of {len(files)} files written.")
    return 0


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a file is stale")
    sys.exit(run(check=parser.parse_args().check))
