"""What browsers need to be told before and with every answer (segment-protocol 3.5, measured in Chromium).

Without `x-retry-count` among the allowed headers every retry of analytics-next is blocked for good; without the exposed
`Retry-After` it is ignored.
"""

from typing import Final

RawHeader = tuple[bytes, bytes]

_REQUEST_HEADERS: Final = (
    "authorization",
    "content-type",
    "content-encoding",
    "x-retry-count",
    "x-write-key",
    "anonymousid",
    "sentat",
    "rsa-retry-attempt",
    "rsa-since-last-attempt",
    "rsa-since-first-attempt",
    "rsa-retry-reason",
    "rsa-recovered",
    "prefer",
    "traceparent",
)

ANSWER: Final[tuple[RawHeader, ...]] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After"),
)
PREFLIGHT: Final[tuple[RawHeader, ...]] = (
    *ANSWER,
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", ", ".join(_REQUEST_HEADERS).encode()),
    (b"access-control-max-age", b"900"),
)
