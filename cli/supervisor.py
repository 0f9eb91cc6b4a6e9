"""The process behind `rapport up`: starts everything in order, keeps it running, writes down what runs, stops it all.

Blocking code: `cli.foreground` runs it in a thread and stays awake for signals and the screen.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cli.addresses import read_settings
from cli.catalogue import SERVICES, ServiceEntry
from cli.errors import CliError, explain
from cli.homes import RunningPart, RunningPlatform, remove_platform, save_platform
from cli.preparation import prepare_database, prepare_topics
from cli.restarts import RestartPlan
from cli.service_part import CommandPart, ServicePart
from deploy.local.browser_sdk import ensure_browser_sdk
from deploy.local.errors import PartMissing, StartGivenUp
from deploy.local.ports import HOST
from deploy.local.stack import BACKING_PARTS, DEFAULT_PORTS, LocalStack, build_part

if TYPE_CHECKING:
    from deploy.local.part import Part

Announce = Callable[[str], None]
GIVEN = {"kafka": "RAPPORT_KAFKA", "postgres": "RAPPORT_POSTGRES", "redis": "RAPPORT_REDIS", "mail": "ENGAGEMENT_SMTP_HOST"}
NEEDED_BY_SERVICES = ("postgres", "kafka")
BROWSER_SDK = "INGEST_ANALYTICS_JS"
DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run. Backing parts whose address the environment gives are somebody else's and are not started."""

    backing: tuple[str, ...]
    services: tuple[ServiceEntry, ...]
    demo: bool = False


def make_plan(only: Collection[str], environment: Mapping[str, str], *, demo: bool = False) -> Plan:
    """All, or what `only` names; services bring the database and the broker that they can't be without. Raises CliError."""
    known = {*BACKING_PARTS, *(service.name for service in SERVICES)}
    if unknown := sorted(set(only) - known):
        raise CliError(f"There is no part called {unknown[0]}.", hint=f"Parts: {', '.join(sorted(known))}.")
    services = tuple(service for service in SERVICES if (not only or service.name in only) and service.exists)
    wanted = set(only or BACKING_PARTS) | (set(NEEDED_BY_SERVICES) if services else set())
    backing = tuple(name for name in BACKING_PARTS if name in wanted and not environment.get(GIVEN[name]))
    return Plan(backing, services, demo)


