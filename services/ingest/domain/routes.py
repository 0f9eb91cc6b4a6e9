"""Which address takes what: the tracking protocol's paths, short and long. A parked body is sent through again by its path."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.ingest.domain.vocabulary import Kind

SINGLE: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "/v1/track": "track",
        "/v1/t": "track",
        "/v1/identify": "identify",
        "/v1/i": "identify",
        "/v1/page": "page",
        "/v1/p": "page",
        "/v1/screen": "screen",
        "/v1/s": "screen",
        "/v1/group": "group",
        "/v1/g": "group",
        "/v1/alias": "alias",
        "/v1/a": "alias",
    }
)
BATCH: Final = ("/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch")
OWN: Final = "/v1/touchpoints"
CLOUD_EVENTS: Final = "/v1/cloudevents"
IMPORTS: Final = "/v1/imports"
SDK_METRICS: Final = "/v1/m"
