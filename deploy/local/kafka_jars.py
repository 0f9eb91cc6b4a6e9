"""The broker's jars, by Maven coordinates: fetched once into the cache, by Maven if there is one, else in pure Python by jgo."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.cache import cache_home
from deploy.local.errors import PartFailed, PartMissing

VERSION = "4.1.0"
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    f"org.apache.kafka:kafka-tools:{VERSION}",
    # The broker logs through slf4j 1.7: without a binding it would be silent.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.1",
)
FETCH_TIMEOUT_S = 600
_JGO = "import sys, pathlib, jgo; jgo.build('+'.join(sys.argv[2:]), cache_dir=pathlib.Path(sys.argv[1]))"


def find_jars() -> Path | None:
    """The folder with the jars, when they have been fetched before."""
    folder = jars_home()
    return folder if folder.is_dir() else None


def jars_home() -> Path:
    """One folder for each list of coordinates, so that another version never mixes with this one."""
    digest = hashlib.sha256("\n".join(COORDINATES).encode()).hexdigest()[:10]
    return cache_home() / f"kafka-{VERSION}-{digest}"


def ensure_jars() -> Path:
    """Fetch what is missing. Several processes may call it at once: one fetches, the others wait for it."""
    folder = jars_home()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as draft:
                fetched = Path(draft) / "jars"
                fetched.mkdir()
                _fetch(Path(draft), fetched)
                fetched.rename(folder)  # appears whole or not at all
    return folder


def build_class_path(folder: Path) -> str:
    """Every jar by name and sorted: the same order on every machine, which a wildcard wouldn't promise."""
    return os.pathsep.join(str(jar) for jar in sorted(folder.glob("*.jar")))


def render_pom(coordinates: tuple[str, ...] = COORDINATES) -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        for group, artifact, version in (coordinate.split(":") for coordinate in coordinates)
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>rapport</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def _fetch(work: Path, target: Path) -> None:
    failure = "no Maven on the PATH"
    if maven := shutil.which("mvn"):
        (work / "pom.xml").write_text(render_pom())
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
        failure = _run([maven, "--quiet", "--batch-mode", "--strict-checksums", "--file", str(work / "pom.xml"), *goal])
        if not failure and any(target.glob("*.jar")):
            return
    reason = _run([sys.executable, "-c", _JGO, str(work / "jgo"), *COORDINATES])
    for jar in sorted((work / "jgo").rglob("*.jar")):  # below both jars/ and modules/
        shutil.copyfile(jar, target / jar.name)
    if reason or not any(target.glob("kafka-server-*.jar")):
        raise PartMissing(
            f"Couldn't fetch Kafka's jars: {reason or failure}",
            hint="They come from Maven Central, once. Check the network, or copy them from another machine's cache: "
            + str(jars_home()),
        )


def _run(command: list[str]) -> str:
    """The last line of what went wrong, or nothing."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise PartFailed(
            f"Fetching Kafka's jars took longer than {FETCH_TIMEOUT_S} s.", hint="Try again: what was fetched is kept."
        ) from error
    if done.returncode == 0:
        return ""
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return said[-1].strip() if said else f"code {done.returncode}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
