"""`rapport up` in the foreground: signals, the screen, and the supervisor at work in a thread beside them."""

import asyncio
import os
import signal
import time
from pathlib import Path

from rich.table import Table

from cli.addresses import read_settings
from cli.catalogue import ABOUT_PARTS, BY_NAME
from cli.homes import RunningPlatform
from cli.live import Screen, show
from cli.output import STDOUT, make_table, say
from cli.supervisor import Plan, Supervisor
from deploy.local.errors import StartGivenUp

TEND_S = 0.5
EXIT_INTERRUPTED = 130


async def run_foreground(home: Path, plan: Plan, *, quiet: bool) -> int:
    """Until Ctrl-C or SIGTERM (then 0). `quiet` shows no figures: a detached supervisor has nobody to show them to."""
    stop = asyncio.Event()
    screen = Screen()

    def announce(text: str) -> None:
        screen.note(text)
        if quiet or not (screen.is_shown and STDOUT.is_terminal):
            say(f"{time.strftime('%H:%M:%S')} {text}" if quiet else text, style="dim")

    supervisor = Supervisor(home, plan, announce)
    _stop_on_signals(stop, supervisor)
    try:
        starting = asyncio.create_task(asyncio.to_thread(supervisor.start))
        if not await _until_started(starting, stop, supervisor):
            return EXIT_INTERRUPTED
        platform = supervisor.describe()
        STDOUT.print(render_links(platform))
        screen.notes.clear()  # the start's own steps are old news
        await _keep_running(supervisor, screen, stop, quiet=quiet)
    finally:
        say("stopping", style="dim")
        await asyncio.to_thread(supervisor.stop)
    return 0


async def _until_started(starting: "asyncio.Task[None]", stop: asyncio.Event, supervisor: Supervisor) -> bool:
    """False when told to stop first. Raises what made the start fail."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        supervisor.stack.give_up()
        await asyncio.wait([starting])
        if not isinstance(starting.exception(), StartGivenUp | None):
            await starting
        return False
    stopping.cancel()
    await starting
    return True


async def _keep_running(supervisor: Supervisor, screen: Screen, stop: asyncio.Event, *, quiet: bool) -> None:
    tending = asyncio.create_task(_tend(supervisor, stop))
    tasks: list[asyncio.Task[None]] = [tending]
    if not quiet and supervisor.urls:
        from cli.tail import EventTail

        tail = EventTail(read_settings(supervisor.environment))
        tasks.append(asyncio.create_task(show(STDOUT, screen, supervisor.describe, tail, stop)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _tend(supervisor: Supervisor, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await asyncio.to_thread(supervisor.tend)
        try:
            await asyncio.wait_for(stop.wait(), TEND_S)
        except TimeoutError:
            continue


def _stop_on_signals(stop: asyncio.Event, supervisor: Supervisor) -> None:
    def handle() -> None:
        if stop.is_set():
            say("ending everything by force", style="red")
            supervisor.kill()
            os._exit(EXIT_INTERRUPTED)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, handle)


def render_links(platform: RunningPlatform) -> Table:
    table = make_table("service", "address", "for")
    for name, url in platform.urls.items():
        table.add_row(name, url, BY_NAME[name].about)
    for part in platform.parts:
        if part.name not in platform.urls and part.address:
            table.add_row(part.title, part.address, ABOUT_PARTS.get(part.name, ""))
    return table
