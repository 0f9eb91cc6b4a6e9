"""The list of scopes is what the services require: no more, no less."""

import ast
from collections.abc import Iterator
from pathlib import Path

from libs.kit.scopes import SCOPES

SERVICES = Path(__file__).parents[3] / "services"
ASKING = {"requires", "authorise", "authorise_scope", "has"}


def texts_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def find_required(tree: ast.Module) -> Iterator[str]:
    """What stands as a scope in a call: a text, the name of a constant of this module, an argument called ..._scope."""
    constants = {
        node.target.id: text
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        for text in texts_of(node.value)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        for argument in node.args if name in ASKING else ():
            yield from texts_of(argument)
            if isinstance(argument, ast.Name) and argument.id in constants:
                yield constants[argument.id]
        for keyword in node.keywords:
            if keyword.arg in {"scope", "needed", "read_scope", "write_scope"}:
                yield from texts_of(keyword.value)


def test_every_known_scope_is_required_somewhere_and_every_required_one_is_known() -> None:
    required = {scope for file in SERVICES.rglob("*.py") for scope in find_required(ast.parse(file.read_text(encoding="utf-8")))}
    assert required == set(SCOPES)


def test_the_list_is_in_order() -> None:
    assert list(SCOPES) == sorted(set(SCOPES))
