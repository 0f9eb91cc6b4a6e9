"""Java's complaints in words: an exception keeps its message, loses its class and its stack."""

import re
from collections.abc import Iterable, Iterator

_FRAME = re.compile(r"^\s+(?:at \S|\.\.\. \d+ (?:more|common))")
_LOGGER = re.compile(r"^ \([\w.$]+\)$")
_EXCEPTION = re.compile(
    r'^(?:\[[^\]]+\] (?:ERROR|WARN) )?(?:Exception in thread "[^"]*" )?(?:Caused by: )?'
    r"(?:(?:[a-z][\w$]*\.)+[A-Z][\w$.]*(?:Exception|Error)(?:: |$))+"
)


def condense_traces(lines: Iterable[str]) -> Iterator[str]:
    """Line by line, as they come; what was said already isn't said again by the exception that follows."""
    said = ""
    in_trace = False
    for given in lines:
        line = given.rstrip("\r\n")
        if _FRAME.match(line) or (in_trace and (_LOGGER.match(line) or not line)):
            in_trace = True
            continue
        message = _EXCEPTION.sub("", line)
        is_exception = message != line
        if is_exception and (not message or message in said):
            in_trace = True
            continue
        in_trace = is_exception
        said = f"{said}\n{message}"[-4000:]
        yield message
