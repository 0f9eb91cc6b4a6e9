"""Write every page, or with `--check` tell which are stale."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from scripts.documents.rejections import render_rejections
from services.segmentation.domain.grammar import build_rule_schema

ROOT = Path(__file__).resolve().parents[2]


def render_all() -> Mapping[Path, str]:
    """Path within the checkout -> what must stand there."""
    return {
        Path("docs/rejections.md"): render_rejections(),
        Path("docs/rule.schema.json"): msgspec.json.format(msgspec.json.encode(build_rule_schema()), indent=2).decode() + "\n",
    }


def find_stale(root: Path = ROOT) -> list[Path]:
    return [path for path, text in render_all().items() if not (root / path).is_file() or (root / path).read_text() != text]


def run(*, check: bool, root: Path = ROOT) -> int:
    stale = find_stale(root)
    if check:
        sys.stdout.writelines(f"{path} is stale: run `make docs` and commit\n" for path in stale)
        return 1 if stale else 0
    for path in stale:
        (root / path).write_text(render_all()[path])
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    sys.exit(run(check=parser.parse_args().check))
