"""A service of nothing but its process, for test_process: what it does is told by SHOP_WORKER."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict

from libs.kit.auth import FixedAccess
from libs.kit.clock import SystemClock
from libs.kit.errors import ConfigurationRefused
from libs.kit.http import Health, create_app
from libs.kit.metrics import counter
from libs.kit.process import run_from_command_line
from libs.kit.settings import ServiceSettings

_ASKED = counter("shop_asked", "Requests.")


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", frozen=True)

    worker: str = "good"
    note: Path = Path("note")


@dataclass
class Deps:
    settings: Settings


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Deps]:
    if settings.worker == "refused":
        raise ConfigurationRefused("Set SHOP_WORKER to something else.")
    if settings.worker == "cannot be built":
        raise ValueError("the service's own trouble")
    yield Deps(settings)
    with settings.note.open("a") as note:
        note.write("closed\n")


def build_app(deps: Deps) -> FastAPI:
    app = create_app(service="shop", title="Shop", description="", health=Health(), access=FixedAccess(), clock=SystemClock())

    @app.get("/pid")
    async def tell_pid() -> dict[str, int]:
        _ASKED.inc()
        return {"pid": os.getpid()}

    @app.get("/slow")
    async def answer_slowly() -> dict[str, int]:
        with deps.settings.note.open("a") as note:
            note.write("asked\n")
        await asyncio.sleep(0.5)
        return {"pid": os.getpid()}

    @app.get("/held")
    async def answer_when_released() -> dict[str, int]:
        with deps.settings.note.open("a") as note:
            note.write(f"held by {os.getpid()}\n")
        while not deps.settings.note.with_suffix(".released").exists():
            await asyncio.sleep(0.02)
        return {"pid": os.getpid()}

    return app


async def run_worker(deps: Deps, stop: asyncio.Event) -> None:
    if deps.settings.worker == "dies":
        raise ValueError("the worker's own trouble")
    if deps.settings.worker == "ends":
        return
    with deps.settings.note.open("a") as note:
        note.write("worker began\n")
    await stop.wait()
    if deps.settings.worker == "hangs":
        await asyncio.Event().wait()
    with deps.settings.note.open("a") as note:
        note.write("worker done\n")


if __name__ == "__main__":
    sys.exit(run_from_command_line("shop", build, build_app, run_worker, Settings))
