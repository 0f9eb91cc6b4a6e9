"""Tests wait for something, never for some time, and replace ports, never names.

A sleep is too short on a busy machine and too long on a fast one: `tests.support.eventually` polls with a deadline. `mock.patch`
ties a test to where a name is imported: hand the code a fake of its port instead.
"""

from collections.abc import Iterator

from scripts.linters.findings import Finding, Source, calls

SLEEPS = frozenset({"time.sleep", "asyncio.sleep", "anyio.sleep", "sleep"})


def check(source: Source) -> Iterator[Finding]:
    parts = source.path.parts
    if parts[0] != "tests" or "support" in parts:
        return
    for call, name in calls(source.tree):
        # sleep(0) gives other tasks a turn; it waits for nothing.
        gives_way = len(call.args) == 1 and getattr(call.args[0], "value", None) == 0
        if name in SLEEPS and not gives_way:
            yield Finding(source.path, call.lineno, "a sleep in a test: use tests.support.eventually")
        if name in {"mock.patch", "patch", "patch.object", "mock.patch.object", "monkeypatch.setattr"}:
            yield Finding(source.path, call.lineno, f"{name} in a test: hand in a fake instead")
