"""Structured logs without personal data: JSON lines for machines, or colours for a terminal.

Keys that may hold what customers are or say are blanked wherever they stand; e-mail addresses and database details are cut
from every text, tracebacks included. Log ids, counts, codes and names of our own.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import structlog
from structlog.types import EventDict, Processor

from libs.kit.trace import current_trace

if TYPE_CHECKING:
    from libs.kit.settings import PlatformSettings

REDACTED = "[redacted]"

_PERSONAL_KEYS = frozenset(
    """
    address addresses anonymous_id authorization birthday body cookie comment content context custom data device_id dob email
    emails first_name firstname full_name fullname headers identifier identifiers input ip ip_address key_value last_name lastname
    loyalty_card message_body mail name names password payload phone phones postal_code postcode properties query raw recipient
    ref secret snapshot street subject surname text token traits url user_agent user_id useragent username value values view
    write_key writekey api_key apikey dsn
    """.split()  # noqa: SIM905 - a table of words reads better than 70 quoted ones
)
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_TEXT_CUTS = (
    (re.compile(r"^\s*(?:DETAIL|CONTEXT|QUERY|HINT):.*$", re.MULTILINE), REDACTED),  # PostgreSQL shows the row there
    (re.compile(r"\((?P<columns>[\w\", ]+)\)=\(.*?\)(?=[\s.]|$)"), rf"(\g<columns>)=({REDACTED})"),
    (re.compile(r"\[parameters: .*\]"), f"[parameters: {REDACTED}]"),  # SQLAlchemy
    (re.compile(r"input_value=.*?, input_type="), f"input_value={REDACTED}, input_type="),  # pydantic
    (re.compile(r"(?<=://)[^/@\s]+@"), f"{REDACTED}@"),  # credentials in a URL
    (_EMAIL, REDACTED),
)


def scrub_text(text: str) -> str:
    """The text without what looks like personal data or secrets."""
    for pattern, replacement in _TEXT_CUTS:
        text = pattern.sub(replacement, text)
    return text


def scrub(value: Any) -> Any:
    """The value with personal keys blanked at any depth and texts scrubbed. Other objects are shown by their type only."""
    if isinstance(value, str):
        return scrub_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): REDACTED if _is_personal(str(key)) else scrub(member) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub(member) for member in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return scrub_text(str(value))


def _is_personal(key: str) -> bool:
    return key.lower().replace("-", "_") in _PERSONAL_KEYS


def _scrub_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if key in ("event", "level", "timestamp", "logger", "service", "trace_id"):
            continue
        event[key] = REDACTED if _is_personal(key) else scrub(event[key])
    if isinstance(event.get("event"), str):
        event["event"] = scrub_text(event["event"])
    return event


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    trace = current_trace()
    if trace is not None:
        event.setdefault("trace_id", trace.trace_id)
    return event


def _drop_private(_logger: object, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """Uvicorn adds a coloured copy of its message."""
    event.pop("color_message", None)
    return event


def reset_logging() -> None:
    """How it is until a process calls `configure_logging`: warnings and worse, scrubbed alike, as lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            structlog.processors.format_exc_info,
            _scrub_event,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        logger_factory=lambda *_name: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )


def configure_logging(service: str, settings: "PlatformSettings") -> None:
    """Everything the process says, its libraries included, goes to standard error in one format."""

    def add_service(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        _add_trace,
        _drop_private,
        structlog.processors.format_exc_info,
        _scrub_event,
    ]
    render: Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    last = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy, level in (
        ("uvicorn.access", logging.CRITICAL),
        ("uvicorn", logging.WARNING),
        ("alembic", logging.WARNING),
        ("aiokafka", logging.WARNING),
        # They tell whole URLs, whose paths and queries hold secrets of receivers.
        ("httpx", logging.WARNING),
        ("httpcore", logging.WARNING),
    ):
        logging.getLogger(noisy).setLevel(max(level, root.level))
        logging.getLogger(noisy).handlers.clear()
        logging.getLogger(noisy).propagate = True


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Events are snake_case words; everything else is keyword arguments."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


# structlog's own default shows local variables in tracebacks, and with them customers.
reset_logging()
