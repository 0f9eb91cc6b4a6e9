"""W3C trace context (https://www.w3.org/TR/trace-context/): the trace a request or record belongs to, in a context variable."""

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
_LENGTH = 55
# Ids need to differ, not to be secret: a generator of our own costs a tenth of asking the kernel for each request.
_own = random.Random()  # noqa: S311 - see above
_bits = _own.getrandbits
# A forked process has a copy of it, which would go on with the same ids as its parent and siblings.
os.register_at_fork(after_in_child=_own.seed)


class TraceContext(Struct, frozen=True):
    """One span, as its header says it: a request that nobody asks about its trace pays for one text."""

    traceparent: str

    @property
    def trace_id(self) -> str:
        """32 lower-case hex digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """16 lower-case hex digits."""
        return self.traceparent[36:52]

    def to_traceparent(self) -> str:
        return self.traceparent

    def start_child(self) -> "TraceContext":
        """A span of the same trace, sampled or not as its parent."""
        return TraceContext(f"00{self.traceparent[2:36]}{_bits(64) or 1:016x}-{self.traceparent[53:55]}")


_current: ContextVar[TraceContext | None] = ContextVar("rapport_trace", default=None)


def parse_traceparent(text: str) -> TraceContext | None:
    """None where the header is malformed: the caller then starts a trace of its own, as the specification asks."""
    if _TRACEPARENT.fullmatch(text) is None or (text.startswith("00") and len(text) != _LENGTH):
        return None
    return TraceContext(f"00{text[2:_LENGTH]}")


def start_trace() -> TraceContext:
    ids = f"{_bits(192) or 1:048x}"
    return TraceContext(f"00-{ids[:32]}-{ids[32:]}-01")


def continue_trace(traceparent: str | None) -> TraceContext:
    """A span of the caller's trace, or a new trace."""
    parent = parse_traceparent(traceparent) if traceparent is not None else None
    return parent.start_child() if parent is not None else start_trace()


def current_trace() -> TraceContext | None:
    return _current.get()


def current_traceparent() -> str | None:
    """What to send along with a request or a record made now."""
    trace = _current.get()
    return trace.traceparent if trace is not None else None


def set_trace(trace: TraceContext | None) -> None:
    """For an edge that owns its task's context (a request, a poll)."""
    _current.set(trace)


@contextmanager
def use_trace(trace: TraceContext | None) -> Iterator[None]:
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)
