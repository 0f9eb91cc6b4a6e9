"""A service's process as a part of the local stack: started, asked for readiness, stopped and restarted like the others."""

import http.client
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.catalogue import ServiceEntry
from deploy.local.part import BEHIND_THE_DOOR, Part
from deploy.local.ports import HOST

INSTANCE_VARIABLE = "RAPPORT_KAFKA_INSTANCE"
_PROBE_TIMEOUT_S = 3.0
_OK = 200


class ServicePart(Part):
    start_timeout_s = 60.0

    def __init__(self, home: Path, port: int, service: ServiceEntry, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(home, port)
        self.name = service.name
        self.title = service.name
        self._service = service
        self.niceness = 0 if service.takes_touchpoints else BEHIND_THE_DOOR
        self.set_environment(environment or {})

    def set_environment(self, environment: Mapping[str, str]) -> None:
        """What its next process is started with: the port is the part's own, and so is its name in the consumer group.

        There is one process a service here, so a killed one takes its partitions back at once.
        """
        own = {self._service.port_variable: str(self.port), INSTANCE_VARIABLE: self.name}
        self._environment = {**environment, **own}

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", self._service.module, "all"]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def is_ready(self) -> bool:
        return fetch_status(self.port, "/readyz") == _OK


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
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
