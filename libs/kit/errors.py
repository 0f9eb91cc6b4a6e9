"""The base of every error an API may answer with: a stable code, an HTTP status, and whether trying again can help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one part of a request.

    `pointer` is a JSON Pointer as a URI fragment: `#/traits/email` in the body, `#` for the body itself, and
    `#/query/limit`, `#/path/ref`, `#/header/idempotency-key`, `#/cookie/...` for what isn't in the body.
    """

    pointer: str
    detail: str


class RapportError(Exception):
    """Something a caller is told about. Subclasses name the condition; `detail` says what was wrong, without personal data."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers: dict[str, str] = dict(headers or {})


class BadRequest(RapportError):
    code = "bad_request"
    status = 400
    title = "The request can't be read"


class Unauthorized(RapportError):
    code = "unauthorized"
    status = 401
    title = "A valid key is needed"

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, errors=errors, headers={"WWW-Authenticate": 'Bearer realm="rapport"', **(headers or {})})


class Forbidden(RapportError):
    code = "forbidden"
    status = 403
    title = "The key doesn't allow this"


class NotFound(RapportError):
    code = "not_found"
    status = 404
    title = "Not found"


class MethodNotAllowed(RapportError):
    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"


class Conflict(RapportError):
    code = "conflict"
    status = 409
    title = "Conflict with the present state"


class PreconditionFailed(RapportError):
    code = "precondition_failed"
    status = 412
    title = "The resource has changed"


class PayloadTooLarge(RapportError):
    code = "payload_too_large"
    status = 413
    title = "The request is too large"


class UnsupportedMediaType(RapportError):
    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"


class Invalid(RapportError):
    code = "invalid"
    status = 422
    title = "The request isn't valid"


class TooManyRequests(RapportError):
    code = "too_many_requests"
    status = 429
    title = "Too many requests"
    retryable = True


class Internal(RapportError):
    """What callers are shown of an unexpected failure: nothing of its cause."""


class Unavailable(RapportError):
    """Something needed is away for now. Says when to come again unless the raiser knows better."""

    code = "unavailable"
    status = 503
    title = "Not available right now"
    retryable = True

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, errors=errors, headers={"Retry-After": "1", **(headers or {})})


class NotYetVisible(RapportError):
    code = "not_yet_visible"
    status = 504
    title = "Not yet visible"
    retryable = True


class ConfigurationRefused(Exception):
    """The process must not start like this. The text says what is wrong and what to do, in one or two sentences."""
