"""`up`, `down`, `restart`, `status`, `env`, `reset`: the local platform as a whole."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import typer

from cli.addresses import (
    API_KEY_VARIABLE,
    DEV_API_KEY,
    DEV_BROWSER_KEY,
    DEV_WRITE_KEY,
    WRITE_KEY_VARIABLE,
    adopt_environment,
    read_settings,
    render_environment,
)
from cli.errors import CliError, fail
from cli.homes import HOME_OPTION, RunningPlatform, load_platform, resolve_home
from cli.output import STDOUT, print_json, print_plain, say

DETACHED_START_S = 180.0
STOP_S = 60.0
RESTART_S = 180.0
LOCAL_DATA = (
    "kafka",
    "postgres",
    "redis",
    "mail",
    "logs",
    "run",
    "spool",
    "imports",
    "demo.json",
    "identity.key",
    "state.json",
    "lock",
)
ONLY_OPTION = typer.Option("", "--only", help="Comma-separated parts: kafka, postgres, redis, mail and services.")


def register(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("down")(down)
    app.command("restart")(restart)
    app.command("status")(status)
    app.command("env")(env)
    app.command("reset")(reset)


def up(
    ctx: typer.Context,
    detach: bool = typer.Option(False, "--detach", "-d", help="Return when everything is up; `rapport down` stops it."),
    demo: bool = typer.Option(False, "--demo", help="Run a simulated shop against it."),
    only: str = ONLY_OPTION,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No figures, only what changes."),
    home: Path | None = HOME_OPTION,
) -> int:
    """Start Kafka, PostgreSQL, Redis and the five services, and keep them running."""
    from cli.foreground import run_foreground
    from cli.supervisor import make_plan

    names = [name.strip() for name in only.split(",") if name.strip()]
    folder = resolve_home(home)
    plan = make_plan(names, os.environ, demo=demo and has_demo(ctx))
    read_settings()  # what is wrong there is told before anything starts
    if demo and not plan.demo:
        say("There is no demo in this installation: starting without.", style="yellow")
    if detach:
        return start_detached(folder, names, demo=plan.demo)
    return asyncio.run(run_foreground(folder, plan, quiet=quiet))


def has_demo(ctx: typer.Context) -> bool:
    return "demo" in getattr(ctx.find_root().command, "commands", {})


def start_detached(home: Path, only: Sequence[str], *, demo: bool) -> int:
    """A supervisor in a session of its own; wait until it says that everything is up."""
    from cli.foreground import render_links
    from deploy.local.stack import prepare_home

    prepare_home(home)
    log = home / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cli.main", "up", "--quiet", "--home", str(home)]
    command += ["--only", ",".join(only)] if only else []
    command += ["--demo"] if demo else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + DETACHED_START_S
    while time.monotonic() < deadline:
        platform = load_platform(home)
        if platform is not None and platform.is_ready:
            STDOUT.print(render_links(platform))
            return 0
        if process.poll() is not None:
            line, hint = last_error(log)
            fail(f"The platform didn't start: {line}", hint=hint or f"See {log}")
        time.sleep(0.1)
    process.terminate()
    raise CliError(f"The platform wasn't up within {DETACHED_START_S:g} s.", hint=f"See {log}")


def last_error(log: Path) -> tuple[str, str]:
    """What the supervisor said in the end, and its hint, if it gave one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    hints = [line.removeprefix("hint:").strip() for line in lines if line.startswith("hint:")]
    return (errors or lines or ["no reason given"])[-1], (hints or [""])[-1]


def down(home: Path | None = HOME_OPTION) -> None:
    """Stop what `up` started in this home."""
    folder = resolve_home(home)
    platform = load_platform(folder)
    supervisor = platform.supervisor if platform else None
    if supervisor is None:
        say(f"Nothing runs in {folder}.")
        return
    supervisor.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([supervisor], timeout=STOP_S)
    if alive:
        supervisor.kill()
        fail("It didn't stop in time and was ended by force.", hint="Its data is intact: the next start recovers.")
    say("Stopped.")


