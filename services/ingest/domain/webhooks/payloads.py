"""The body of a delivery as plain values, by what its first bytes show: JSON, a form, or a multipart form."""

from email.parser import BytesParser
from email.policy import compat32
from typing import Final
from urllib.parse import parse_qsl

from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.tolerant import NOT_JSON, TOO_DEEP, Cleaner, parse

_MAX_FIELDS: Final = 2000
_MAX_BOUNDARY: Final = 80
_UNREADABLE: Final = Refusal(Reason.NOT_JSON, "the body is neither JSON nor a form")
_NOT_AN_OBJECT: Final = Refusal(Reason.NOT_AN_OBJECT, "the body is JSON, but no object or list")

Fields = list[tuple[str, str]]


def read_payload(body: bytes) -> dict[str, object] | list[object] | Refusal:
    """Numbers keep their literal. A form is an object of texts, and of lists of texts where a name comes more than once."""
    beginning = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if beginning in (b"{", b"["):
        return read_json(body)
    fields = read_fields(body)
    if isinstance(fields, Refusal):
        value = parse(body)
        return _NOT_AN_OBJECT if not isinstance(value, Refusal) else fields
    found: dict[str, object] = {}
    for name, value in fields:
        known = found.get(name)
        found[name] = value if known is None else [*known, value] if isinstance(known, list) else [known, value]
    return found


def read_json(body: bytes) -> dict[str, object] | list[object] | Refusal:
    """Characters that can't be stored are replaced, numbers that no double can hold are null."""
    value = parse(body)
    if isinstance(value, Refusal):
        return value if value is TOO_DEEP else NOT_JSON
    cleaner = Cleaner()
    clean = cleaner.clean(value)
    if cleaner.too_deep:
        return TOO_DEEP
    return clean if isinstance(clean, dict | list) else _NOT_AN_OBJECT


def read_fields(body: bytes) -> Fields | Refusal:
    """The fields of a form, in their order."""
    if body.startswith(b"--"):
        return _read_multipart(body)
    if b"=" not in body:
        return _UNREADABLE
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return _UNREADABLE
    return _clean(pairs)


def _read_multipart(body: bytes) -> Fields | Refusal:
    """The boundary is the body's own first line; files aren't fields."""
    boundary = body.partition(b"\n")[0].strip()[2:]
    if not 0 < len(boundary) <= _MAX_BOUNDARY or b'"' in boundary:
        return _UNREADABLE
    head = b'Content-Type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n'
    message = BytesParser(policy=compat32).parsebytes(head + body)
    fields: Fields = []
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        if part.is_multipart() or not isinstance(name, str) or part.get_filename() is not None:
            continue
        data = part.get_payload(decode=True)
        fields.append((name, data.decode("utf-8", "replace") if isinstance(data, bytes) else ""))
        if len(fields) > _MAX_FIELDS:
            return _UNREADABLE
    return _clean(fields) if fields else _UNREADABLE


def _clean(fields: Fields) -> Fields:
    cleaner = Cleaner()
    return [(str(cleaner.clean(name)), str(cleaner.clean(value))) for name, value in fields]
