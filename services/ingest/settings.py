"""What an operator sets for ingest. Environment prefix `INGEST_`; the platform's own settings are `RAPPORT_`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.kit.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="INGEST_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    port: Port = 8080
    public_host: str | None = None
    """`host[:port]` that browsers reach us by over https, for their settings; the request's own Host and scheme where unset."""
    analytics_js: Path | None = None
    """The unpacked npm package `@segment/analytics-next` to serve to HTML snippets; none is served where unset."""
    max_pending_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Bodies that wait for the broker's acknowledgement; above this new requests are answered 429."""
    rejections_kept_days: int = Field(default=30, ge=1)
    rejections_max_per_source: int = Field(default=100_000, ge=1)
    rejections_max_bytes_per_source: int = Field(default=512 * 1024 * 1024, ge=1024 * 1024)
    rejections_sweep_s: float = Field(default=60.0, gt=0)
