"""`If-Match` and `If-None-Match` (RFC 9110, 13.1) against a view's ETag: whose view it is, and its version.

The version alone wouldn't do: after a merge or a split the same address may lead to another profile of the same version.
"""

import re
from typing import Final
from uuid import UUID

_TAG: Final = re.compile(r'\s*(W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
_ANY: Final = "*"


def render_etag(profile_id: UUID, version: int) -> str:
    return f'"{profile_id}-{version}"'


def is_unchanged(if_none_match: str, etag: str) -> bool:
    """Whether the caller has what this tag stands for: by any of its tags, weak ones too (a proxy that compresses makes them)."""
    return if_none_match.strip() == _ANY or any(tag == etag for _, tag in _read_tags(if_none_match))


def is_expected(if_match: str, etag: str) -> bool:
    """Whether one of the tags is this one, strongly compared: a weak tag never is. `*`: any."""
    return if_match.strip() == _ANY or any(tag == etag and not weak for weak, tag in _read_tags(if_match))


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
