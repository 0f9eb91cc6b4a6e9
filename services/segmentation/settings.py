"""What operators set for segmentation, validated at start."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment prefix `SEGMENTATION_`."""

    model_config = SettingsConfigDict(env_prefix="SEGMENTATION_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    port: int = 8082
    fill_chunk_profiles: int = Field(default=500, ge=1, le=5_000)
    """How many profiles a back-fill locks and judges in one transaction."""
    job_poll_ms: int = Field(default=250, ge=10)
    """How often a waiting back-fill is looked for."""
    timer_poll_ms: int = Field(default=100, ge=10)
    """How often due timers are looked for."""
    timer_batch_profiles: int = Field(default=500, ge=1, le=5_000)
    list_max_refs: int = Field(default=1_000_000, ge=1)
    """How many customers one file for a manual list may name. Each takes 20 bytes of memory while it is received."""
    list_max_bytes: int = Field(default=128 * 1024 * 1024, ge=1)
    preview_max_profiles: int = Field(default=100_000, ge=1)
    """Beyond so many known profiles a preview judges a stable part of about this size and says that it estimates."""
    webhook_allow_private: bool = False
    """Webhooks may be called by http and at private addresses: for local development alone."""
    webhook_poll_ms: int = Field(default=500, ge=10)
    """How often waiting deliveries are looked for."""
    webhook_timeout_s: float = Field(default=15.0, gt=0, le=60)
    webhook_disable_after_h: int = Field(default=120, ge=1)
    """A webhook that has only failed for so long is disabled until somebody resumes it."""
    webhook_keep_days: int = Field(default=30, ge=1)
    """Deliveries are forgotten after so long, whatever became of them."""
    export_dir: Path | None = None
    """Where scheduled exports write their files. None: they can only be posted."""
    export_poll_s: float = Field(default=5.0, gt=0)
    """How often exports whose time has come are looked for."""
    longest_stream_s: float = Field(default=3600.0, gt=0)
    """How long an export may take; its reader goes on with `after` behind the last line."""
