"""What operators set for loyalty, validated at start."""

from pydantic_settings import SettingsConfigDict

from libs.kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment prefix `LOYALTY_`."""

    model_config = SettingsConfigDict(env_prefix="LOYALTY_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    port: int = 8084
