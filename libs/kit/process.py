"""How a service's process lives: build, run the API and the worker on one uvloop, stop both gracefully, and die loudly.

`python -m services.<name>.main api | worker | all [--fd N]`. A worker alone serves its port, too: health and metrics. Where the
setting `processes` is above 1 several forked ones answer, and the first is the worker as well (`prefork`).
"""

import argparse
import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Literal, Protocol, TypeVar, cast

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError

from libs.kit import prefork
from libs.kit.connections import SWEEP_S, Connection, ConnectionLimits, ConnectionsState
from libs.kit.db import DATABASE_ERRORS, is_retryable
from libs.kit.errors import ConfigurationRefused
from libs.kit.http import AsgiApp, get_entry, get_operators_entry
from libs.kit.logging import configure_logging, get_logger
from libs.kit.settings import ServiceSettings

Mode = Literal["api", "worker", "all"]
D = TypeVar("D")
S = TypeVar("S", bound=ServiceSettings)
Build = Callable[[S], Awaitable[D] | AbstractAsyncContextManager[D]]
RunWorker = Callable[[D, asyncio.Event], Awaitable[None]]

_log = get_logger(__name__)
_EXIT_FAILED = 1
_COLLECT_AFTER_OBJECTS = 200_000
_EXIT_REFUSED = 2


class _Closable(Protocol):
    async def close(self) -> None: ...


def run_service(
    mode: Mode,
    build: Build[S, D],
    create_app: Callable[[D], FastAPI],
    run_worker: RunWorker[D],
    settings: S,
    *,
    service: str = "rapport",
) -> int:
    """Runs until SIGTERM or SIGINT (then 0), or until a part fails (then 1). A second signal ends it at once.

    `build(settings)` gives the dependencies: an async function whose result has `close()`, or an async context manager.
    `run_worker(deps, stop)` returns soon after `stop` is set, with its work committed; returning earlier counts as a failure.
    """
    configure_logging(service, settings.platform)
    try:
        return uvloop.run(_run(mode, build, create_app, run_worker, settings))
    except ConfigurationRefused as error:
        return _refuse(error)
    except DATABASE_ERRORS as error:
        if not is_retryable(error):
            raise
        _log.critical("database_away", reason=type(error).__name__, hint="is RAPPORT_POSTGRES right, and is it running?")
        return _EXIT_FAILED


def _refuse(error: ConfigurationRefused) -> int:
    _log.critical("start_refused", reason=str(error))
    return _EXIT_REFUSED


def run_from_command_line(
    service: str,
    build: Build[S, D],
    create_app: Callable[[D], FastAPI],
    run_worker: RunWorker[D],
    load_settings: Callable[[], S],
    arguments: Sequence[str] | None = None,
) -> int:
    """What a service's `if __name__ == "__main__"` calls; gives the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}.main")
    parser.add_argument("mode", choices=("api", "worker", "all"), nargs="?", default="all")
    parser.add_argument("--fd", type=int, default=None, help="an inherited listening socket")
    parsed = parser.parse_args(arguments)
    try:
        settings = load_settings()
    except ValidationError as error:
        for wrong in error.errors(include_url=False, include_input=False):
            sys.stderr.write(f"{service}: setting {'.'.join(map(str, wrong['loc'])) or '(all)'}: {wrong['msg']}\n")
        return _EXIT_REFUSED
    if parsed.fd is not None:
        settings = settings.model_copy(update={"listen_fd": parsed.fd})
    mode = cast("Mode", parsed.mode)
    if mode == "worker" or settings.processes == 1:
        return run_service(mode, build, create_app, run_worker, settings, service=service)
    prefork.begin_again_with_shared_metrics()
    configure_logging(service, settings.platform)
    try:
        listener = open_listener(settings)
    except ConfigurationRefused as error:
        return _refuse(error)
    shared = settings.model_copy(update={"listen_fd": listener.fileno()})

    def run(number: int) -> int:
        return run_service(mode if number == 0 else "api", build, create_app, run_worker, shared, service=service)

    return prefork.run_processes(settings.processes, run, listener)


def open_listener(settings: ServiceSettings) -> socket.socket:
    """The socket to accept on: an inherited one, so that waiting clients outlive a restart, or a new one."""
    if settings.listen_fd is not None:
        return _notice_the_dead(socket.socket(fileno=settings.listen_fd))
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(settings.backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigurationRefused(f"Can't listen on {settings.host}:{settings.port}: {error.strerror}.") from error
    return _notice_the_dead(listener)


def _notice_the_dead(listener: socket.socket) -> socket.socket:
    """Connections inherit it: a peer that vanished without a word is found within minutes, idle or with an answer on the way."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 60_000)):
        if (option := getattr(socket, name, None)) is not None:  # not every system has all of them
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
    return listener


