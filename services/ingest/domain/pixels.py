"""A call written into an image's address: base64 JSON in `data`, else one parameter a field."""

import base64
import binascii
from collections.abc import Iterable
from urllib.parse import parse_qsl

from services.ingest.domain.tolerant import encode

_OBJECTS = frozenset({"properties", "traits", "context"})
_FIELDS = frozenset(
    {
        "event",
        "name",
        "category",
        "userId",
        "anonymousId",
        "groupId",
        "previousId",
        "messageId",
        "timestamp",
        "originalTimestamp",
        "sentAt",
        "channel",
        "writeKey",
    }
)
_MAX_PARAMETERS = 200


def read_pixel(query: bytes) -> bytes:
    """The call as JSON. Parameters that are no field are properties; `context.page.url` reaches into an object."""
    try:
        parameters = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return b""
    data = next((value for name, value in parameters if name == "data"), None)
    return _read_base64(data) if data else encode(_build_call(parameters))


def _read_base64(data: str) -> bytes:
    """Standard or URL-safe, padded or not; a `+` that came as a space is one again."""
    text = data.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return data.encode()


def _build_call(parameters: Iterable[tuple[str, str]]) -> dict[str, object]:
    call: dict[str, object] = {}
    for name, value in parameters:
        if name in _FIELDS:
            call[name] = value
            continue
        path = name.split(".")
        _put(call, path if path[0] in _OBJECTS and len(path) > 1 else ["properties", *path], value)
    return call


def _put(holder: dict[str, object], path: list[str], value: str) -> None:
    for step in path[:-1]:
        inner = holder.get(step)
        if not isinstance(inner, dict):
            inner = holder[step] = {}
        holder = inner
    holder[path[-1]] = value
