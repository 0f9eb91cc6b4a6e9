"""The services as the command line knows them: name, port, module, pages worth a look."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    name: str
    port: int
    about: str
    takes_touchpoints: bool = False

    @property
    def module(self) -> str:
        return f"services.{self.name}.main"

    @property
    def migrations(self) -> Path:
        return ROOT / "services" / self.name / "migrations"

    @property
    def port_variable(self) -> str:
        return f"{self.name.upper()}_PORT"

    @property
    def url_variable(self) -> str:
        return f"RAPPORT_{self.name.upper()}_URL"

    @property
    def exists(self) -> bool:
        return find_spec(f"services.{self.name}") is not None and find_spec(self.module) is not None


SERVICES = (
    ServiceEntry("ingest", 8080, "takes touchpoints in", takes_touchpoints=True),
    ServiceEntry("profile", 8081, "search a customer, see the 360-degree view"),
    ServiceEntry("segmentation", 8082, "segments and their members"),
    ServiceEntry("engagement", 8083, "campaigns and messages"),
    ServiceEntry("loyalty", 8084, "points and statements"),
)
ABOUT_PARTS = {
    "kafka": "the log: `rapport topics list`, `rapport kafka ...`",
    "postgres": "one schema a service",
    "redis": "rate limits",
    "mail": "keeps what is sent: `rapport mail`",
    "demo": "a simulated shop",
}
BY_NAME = {service.name: service for service in SERVICES}