class _Server(uvicorn.Server):
    """uvicorn with our connections, and without its own signal handling: the process has one place for that."""

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits) -> None:
        super().__init__(config)
        self.server_state: ConnectionsState = ConnectionsState(limits)
        self._swept_s = 0.0

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._swept_s >= SWEEP_S:
            self._swept_s = now_s
            self.server_state.sweep(now_s)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.is_draining = True
        await super().shutdown(sockets)


async def _run(mode: Mode, build: Build[S, D], create_app: Callable[[D], FastAPI], run_worker: RunWorker[D], settings: S) -> int:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with _building(build, settings) as deps:
        _spare_the_collector()
        parts: dict[str, asyncio.Task[None]] = {}
        app = create_app(deps)
        app.state.stopping = stop
        entry = get_operators_entry(app) if mode == "worker" else get_entry(app)
        parts["api"] = asyncio.create_task(_serve(entry, settings, stop), name="api")
        if mode in ("worker", "all"):
            parts["worker"] = asyncio.create_task(_work(run_worker, deps, stop), name="worker")
        _log.info("started", mode=mode)
        failed = await _supervise(parts, stop, settings.stop_timeout_s)
    _log.info("stopped", failed=failed)
    return _EXIT_FAILED if failed else 0


def _spare_the_collector() -> None:
    """What is there after the start stays: it needn't be looked through again. And a poll of 2,000 records makes hundreds of
    thousands of objects that reference counting frees; with the default thresholds the collector walks them dozens of times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 50)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    is_signalled = False

    def handle(number: signal.Signals) -> None:
        nonlocal is_signalled
        if is_signalled:
            _log.warning("stopped_at_once", signal=number.name)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        is_signalled = True
        begin_to_stop(number.name)

    def begin_to_stop(why: str) -> None:
        if not stop.is_set():
            _log.info("stopping", signal=why)
            stop.set()

    def follow_parent(lifeline: int) -> None:
        loop.remove_reader(lifeline)
        begin_to_stop("parent")

    for number in (signal.SIGTERM, signal.SIGINT) if prefork.lifeline() is None else (signal.SIGTERM,):
        loop.add_signal_handler(number, handle, number)
    if (lifeline := prefork.lifeline()) is not None:
        loop.add_reader(lifeline, follow_parent, lifeline)


@asynccontextmanager
async def _building(build: Build[S, D], settings: S) -> AsyncIterator[D]:
    made = build(settings)
    if isinstance(made, AbstractAsyncContextManager):
        async with made as deps:
            yield deps
        return
    deps = await made
    try:
        yield deps
    finally:
        if hasattr(deps, "close"):
            await cast("_Closable", deps).close()


async def _serve(entry: AsgiApp, settings: ServiceSettings, stop: asyncio.Event) -> None:
    config = uvicorn.Config(
        entry,
        http=Connection,
        log_config=None,
        access_log=False,
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        backlog=settings.backlog,
        timeout_graceful_shutdown=int(settings.stop_timeout_s),
    )
    limits = ConnectionLimits(patience_s=settings.request_patience_s, max_connections=settings.max_connections)
    server = _Server(config, limits)
    listener = open_listener(settings)

    async def stop_server() -> None:
        await stop.wait()
        server.should_exit = True

    stopper = asyncio.create_task(stop_server())
    try:
        await server.serve(sockets=[listener])
    except SystemExit as error:  # uvicorn's way to say that the app's lifespan failed; it has logged why
        raise RuntimeError("the API could not start") from error
    finally:
        stopper.cancel()
        listener.close()


async def _work(run_worker: RunWorker[D], deps: D, stop: asyncio.Event) -> None:
    await run_worker(deps, stop)
    if not stop.is_set():
        raise RuntimeError("the worker ended though nobody asked it to")


async def _supervise(parts: dict[str, asyncio.Task[None]], stop: asyncio.Event, stop_timeout_s: float) -> list[str]:
    """Wait for the stop or the first part to end, then for the rest, within the time allowed. Names of the parts that failed."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *parts.values()], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await stopped
    _, late = await asyncio.wait(parts.values(), timeout=stop_timeout_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*parts.values(), return_exceptions=True)
    failed = []
    for name, task in parts.items():
        if task in late:
            _log.error("stop_took_too_long", part=name, allowed_s=stop_timeout_s)
            failed.append(name)
        elif task.cancelled():
            failed.append(name)
        elif (error := task.exception()) is not None:
            if isinstance(error, ConfigurationRefused):
                _log.critical("start_refused", part=name, reason=str(error))
            else:
                _log.critical("part_failed", part=name, exc_info=error)
            failed.append(name)
    return failed


def exit_with(code: int) -> None:
    """For `main` modules: `exit_with(run_from_command_line(...))`."""
    sys.exit(code)
