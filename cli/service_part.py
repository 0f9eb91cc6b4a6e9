"""A service's process as a part of the local stack: started, asked for readiness, stopped and restarted like the others."""

import http.client
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.catalogue import ServiceEntry
from deploy.local.part import BEHIND_THE_DOOR, PATIENCE_S, Part, end_process
from deploy.local.ports import HOST
from deploy.local.records import load_record, save_record

INSTANCE_VARIABLE = "RAPPORT_KAFKA_INSTANCE"
_PROBE_TIMEOUT_S = 3.0
_BACKLOG = 2048
_FINISH_S = 45.0
_OK = 200


class ServicePart(Part):
    """Holds the socket its processes listen on: who connects while none of them is there waits instead of being refused."""

    start_timeout_s = 60.0

    def __init__(self, home: Path, port: int, service: ServiceEntry, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(home, port)
        self.name = service.name
        self.title = service.name
        self._service = service
        self._listener: socket.socket | None = None
        self._replacements = 0
        self.niceness = 0 if service.takes_touchpoints else BEHIND_THE_DOOR
        self.set_environment(environment or {})

    def set_environment(self, environment: Mapping[str, str]) -> None:
        """What its next process is started with: the port is the part's own."""
        self._environment = {**environment, self._service.port_variable: str(self.port)}

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def inherited(self) -> tuple[int, ...]:
        return () if self._listener is None else (self._listener.fileno(),)

    def prepare(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port), backlog=_BACKLOG)

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", self._service.module, "all", "--fd", *map(str, self.inherited)]

    def environment(self) -> Mapping[str, str]:
        """Its name in the consumer group is the part's: a killed process takes its partitions back at once.

        One that is started beside its predecessor needs another: nobody may have a name twice.
        """
        suffix = "-next" if self._replacements % 2 else ""
        return {**self._environment, INSTANCE_VARIABLE: self.name + suffix}

    def is_ready(self) -> bool:
        """Whether it is our process that says so: its predecessor may still answer on the same socket."""
        status, body = fetch(self.port, "/readyz")
        return status == _OK and json.loads(body).get("pid") == self.pid

    def replace(self) -> None:
        """Another process instead of the present one, without a refused connection.

        What takes touchpoints is replaced while it goes on: the next process serves before the present one is told to finish what
        it has. If the next one doesn't get ready the present one stays, and PartFailed is raised. For the others clients wait in
        the socket meanwhile.
        """
        present = self._process
        if not self._service.takes_touchpoints or present is None or present.poll() is not None:
            super().stop()
            self.start()
            return
        record = load_record(self.home, self.name)
        self._replacements += 1
        try:
            self.start()
        except BaseException:
            if self._process is not present:
                self.kill()
            self._process = present
            self._replacements -= 1
            if record is not None:
                save_record(self.home, record)
            raise
        end_process(present, self.stop_signal, timeout_s=_FINISH_S)

    def stop(self, timeout_s: float = PATIENCE_S) -> None:
        super().stop(timeout_s)
        if self._listener is not None:
            self._listener.close()
            self._listener = None


class CommandPart(Part):
    """A command of ours that runs beside the services (the demo); there is nothing to ask it."""

    def __init__(self, home: Path, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__(home, 0)
        self.name = name
        self.title = name
        self._arguments = tuple(arguments)
        self._environment = environment

    @property
    def address(self) -> str:
        return ""

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "cli.main", *self._arguments]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def is_ready(self) -> bool:
        return True


def fetch_status(port: int, path: str) -> int:
    """The HTTP status of a GET; raises OSError while nobody listens."""
    return fetch(port, path)[0]


def fetch(port: int, path: str, *, timeout_s: float = _PROBE_TIMEOUT_S) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
