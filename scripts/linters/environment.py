"""`os.environ` is read in settings, once, and nowhere else in services and libs: what isn't declared can't be documented."""

import ast
from collections.abc import Iterator

from scripts.linters.findings import Finding, Source, dotted_name

READERS = frozenset({"os.environ", "os.getenv", "environ", "getenv"})


def check(source: Source) -> Iterator[Finding]:
    if source.path.parts[0] not in {"services", "libs"} or source.path.stem == "settings":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute | ast.Name) and dotted_name(node) in READERS:
            yield Finding(source.path, node.lineno, "environment read outside settings: declare a setting")
