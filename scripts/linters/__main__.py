"""Runs every rule over every Python file of the checkout; exit code 1 when one finds something."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from scripts.linters import clocks, commits, environment, names, sizes, waits
from scripts.linters.findings import Finding, Rule, Source

ROOT = Path(__file__).resolve().parents[2]
EXCEPTION = "# house: "
"""A line that ends in this and a reason is an exception that somebody thought about."""
FOLDERS = ("services", "libs", "cli", "deploy", "bench", "scripts", "tests")
RULES: tuple[Rule, ...] = (commits.check, clocks.check, names.check, sizes.check, waits.check, environment.check)


def check_text(path: str, text: str) -> list[Finding]:
    source = Source(PurePosixPath(path), text, ast.parse(text, filename=path))
    lines = text.splitlines()
    return [
        finding
        for rule in RULES
        for finding in rule(source)
        if not (lines and EXCEPTION in lines[min(finding.line, len(lines)) - 1])
    ]


def check_checkout(root: Path = ROOT) -> Iterator[Finding]:
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.py")):
            if "node_modules" not in file.parts:
                yield from check_text(file.relative_to(root).as_posix(), file.read_text())


def main() -> int:
    findings = list(check_checkout())
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
