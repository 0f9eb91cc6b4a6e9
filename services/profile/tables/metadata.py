"""The one MetaData of schema `profile`; every table module of the service declares on it."""

from typing import Final

from libs.kit.db import build_metadata

SCHEMA: Final = "profile"
METADATA: Final = build_metadata(SCHEMA)
