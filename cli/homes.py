"""The folder a local platform lives in, and what it says about what runs there."""

import os
from dataclasses import asdict, dataclass, field
from json import loads
from pathlib import Path

import psutil
import typer

from cli.errors import CliError
from deploy.local.records import find_process, write_json

HOME_VARIABLE = "RAPPORT_HOME"
HOME_OPTION = typer.Option(None, "--home", envvar=HOME_VARIABLE, help="Folder with the local data.", show_default=".rapport")


def resolve_home(given: Path | None) -> Path:
    """The folder meant; it needn't be there yet. Raises CliError for what can't be a folder."""
    home = (given or Path(os.environ.get(HOME_VARIABLE) or ".rapport")).expanduser().resolve()
    if home.exists() and not home.is_dir():
        raise CliError(f"{home} isn't a folder.", hint=f"--home or {HOME_VARIABLE} name the folder with the local data.")
    return home


@dataclass(frozen=True, slots=True)
class RunningPart:
    """One process as `rapport status` shows it."""

    name: str
    title: str
    address: str
    pid: int | None
    log: str
    restarts: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunningPlatform:
    """What the supervising process has written down; `environment` is what its services were started with."""

    pid: int
    created: float
    is_ready: bool
    environment: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    parts: tuple[RunningPart, ...] = ()

    @property
    def supervisor(self) -> psutil.Process | None:
        return find_process(self.pid, self.created)


def state_path(home: Path) -> Path:
    return home / "state.json"


def save_platform(home: Path, platform: RunningPlatform) -> None:
    write_json(state_path(home), asdict(platform))


def remove_platform(home: Path) -> None:
    state_path(home).unlink(missing_ok=True)


def load_platform(home: Path) -> RunningPlatform | None:
    """What runs in this home, or None: nothing was started, or its supervisor is gone."""
    try:
        stored = loads(state_path(home).read_text())
        stored["parts"] = tuple(RunningPart(**part) for part in stored["parts"])
        platform = RunningPlatform(**stored)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return platform if platform.supervisor is not None else None
