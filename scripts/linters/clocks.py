"""No clock, no fresh id and no randomness in the domain and the handlers.

Time, ids and chance arrive as arguments: only then does a replay from offset 0 give the same result, and only then can a
test move time for a rule that waits thirty days.
"""

from collections.abc import Iterator

from scripts.linters.findings import Finding, Source, calls, is_layer

FORBIDDEN = {
    "now": ("datetime", "date"),
    "utcnow": ("datetime",),
    "today": ("datetime", "date"),
    "time": ("time",),
    "time_ns": ("time",),
    "monotonic": ("time",),
    "monotonic_ns": ("time",),
    "perf_counter": ("time",),
    "perf_counter_ns": ("time",),
    "urandom": ("os",),
}
FORBIDDEN_ANYWHERE = frozenset({"uuid1", "uuid4", "uuid6", "uuid7", "new_uuid7", "token_bytes", "token_hex", "token_urlsafe"})
FORBIDDEN_MODULES = frozenset({"random", "secrets"})


def check(source: Source) -> Iterator[Finding]:
    if not is_layer(source.path, "domain", "handlers"):
        return
    for call, name in calls(source.tree):
        owner, _, verb = name.rpartition(".")
        module = owner.rpartition(".")[2]
        if verb in FORBIDDEN_ANYWHERE or module in FORBIDDEN_MODULES or module in FORBIDDEN.get(verb, ()):
            yield Finding(source.path, call.lineno, f"{name}() in the domain: take the value as an argument")
