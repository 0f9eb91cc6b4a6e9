"""What operators set for profile, validated at start."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.kit.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Environment prefix `PROFILE_`."""

    model_config = SettingsConfigDict(env_prefix="PROFILE_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    port: Port = 8081
    batch_max_records: int = Field(default=2000, ge=1, le=60_000)
    lead_stages: Path = Path(__file__).with_name("lead_stages.toml")
    """The stages of leads, and the moves that commands may make between them."""
    facets_flush_interval_s: float = Field(default=0.11, gt=0, le=0.125)
    """A changed facet waits this long, at most twice as long, for a change of the profile or another facet to go with."""
    read_batch_max: int = Field(default=256, ge=1)
    """Profile reads that are waiting at the same moment and share one statement."""
    longest_stream_s: float = Field(default=3600.0, gt=0)
    """A stream of all profiles that takes longer is cut: it keeps one moment of the whole database. `?after=` resumes it."""
