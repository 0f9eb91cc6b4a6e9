"""What a rule is and what it says."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file; `path` is relative to the checkout."""

    path: PurePosixPath
    text: str
    tree: ast.Module


@dataclass(frozen=True, slots=True)
class Finding:
    path: PurePosixPath
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


Rule = Callable[[Source], Iterator[Finding]]


def dotted_name(node: ast.expr) -> str:
    """`a.b.c` for names and attributes, "" for anything computed; a call within counts as its function (`f().x` is `f.x`)."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            prefix = dotted_name(value)
            return f"{prefix}.{attribute}" if prefix else attribute
        case ast.Call(func=function):
            return dotted_name(function)
        case _:
            return ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, dotted_name(node.func)


def is_layer(path: PurePosixPath, *layers: str) -> bool:
    """Whether the file is one of these layers of a service: `services/x/handlers.py` and `services/x/handlers/y.py` alike."""
    parts = path.parts
    return len(parts) > 2 and parts[0] == "services" and parts[2].removesuffix(".py") in layers  # noqa: PLR2004 services/<name>/<layer>
