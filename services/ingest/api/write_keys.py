"""Which source speaks: the write key of a request, looked for where the SDKs put it, in a fixed order."""

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

from libs.kit.auth import Source
from libs.kit.http import Scope
from services.ingest.errors import InvalidWriteKey
from services.ingest.ports import Sources

Headers = Mapping[bytes, bytes]

_WEB = "web"


def find_key(scope: Scope, headers: Headers, read_body_key: Callable[[], str | None]) -> str | None:
    """Basic user, else X-Write-Key, else the query's writeKey, else what the body carries. Empty ones count as missing."""
    authorization = headers.get(b"authorization")
    key = read_basic_user(authorization) if authorization is not None else None
    if key:
        return key
    header = headers.get(b"x-write-key")
    if header:
        return header.decode("latin-1").strip()
    return find_query_key(scope["query_string"]) or read_body_key()


@lru_cache(maxsize=4096)
def read_basic_user(authorization: bytes) -> str | None:
    """The user of Basic authorization; all of it where there is no colon, as Segment tolerates. None for other schemes."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    encoded = encoded.strip()
    try:
        decoded = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
        return decoded.decode().partition(":")[0].strip() or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def find_query_key(query: bytes) -> str | None:
    if not query:
        return None
    for name, value in parse_qsl(query.decode("latin-1"), max_num_fields=200):
        if name in ("writeKey", "writekey") and value:
            return value
    return None


def authorise(sources: Sources, key: str | None) -> Source:
    """Raises InvalidWriteKey, or Unavailable while no key could be loaded yet."""
    source = sources.find_source(key) if key else None
    if source is None:
        raise InvalidWriteKey
    return source


def find_user_agent(source: Source, headers: Headers) -> str | None:
    """The visitor's own, where browsers speak for themselves; None for requests that a server or an app's SDK makes."""
    agent = headers.get(b"user-agent") if source.kind == _WEB else None
    return None if agent is None else agent.decode("latin-1")