def restart(
    service: str = typer.Argument("", help="One of the services; all of them, one after the other, where it is left out."),
    home: Path | None = HOME_OPTION,
) -> None:
    """Replace a service's process by a new one, after an upgrade say, without refusing a connection."""
    from cli.restart_requests import ask, read_answer

    folder = resolve_home(home)
    platform = load_platform(folder)
    if platform is None:
        fail(f"Nothing runs in {folder}.", hint="`rapport up` starts it.")
    for name in [service] if service else list(platform.urls):
        ask(folder, name)
        deadline = time.monotonic() + RESTART_S
        while (said := read_answer(folder, name)) is None:
            if time.monotonic() > deadline or platform.supervisor is None:
                fail(f"{name} wasn't replaced in time.", hint="`rapport status` shows what runs.")
            time.sleep(0.1)
        if said:
            fail(said, hint=f"See {folder / 'logs' / f'{name}.log'}")
        say(f"{name} is replaced.")


def status(home: Path | None = HOME_OPTION, as_json: bool = typer.Option(False, "--json", help="For programs.")) -> int:
    """What runs, where, how far behind, how healthy. Exit code 1 when something isn't well."""
    folder = resolve_home(home)
    platform = load_platform(folder)
    if platform is None:
        fail(f"Nothing runs in {folder}.", hint="`rapport up` starts it; --home or RAPPORT_HOME name another folder.")
    adopt_environment(folder)
    return asyncio.run(show_status(platform, as_json=as_json))


async def show_status(platform: RunningPlatform, *, as_json: bool) -> int:
    from cli.lag import measure_lag
    from cli.live import Screen, render_parts
    from cli.lookout import look, make_client

    async with make_client() as client:
        seen, lag = await asyncio.gather(look(client, platform.urls), measure_lag(platform.urls))
    seen = replace(seen, figures=replace(seen.figures, lag={**seen.figures.lag, **lag}))
    is_well = platform.is_ready and all(state == "ready" for state in seen.health.values())
    if as_json:
        print_json({**asdict(platform), "health": dict(seen.health), "lag": dict(seen.figures.lag), "is_well": is_well})
    else:
        STDOUT.print(render_parts(Screen(platform=platform, seen=seen)))
        if not platform.is_ready:
            say("still starting", style="yellow")
    return 0 if is_well else 1


def env(
    home: Path | None = HOME_OPTION,
    form: str = typer.Option("shell", "--format", "-f", help="shell or dotenv"),
) -> None:
    """Addresses and development keys: eval "$(rapport env)", or `rapport env -f dotenv > .env`."""
    if form not in {"shell", "dotenv"}:
        fail(f"Unknown format {form}.", hint="shell or dotenv.")
    folder = resolve_home(home)
    platform = load_platform(folder)
    if platform is None:
        fail(f"Nothing runs in {folder}.", hint="`rapport up` starts it.")
    values = dict(platform.environment)
    if os.environ.get("RAPPORT_ENV") != "production":
        values |= {WRITE_KEY_VARIABLE: DEV_WRITE_KEY, "RAPPORT_BROWSER_KEY": DEV_BROWSER_KEY, API_KEY_VARIABLE: DEV_API_KEY}
    print_plain(render_environment(values, form), end="")


def reset(home: Path | None = HOME_OPTION, yes: bool = typer.Option(False, "--yes", "-y", help="Don't ask.")) -> None:
    """Delete the local data: topics, database, mail, logs, identity key. Asks first."""
    from deploy.local.stack import is_home_in_use

    folder = resolve_home(home)
    if is_home_in_use(folder):
        fail(f"A platform runs in {folder}.", hint="`rapport down` first.")
    there = [folder / name for name in LOCAL_DATA if (folder / name).exists()]
    if not there:
        say(f"There is no local data in {folder}.")
        return
    if not yes:
        typer.confirm(f"Delete everything Rapport stored in {folder}?", abort=True)
    for path in there:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    say(f"{folder} is empty again.")
