"""No file named for what it is not: `utils.py` collects whatever found no home, and nobody finds it there again."""

from collections.abc import Iterator

from scripts.linters.findings import Finding, Source

STRAY = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "stuff"})


def check(source: Source) -> Iterator[Finding]:
    for part in source.path.parts:
        if part.removesuffix(".py") in STRAY:
            yield Finding(source.path, 1, f"{part}: name it for what it does")
