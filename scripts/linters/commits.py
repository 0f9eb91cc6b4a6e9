"""No commit outside the edges.

A poll, a command and a timer are one transaction each: facts, dedupe rows and the outbox become visible together or not at all
(docs/ARCHITECTURE.md). A commit further in would publish half of one. So only the consumer and the API routes open and leave
transactions; what they call takes the transaction as an argument. Savepoints (`tx.transaction()`) are fine: they commit nothing.
"""

from collections.abc import Iterator

from scripts.linters.findings import Finding, Source, calls, is_layer

INNER_LAYERS = ("handlers", "store", "domain", "ports", "tables", "adapters")
OPENERS = frozenset({"database", "db", "pool", "engine"})


def check(source: Source) -> Iterator[Finding]:
    if not is_layer(source.path, *INNER_LAYERS):
        return
    for call, name in calls(source.tree):
        *owners, verb = name.split(".")
        owner = owners[-1].lstrip("_") if owners else ""
        if verb == "commit" and owners:
            yield Finding(source.path, call.lineno, "commit() outside the edges: take the transaction as an argument")
        elif verb in {"transaction", "begin"} and owner in OPENERS:
            yield Finding(source.path, call.lineno, f"{owner}.{verb}() outside the edges: take the transaction as an argument")
