"""The only two reasons a test may be skipped: the shared data or a browser isn't on this machine.

`RAPPORT_REQUIRE=shared,browser` turns such a skip into a failure, and any other skip is one always.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PREFIX = "absent: "
KNOWN = ("shared", "browser")
ROOT = Path(__file__).resolve().parents[2]


def required() -> frozenset[str]:
    return frozenset(name.strip() for name in os.environ.get("RAPPORT_REQUIRE", "").split(",") if name.strip())


def skip_without(what: str, explanation: str) -> NoReturn:
    if what in required():
        pytest.fail(f"RAPPORT_REQUIRE names {what}, but it is {PREFIX}{explanation}", pytrace=False)
    pytest.skip(f"{PREFIX}{what} ({explanation})")


def find_shared() -> Path | None:
    """`RAPPORT_SHARED`, else `../shared` beside the checkout."""
    folder = Path(os.environ.get("RAPPORT_SHARED") or ROOT.parent / "shared")
    return folder if (folder / "data").is_dir() else None


def find_browser() -> Path | None:
    found = os.environ.get("RAPPORT_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    return Path(found) if found else None


def is_allowed_skip(reason: str) -> bool:
    return any(f"{PREFIX}{what}" in reason for what in KNOWN)
