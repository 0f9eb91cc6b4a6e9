"""Tests wait for something, never for some time, and replace ports, never names.

A sleep in a test is too short on a busy machine and too long on a fast one: `tests.support.eventually` polls with a deadline.
Fakes and loads may take their time: only a test's own body may not. `mock.patch` ties a test to where a name is imported: hand
the code a fake of its port instead.
"""

import ast
from collections.abc import Iterator

from scripts.linters.findings import Finding, Source, calls, dotted_name

SLEEPS = frozenset({"time.sleep", "asyncio.sleep", "anyio.sleep", "sleep"})


def check(source: Source) -> Iterator[Finding]:
    parts = source.path.parts
    if parts[0] != "tests" or "support" in parts:
        return
    for call in own_calls(source.tree):
        name = dotted_name(call.func)
        # sleep(0) gives other tasks a turn; it waits for nothing.
        gives_way = len(call.args) == 1 and getattr(call.args[0], "value", None) == 0
        if name in SLEEPS and not gives_way:
            yield Finding(source.path, call.lineno, "a sleep in a test: use tests.support.eventually")
    for call, name in calls(source.tree):
        if name in {"mock.patch", "patch", "patch.object", "mock.patch.object", "monkeypatch.setattr"}:
            yield Finding(source.path, call.lineno, f"{name} in a test: hand in a fake instead")


def own_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls in the bodies of test functions, without what functions defined inside them do."""
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    waiting: list[ast.AST] = [statement for test in tests for statement in test.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting.extend(ast.iter_child_nodes(node))
