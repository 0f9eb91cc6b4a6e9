"""What operators set for engagement, validated at start."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment prefix `ENGAGEMENT_`."""

    model_config = SettingsConfigDict(env_prefix="ENGAGEMENT_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    port: int = 8083
    public_url: str = "http://127.0.0.1:8083"
    """Where customers reach this service: unsubscribe links begin with it."""

    smtp_host: str = "127.0.0.1"
    smtp_port: int = 8025
    smtp_username: str | None = None
    smtp_password: str | None = Field(default=None, repr=False)
    smtp_use_tls: bool = False
    smtp_timeout_s: float = Field(default=20.0, gt=0)
    message_id_domain: str = "rapport.local"
    """The right side of Message-ID headers: a domain of yours."""
    default_sender: str = "Rapport <hello@rapport.local>"

    send_pause_s: float = Field(default=0.2, gt=0)
    """How long an idle sender waits before it looks for due messages again."""
