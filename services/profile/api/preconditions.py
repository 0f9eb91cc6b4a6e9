"""`If-Match` and `If-None-Match` (RFC 9110, 13.1) against the version that a profile's ETag is."""

import re
from typing import Final

_TAG: Final = re.compile(r'\s*(W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
_ANY: Final = "*"


def render_etag(version: int) -> str:
    return f'"{version}"'


def is_unchanged(if_none_match: str, version: int) -> bool:
    """Whether the caller has this version: by any of the tags, weak ones too (a proxy that compresses makes them weak)."""
    return if_none_match.strip() == _ANY or any(tag == render_etag(version) for _, tag in _read_tags(if_none_match))


def is_expected(if_match: str, version: int) -> bool:
    """Whether one of the tags is this version's, strongly compared: a weak tag never is. `*`: any version."""
    return if_match.strip() == _ANY or any(tag == render_etag(version) and not weak for weak, tag in _read_tags(if_match))


def _read_tags(header: str) -> list[tuple[bool, str]]:
    """(weak, tag) of a list of entity tags; none at all where the header is no such list."""
    tags, place = [], 0
    while place < len(header):
        found = _TAG.match(header, place)
        if found is None:
            return []
        tags.append((found[1] is not None, found[2]))
        place = found.end()
    return tags
