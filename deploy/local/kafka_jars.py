"""The broker's jars, by Maven coordinates: fetched once into the cache, by Maven if there is one, else in pure Python by jgo."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.cache import cache_home
from deploy.local.errors import PartFailed, PartMissing
from deploy.local.locks import locked

VERSION = "4.1.0"
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    f"org.apache.kafka:kafka-tools:{VERSION}",
    # The broker logs through slf4j 1.7: without a binding it would be silent.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.1",
)
CHECKSUMS = Path(__file__).with_name("kafka_jars.sha256")
FETCH_TIMEOUT_S = 600
# Coordinates end in `!`: else jgo lets the platform one of them belongs to choose older jars for the others.
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
    with locked(folder.with_name(f"{folder.name}.lock")):
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
    failure = ""
    if maven := shutil.which("mvn"):
        (work / "pom.xml").write_text(render_pom())
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
        failure = _run([maven, "--quiet", "--batch-mode", "--strict-checksums", "--file", str(work / "pom.xml"), *goal])
        if not failure and not (failure := find_difference(target)):
            return
    reason = _run([sys.executable, "-c", _JGO, str(work / "jgo"), *(f"{coordinate}!" for coordinate in COORDINATES)])
    for leftover in target.iterdir():
        leftover.unlink()
    for jar in sorted((work / "jgo").rglob("*.jar")):  # below both jars/ and modules/
        shutil.copyfile(jar, target / jar.name)
    reason = reason or find_difference(target)
    if reason:
        raise PartMissing(
            f"Couldn't fetch Kafka's jars: {failure or reason}",
            hint="They come from Maven Central, once. Check the network, or copy them from another machine's cache: "
            + str(jars_home()),
        )


def parse_checksums(text: str) -> dict[str, str]:
    """The lines that sha256sum prints: file name -> checksum."""
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def find_difference(folder: Path, checksums: Path = CHECKSUMS) -> str:
    """What makes these jars other ones than those the project was tested with, or nothing. Resolvers differ in what they pick."""
    expected = parse_checksums(checksums.read_text())
    found = {jar.name: jar for jar in folder.glob("*.jar")}
    if odd := sorted(expected.keys() ^ found.keys()):
        return f"{odd[0]} is {'missing' if odd[0] in expected else 'one too many'}"
    for name, digest in expected.items():
        if hashlib.sha256(found[name].read_bytes()).hexdigest() != digest:
            return f"{name} isn't the file that was tested"
    return ""


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
