"""From which websites a browser may use a source's keys.

Only browsers say an Origin that their user can't choose: what runs elsewhere could say any, so a request without one passes.
The list keeps other websites from sending in a shop's name; it is no secret and no defence against programs.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

BROWSER_KINDS: Final = frozenset({"web", "mobile"})
_PATTERN: Final = re.compile(
    r"https?://(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def read_origin(text: str) -> str | None:
    """An origin as browsers write it, `https://*.shop.example` for every subdomain; None for anything else."""
    origin = text.strip().lower().removesuffix("/")
    origin = origin.removesuffix(_DEFAULT_PORTS.get(origin.partition(":")[0], "/"))
    return origin if _PATTERN.fullmatch(origin) else None


def is_origin_allowed(origin: str, allowed: Sequence[str]) -> bool:
    """`null`, which a sandboxed frame sends, is no website's."""
    return origin in allowed or any("://*." in pattern and _is_subdomain(origin, pattern) for pattern in allowed)


def _is_subdomain(origin: str, pattern: str) -> bool:
    said, wanted = urlsplit(origin), urlsplit(pattern)
    return (
        said.scheme == wanted.scheme
        and said.netloc.rpartition("@")[2] == said.netloc
        and said.netloc.endswith(wanted.netloc.removeprefix("*"))
        and len(said.netloc) > len(wanted.netloc.removeprefix("*"))
    )