class Supervisor:
    """`environment` is what the services inherit, beside the addresses; `ports` are wishes, 0 for any free one."""

    def __init__(
        self,
        home: Path,
        plan: Plan,
        announce: Announce,
        *,
        environment: Mapping[str, str] = os.environ,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self.home = home
        self.plan = plan
        self.announce = announce
        self._inherited = dict(environment)
        self._ports = {**DEFAULT_PORTS, **{service.name: service.port for service in SERVICES}, **(ports or {})}
        self.stack = LocalStack(home)
        self.environment: dict[str, str] = {}
        self.is_ready = False
        self._plans: dict[str, RestartPlan] = {}
        self._restarting: dict[str, Future[None]] = {}
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="restart")
        me = psutil.Process()
        self._me = (me.pid, me.create_time())

    def start(self) -> None:
        """Database and schemas beside the broker and its topics; then the services; then the demo. Raises what fails first."""
        for name in self.plan.backing:
            if (part := build_part(self.stack, name, self._ports[name])) is not None:
                self.stack.add(part)
            else:
                self.announce(f"no {name} on this machine: going without (`rapport doctor` tells more)")
        self.environment = self._build_environment()
        self._save()
        with ThreadPoolExecutor(max_workers=3, thread_name_prefix="lane") as pool:
            lanes = [pool.submit(self._start_database), pool.submit(self._start_broker), pool.submit(self._fetch_browser_sdk)]
        for lane in lanes:
            lane.result()
        self._start_services()
        if self.plan.demo:
            self._start_demo()
        for name in self.stack.parts:
            self._plans[name] = RestartPlan(started_at=time.monotonic())
        self.is_ready = True
        self._save()

    def tend(self) -> None:
        """One look at everything: start again what ended unasked and whose wait is over. Call it every second or so."""
        changed = False
        for name, part in self.stack.parts.items():
            changed |= self._tend_part(part, self._plans[name])
        if changed:
            self._save()

    def stop(self) -> None:
        self.stack.give_up()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.stack.stop()
        remove_platform(self.home)

    def kill(self) -> None:
        self.stack.kill()
        remove_platform(self.home)

    @property
    def urls(self) -> dict[str, str]:
        return {part.name: part.address for part in self.stack.parts.values() if isinstance(part, ServicePart)}

    def describe(self) -> RunningPlatform:
        parts = tuple(
            RunningPart(
                part.name,
                part.title,
                part.address,
                part.pid,
                str(part.log),
                self._plans[part.name].restarts if part.name in self._plans else 0,
            )
            for part in self.stack.parts.values()
        )
        return RunningPlatform(*self._me, self.is_ready, self.environment, self.urls, parts)

    def _save(self) -> None:
        save_platform(self.home, self.describe())

    def _build_environment(self) -> dict[str, str]:
        """What every service is told. Ports are chosen here, before the first service needs another's address."""
        environment = {"RAPPORT_HOME": str(self.home), **self.stack.environment()}
        for name, variable in GIVEN.items():
            if name not in self.stack.parts and (given := self._inherited.get(variable)):
                environment[variable] = given
        for service in self.plan.services:
            port = self.stack.choose_port(
                service.name, int(self._inherited.get(service.port_variable) or self._ports[service.name])
            )
            self.stack.add(ServicePart(self.home, port, service))
            environment[service.url_variable] = f"http://{HOST}:{port}"
        if url := environment.get("RAPPORT_ENGAGEMENT_URL"):
            environment["ENGAGEMENT_PUBLIC_URL"] = self._inherited.get("ENGAGEMENT_PUBLIC_URL") or url
        return environment

    def _start_database(self) -> None:
        self._start_backing([name for name in self.plan.backing if name != "kafka"])
        if self.plan.services:
            asyncio.run(prepare_database(read_settings(self.environment), self.announce, self.plan.services))

    def _start_broker(self) -> None:
        self._start_backing([name for name in self.plan.backing if name == "kafka"])
        if self.plan.services:
            asyncio.run(prepare_topics(read_settings(self.environment), self.announce))

    def _fetch_browser_sdk(self) -> None:
        """For ingest to serve. Without it everything runs but HTML snippets, so it keeps nothing from starting."""
        if self._inherited.get(BROWSER_SDK) or all(service.name != "ingest" for service in self.plan.services):
            return
        try:
            self.environment[BROWSER_SDK] = str(ensure_browser_sdk())
        except PartMissing as error:
            self.announce(f"no analytics.min.js for HTML snippets: {error.detail}")

    def _start_backing(self, names: Collection[str]) -> None:
        if names:
            self.announce(f"starting {', '.join(names)}")
            self.stack.start_all(names)

    def _start_services(self) -> None:
        names = [service.name for service in self.plan.services]
        for name in names:
            part = self.stack.parts[name]
            if isinstance(part, ServicePart):
                part.set_environment({**self._inherited, **self.environment})
        if names:
            self.announce(f"starting {', '.join(names)}")
            self.stack.start_all(names)

    def _start_demo(self) -> None:
        self.announce("starting the demo")
        part = CommandPart(self.home, DEMO, ["demo"], {**self._inherited, **self.environment})
        self.stack.add(part)
        self.stack.start_all([DEMO])

    def _tend_part(self, part: "Part", plan: RestartPlan) -> bool:
        """Whether something about it changed."""
        restarting = self._restarting.get(part.name)
        if restarting is not None:
            return self._finish_restart(part, plan, restarting)
        if part.is_running or (isinstance(part, CommandPart) and part.exit_code == 0):
            return False
        now = time.monotonic()
        if plan.due_at is None:
            wait_s = plan.note_ended(now)
            self.announce(f"{part.title} ended with code {part.exit_code}; starting it again in {wait_s:g} s (see {part.log})")
            return True
        if plan.is_due(now):
            self._restarting[part.name] = self._pool.submit(part.start)
        return False

    def _finish_restart(self, part: "Part", plan: RestartPlan, restarting: "Future[None]") -> bool:
        if not restarting.done():
            return False
        del self._restarting[part.name]
        error = restarting.exception()
        if isinstance(error, StartGivenUp):
            return False
        if error is None:
            plan.note_started(time.monotonic())
            self.announce(f"{part.title} is back")
        else:
            wait_s = plan.note_ended(time.monotonic())
            self.announce(f"{explain(error)[0]} Trying again in {wait_s:g} s.")
        return True
