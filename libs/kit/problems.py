"""RFC 9457 problem details: the one place that turns errors into what callers read. Never shows causes or values."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from libs.kit.db import is_retryable
from libs.kit.errors import (
    BadRequest,
    FieldError,
    Forbidden,
    Internal,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RapportError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)

RawHeaders = list[tuple[bytes, bytes]]

CONTENT_TYPE = b"application/problem+json"
TYPE_PREFIX = "urn:rapport:problem:"

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "description": "`urn:rapport:problem:<code>`"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable name of the problem."},
        "trace_id": {"type": "string", "description": "Name this when asking for help."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON Pointer into the body (`#/traits/email`), or `#/query/…`, `#/path/…`, `#/header/…`.",
                    },
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

_BY_STATUS: dict[int, type[RapportError]] = {
    kind.status: kind
    for kind in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        PayloadTooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        Unavailable,
    )
}
_UNSTORABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
"""What PostgreSQL says of a NUL in a text or in JSON: valid JSON, valid UTF-8, and the caller's to mend."""
_DETAILS = {404: "There is nothing at this address.", 405: "This address doesn't answer that method."}


def problem_response(error: RapportError, trace_id: str | None = None) -> tuple[int, RawHeaders, bytes]:
    """Status, headers and body of the answer."""
    problem: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if trace_id is not None:
        problem["trace_id"] = trace_id
    if error.errors:
        problem["errors"] = [{"pointer": one.pointer, "detail": one.detail} for one in error.errors]
    body = msgspec.json.encode(problem)
    headers: RawHeaders = [(b"content-type", CONTENT_TYPE), (b"content-length", str(len(body)).encode())]
    headers.extend((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items())
    return error.status, headers, body


def to_rapport_error(error: Exception) -> RapportError:
    """What a caller is told of any exception: our own errors as they are, the framework's by meaning, all others nothing."""
    if isinstance(error, RapportError):
        return error
    if isinstance(error, RequestValidationError):
        return _from_validation(error.errors())
    if isinstance(error, HTTPException):
        return _from_http(error)
    if isinstance(error, _UNSTORABLE):
        return Invalid("A text holds a character that can't be stored: U+0000.")
    if is_retryable(error):
        return Unavailable("A backing service is away or busy. The same request may work in a moment.")
    return Internal("Something went wrong on our side. It is logged under this trace_id.")


def _from_http(error: HTTPException) -> RapportError:
    status = error.status_code
    headers: Mapping[str, str] = error.headers or {}
    phrase = next((known.phrase for known in HTTPStatus if known == status), "Error")
    detail = _DETAILS.get(status) if error.detail in (phrase, None, "") else str(error.detail)
    known = _BY_STATUS.get(status)
    if known is not None:
        return known(detail or known.title, headers=headers)
    code = re.sub(r"[^a-z]+", "_", phrase.lower())
    made = type("HttpProblem", (RapportError,), {"status": status, "code": code, "title": phrase})
    other: RapportError = made(detail or phrase, headers=headers)
    return other


def _from_validation(errors: Sequence[Mapping[str, Any]]) -> RapportError:
    """The messages of pydantic without the values it was given."""
    if any(error["type"] == "json_invalid" for error in errors):
        return BadRequest("The body isn't valid JSON.", errors=[FieldError("#", "not valid JSON")])
    told = [FieldError(to_pointer(error["loc"]), str(error["msg"])) for error in errors]
    what = "1 part of the request isn't valid." if len(told) == 1 else f"{len(told)} parts of the request aren't valid."
    return Invalid(what, errors=told)


def to_pointer(location: Iterable[str | int]) -> str:
    """FastAPI's location as a pointer: `("body", "items", 0)` -> `#/items/0`, `("query", "limit")` -> `#/query/limit`."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location]
    if parts and parts[0] == "body":
        parts = parts[1:]
    return "#" + "".join(f"/{part}" for part in parts)
