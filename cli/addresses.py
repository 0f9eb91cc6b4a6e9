"""Where a command finds the platform: what the environment says wins, then what runs in the home, then the defaults."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.catalogue import BY_NAME, SERVICES
from cli.homes import HOME_VARIABLE, load_platform, resolve_home

if TYPE_CHECKING:
    from libs.kit.settings import PlatformSettings

DEV_WRITE_KEY = "dev-write-key"
DEV_BROWSER_KEY = "dev-browser-key"
DEV_API_KEY = "dev-api-key"
WRITE_KEY_VARIABLE = "RAPPORT_WRITE_KEY"
API_KEY_VARIABLE = "RAPPORT_API_KEY"


def adopt_environment(home: Path | None) -> Path:
    """Fill in, for this process, the addresses of what runs in the home. Returns the home."""
    folder = resolve_home(home)
    os.environ[HOME_VARIABLE] = str(folder)
    platform = load_platform(folder)
    for name, value in (platform.environment if platform else {}).items():
        os.environ.setdefault(name, value)
    return folder


def load_settings(home: Path | None) -> "PlatformSettings":
    adopt_environment(home)
    return read_settings()


def read_settings(more: Mapping[str, str] | None = None) -> "PlatformSettings":
    """From the environment as it is, with `more` on top of it (named as there)."""
    from libs.kit.settings import PlatformSettings

    quiet_libraries()
    given = {name: (more or {}).get(f"RAPPORT_{name.upper()}") for name in PlatformSettings.model_fields}
    return PlatformSettings.model_validate({name: value for name, value in given.items() if value})


def quiet_libraries() -> None:
    """They log only what is wrong: a command says itself what it does."""
    import logging
    import sys

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    # It tells every failed connection by itself; the command tells the one that matters.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base addresses of the services and the keys to speak to them."""

    urls: Mapping[str, str]
    write_key: str
    api_key: str

    def url(self, service: str) -> str:
        return self.urls[service]


def find_endpoints(home: Path | None) -> Endpoints:
    platform = load_platform(resolve_home(home))
    running = platform.urls if platform else {}

    def find(service: str) -> str:
        given = os.environ.get(BY_NAME[service].url_variable)
        return (given or running.get(service) or f"http://127.0.0.1:{BY_NAME[service].port}").rstrip("/")

    return Endpoints(
        {service.name: find(service.name) for service in SERVICES},
        os.environ.get(WRITE_KEY_VARIABLE, DEV_WRITE_KEY),
        os.environ.get(API_KEY_VARIABLE, DEV_API_KEY),
    )


def render_environment(values: Mapping[str, str], form: str) -> str:
    """For a shell (`eval "$(rapport env)"`) or a .env file."""
    from shlex import quote

    if form == "shell":
        return "".join(f"export {name}={quote(value)}\n" for name, value in values.items())
    return "".join(f"{name}={value}\n" for name, value in values.items())
