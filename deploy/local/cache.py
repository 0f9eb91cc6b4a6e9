"""Where downloads that every home shares are kept: the user's normal cache folder."""

import os
import sys
from pathlib import Path


def cache_home() -> Path:
    """`RAPPORT_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("RAPPORT_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rapport"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rapport"
