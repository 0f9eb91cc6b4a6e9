"""What an API key may be allowed to do: the one list of scopes. A service can require only what stands here, mypy sees to it."""

from typing import Final, Literal, get_args

KeyScope = Literal[
    "engagement:read",
    "engagement:write",
    "identity:write",
    "imports:read",
    "imports:write",
    "loyalty:adjust",
    "loyalty:burn",
    "loyalty:read",
    "profiles:read",
    "profiles:write",
    "rejections:read",
    "rejections:write",
    "segments:read",
    "segments:write",
    "sources:personal-data",
    "sources:read",
    "sources:write",
    "tracking-plans:read",
    "tracking-plans:write",
]
SCOPES: Final[tuple[str, ...]] = get_args(KeyScope)
ALL_SCOPES: Final = "*"
"""Holds every scope, those of later versions too."""
