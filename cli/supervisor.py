"""The process behind `rapport up`: starts everything in order, keeps it running, writes down what runs, stops it all.

Blocking code: `cli.foreground` runs it in a thread and stays awake for signals and the screen.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cli.addresses import read_settings
from cli.catalogue import BY_NAME, SERVICES, ServiceEntry
from cli.errors import CliError, explain
from cli.homes import RunningPart, RunningPlatform, remove_platform, save_platform
from cli.preparation import prepare_database, prepare_topics
from cli.restart_requests import answer, take_wishes
from cli.restarts import RestartPlan
from cli.service_part import CommandPart, ServicePart
from deploy.local.browser_sdk import ensure_browser_sdk
from deploy.local.errors import PartMissing, PortTaken, StartGivenUp
from deploy.local.ports import ANY_FREE, HOST
from deploy.local.stack import BACKING_PARTS, DEFAULT_PORTS, LocalStack, build_part

if TYPE_CHECKING:
    from deploy.local.part import Part

Announce = Callable[[str], None]
GIVEN = {"kafka": "RAPPORT_KAFKA", "postgres": "RAPPORT_POSTGRES", "redis": "RAPPORT_REDIS", "mail": "ENGAGEMENT_SMTP_HOST"}
SPOOL_VARIABLE = "INGEST_SPOOL_DIR"
NEEDED_BY_SERVICES = ("postgres", "kafka")
BROWSER_SDK = "INGEST_ANALYTICS_JS"
DEMO = "demo"
LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run. Backing parts whose address the environment gives are somebody else's and are not started."""

    backing: tuple[str, ...]
    services: tuple[ServiceEntry, ...]
    demo: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)
    """Those the operator named, by service: that one or none. 0: any free one. Whoever isn't here may move to another port."""


def make_plan(only: Collection[str], environment: Mapping[str, str], *, demo: bool = False) -> Plan:
    """All, or what `only` names; services bring the database and the broker that they can't be without. Raises CliError."""
    known = {*BACKING_PARTS, *(service.name for service in SERVICES)}
    if unknown := sorted(set(only) - known):
        raise CliError(f"There is no part called {unknown[0]}.", hint=f"Parts: {', '.join(sorted(known))}.")
    services = tuple(service for service in SERVICES if (not only or service.name in only) and service.exists)
    wanted = set(only or BACKING_PARTS) | (set(NEEDED_BY_SERVICES) if services else set())
    backing = tuple(name for name in BACKING_PARTS if name in wanted and not environment.get(GIVEN[name]))
    if not backing and not services:
        given = ", ".join(GIVEN[name] for name in sorted(wanted))
        raise CliError("Nothing is left to start: the environment gives the address of it all.", hint=f"Unset {given}.")
    return Plan(backing, services, demo, read_ports(services, environment))


def read_ports(services: Collection[ServiceEntry], environment: Mapping[str, str]) -> dict[str, int]:
    """The ports that the environment names (INGEST_PORT, ...). Raises CliError for what is no port and for one given twice."""
    named: dict[str, int] = {}
    for service in services:
        if not (text := environment.get(service.port_variable, "").strip()):
            continue
        if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LAST_PORT)) and int(text) <= LAST_PORT):
            raise CliError(
                f"{service.port_variable} is no port: {text}.", hint=f"A number up to {LAST_PORT}, or 0 for any free port."
            )
        port = int(text)
        if twin := next((name for name, other in named.items() if port and other == port), None):
            raise CliError(
                f"{twin} and {service.name} are both given port {port}.",
                hint=f"Give {BY_NAME[twin].port_variable} or {service.port_variable} another, or 0 for any free one.",
            )
        named[service.name] = port
    return named


class Supervisor:
    """`environment` is what the services inherit, beside the addresses; `usual_ports` are the backing parts', when free."""

    def __init__(
        self,
        home: Path,
        plan: Plan,
        announce: Announce,
        *,
        environment: Mapping[str, str] = os.environ,
        usual_ports: Mapping[str, int] = DEFAULT_PORTS,
    ) -> None:
        self.home = home
        self.plan = plan
        self.announce = announce
        self._inherited = dict(environment)
        self._usual_ports = usual_ports
        self.stack = LocalStack(home)
        self.environment: dict[str, str] = {}
        self.is_ready = False
        self._plans: dict[str, RestartPlan] = {}
        self._restarting: dict[str, Future[None]] = {}
        self._replacing: dict[str, Future[None]] = {}
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="restart")
        me = psutil.Process()
        self._me = (me.pid, me.create_time())

    def start(self) -> None:
        """Database and schemas beside the broker and its topics; then the services; then the demo. Raises what fails first."""
        self._reserve_named_ports()
        for name in self.plan.backing:
            if (part := build_part(self.stack, name, self._usual_ports[name])) is not None:
                self.stack.add(part)
                self._tell_moved(name, self._usual_ports[name], part.port)
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
        """One look at everything: start again what ended unasked and whose wait is over, replace what somebody asked for.

        Call it every second or so.
        """
        changed = False
        for name in take_wishes(self.home):
            self._replace(name)
        for name, part in self.stack.parts.items():
            changed |= self._tend_part(part, self._plans[name])
        if changed:
            self._save()

    def _replace(self, name: str) -> None:
        part = self.stack.parts.get(name)
        if not isinstance(part, ServicePart):
            answer(self.home, name, f"There is no service called {name} here.")
        elif name in self._restarting:
            answer(self.home, name, f"{part.title} is being started already.")
        elif name not in self._replacing:
            self.announce(f"replacing {part.title}")
            self._replacing[name] = self._pool.submit(part.replace)

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
            port = self._choose_port(service)
            self.stack.add(ServicePart(self.home, port, service))
            environment[service.url_variable] = f"http://{HOST}:{port}"
        environment[SPOOL_VARIABLE] = self._inherited.get(SPOOL_VARIABLE, str(self.home / "spool"))
        if url := environment.get("RAPPORT_ENGAGEMENT_URL"):
            environment["ENGAGEMENT_PUBLIC_URL"] = self._inherited.get("ENGAGEMENT_PUBLIC_URL") or url
        return environment

    def _reserve_named_ports(self) -> None:
        """Before anybody else chooses."""
        for name, port in self.plan.ports.items():
            if port != ANY_FREE:
                try:
                    self.stack.reserve_port(name, port)
                except PortTaken as error:
                    hint = f"Give {BY_NAME[name].port_variable} another, or 0 for any free one."
                    raise CliError(error.detail, hint=hint) from error

    def _choose_port(self, service: ServiceEntry) -> int:
        named = self.plan.ports.get(service.name)
        if named is not None:
            return named or self.stack.choose_port(service.name, ANY_FREE)
        port = self.stack.choose_port(service.name, service.port)
        self._tell_moved(service.name, service.port, port)
        return port

    def _tell_moved(self, name: str, usual: int, port: int) -> None:
        if usual not in {port, ANY_FREE}:
            self.announce(f"port {usual} is taken: {name} gets {port}")

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
        replacing = self._replacing.get(part.name)
        if replacing is not None:
            return self._finish_replacement(part, plan, replacing)
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

    def _finish_replacement(self, part: "Part", plan: RestartPlan, replacing: "Future[None]") -> bool:
        if not replacing.done():
            return False
        del self._replacing[part.name]
        error = replacing.exception()
        if error is None:
            plan.note_started(time.monotonic())
        self.announce(f"{part.title} is replaced" if error is None else explain(error)[0])
        answer(self.home, part.name, "" if error is None else explain(error)[0])
        return True

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
