"""What browsers need to be told before and with every answer (segment-protocol 3.5, measured in Chromium).

Without `x-retry-count` among the allowed headers every retry of analytics-next is blocked for good; without the exposed
`Retry-After` it is ignored.
"""

from typing import Final

from libs.kit.errors import RapportError
from libs.kit.http import AsgiApp, Message, Receive, Scope, Send, send_problem

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
    "idempotency-key",
    "traceparent",
)

ANSWER: Final[tuple[RawHeader, ...]] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After"),
)


async def preflight(_scope: Scope, _receive: Receive, send: Send) -> None:
    """`OPTIONS` of any address that takes what browsers may send."""
    await send({"type": "http.response.start", "status": 204, "headers": list(PREFLIGHT)})
    await send({"type": "http.response.body"})


def open_to_browsers(endpoint: AsgiApp) -> AsgiApp:
    """The endpoint, whose every answer a page of another origin may read: problems too."""

    async def opened(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *ANSWER]}
            await send(message)

        try:
            await endpoint(scope, receive, send_readable)
        except RapportError as error:
            await send_problem(send_readable, error)

    return opened


PREFLIGHT: Final[tuple[RawHeader, ...]] = (
    *ANSWER,
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", ", ".join(_REQUEST_HEADERS).encode()),
    (b"access-control-max-age", b"900"),
)
