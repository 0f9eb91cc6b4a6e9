"""What an operator sets for ingest. Environment prefix `INGEST_`; the platform's own settings are `RAPPORT_`."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from libs.kit.settings import Port, ServiceSettings
from services.ingest.domain.addresses import read_networks


def _check_networks(text: str) -> str:
    read_networks(text)
    return text


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="INGEST_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    port: Port = 8080
    public_host: str | None = None
    """`host[:port]` that browsers reach us by over https, for their settings; the request's own Host and scheme where unset."""
    analytics_js: Path | None = None
    """The unpacked npm package `@segment/analytics-next` to serve to HTML snippets; none is served where unset."""
    max_pending_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Bodies that wait for the broker's acknowledgement; above this new requests are answered 429."""
    spool_dir: Path | None = None
    """A folder on a disk that outlives the process and its container: what the log doesn't take in time is kept there, and
    acknowledged. Unset: such requests are answered 503."""
    spool_max_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    rejections_kept_days: int = Field(default=30, ge=1)
    rejections_max_per_source: int = Field(default=100_000, ge=1)
    rejections_max_bytes_per_source: int = Field(default=512 * 1024 * 1024, ge=1024 * 1024)
    rejections_sweep_s: float = Field(default=60.0, gt=0)
    counts_kept_days: int = Field(default=400, ge=1)
    """What sources sent, by day: a year and a little, so that a year can be compared with the one before."""
    trusted_proxies: Annotated[str, AfterValidator(_check_networks)] = ""
    """Networks of our own load balancers, comma-separated: what their X-Forwarded-For says of a visitor's address is believed."""
    max_watchers: int = Field(default=8, ge=1)
    """Live debuggers open at once in one process."""
    import_max_bytes: int = Field(default=2 * 1024**3, ge=1024)
    """A file to import, as sent and unpacked. It lies in PostgreSQL until its keeping time is over."""
    import_max_uploads: int = Field(default=4, ge=1)
    """Files that a process receives at once: each is a temporary file meanwhile."""
    import_kept_days: int = Field(default=7, ge=1)
    """An import at rest, with its file and its errors."""
    import_batch_rows: int = Field(default=500, ge=1)
    import_runners: int = Field(default=2, ge=1)
    """Imports that a worker has under way at once."""
    import_lease_s: float = Field(default=30.0, gt=0)
    """After a worker was killed, another goes on with its import so much later at the most."""
    import_sweep_s: float = Field(default=300.0, gt=0)
