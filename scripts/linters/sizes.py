"""Files of about 400 lines and functions of at most 70: what a reader can hold in one piece."""

import ast
from collections.abc import Iterator

from scripts.linters.findings import Finding, Source

FILE_LINES = 450
FUNCTION_LINES = 70


def check(source: Source) -> Iterator[Finding]:
    if "migrations" in source.path.parts:
        return
    if (lines := source.text.count("\n")) > FILE_LINES:
        yield Finding(source.path, 1, f"{lines} lines: split the file into a package of the same name")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield Finding(source.path, node.lineno, f"{node.name} has {length} lines, more than {FUNCTION_LINES}")
