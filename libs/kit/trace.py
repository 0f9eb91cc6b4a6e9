"""W3C trace context (https://www.w3.org/TR/trace-context/): the trace a request or record belongs to, in a context variable."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Self

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.ASCII)
_LENGTH = 55
_SAMPLED = 0x01


class TraceContext(NamedTuple):
    """One span: `trace_id` 32 and `span_id` 16 lower-case hex digits."""

    trace_id: str
    span_id: str
    flags: int = _SAMPLED

    def to_traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def start_child(self) -> Self:
        """A span of the same trace."""
        return self._replace(span_id=secrets.token_hex(8))


_current: ContextVar[TraceContext | None] = ContextVar("rapport_trace", default=None)


def parse_traceparent(text: str) -> TraceContext | None:
    """None where the header is malformed: the caller then starts a trace of its own, as the specification asks."""
    if _TRACEPARENT.fullmatch(text) is None or (text.startswith("00") and len(text) != _LENGTH):
        return None
    return TraceContext(text[3:35], text[36:52], int(text[53:55], 16))


def start_trace() -> TraceContext:
    random = secrets.token_hex(24)
    return TraceContext(random[:32], random[32:])


def continue_trace(traceparent: str | None) -> TraceContext:
    """A span of the caller's trace, or a new trace."""
    parent = parse_traceparent(traceparent) if traceparent is not None else None
    return parent.start_child() if parent is not None else start_trace()


def current_trace() -> TraceContext | None:
    return _current.get()


def current_traceparent() -> str | None:
    """What to send along with a request or a record made now."""
    trace = _current.get()
    return trace.to_traceparent() if trace is not None else None


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
