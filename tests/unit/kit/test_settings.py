from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from libs.kit.settings import PlatformSettings, ServiceSettings


class ShopSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", frozen=True, env_ignore_empty=True)

    port: int = 9090


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "RAPPORT_ENV",
        "RAPPORT_KAFKA",
        "RAPPORT_POSTGRES",
        "RAPPORT_REDIS",
        "RAPPORT_HOME",
        "RAPPORT_CLOCK",
        "SHOP_PORT",
    ):
        monkeypatch.delenv(name, raising=False)


def test_everything_has_a_default_that_works_on_one_machine() -> None:
    settings = ShopSettings()
    assert (settings.port, settings.platform.env, settings.platform.kafka) == (9090, "local", "127.0.0.1:9092")


def test_the_environment_sets_platform_and_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_KAFKA", "broker:9093")
    monkeypatch.setenv("RAPPORT_HOME", "/data")
    monkeypatch.setenv("SHOP_PORT", "7000")
    settings = ShopSettings()
    assert (settings.port, settings.platform.kafka, settings.platform.home) == (7000, "broker:9093", Path("/data"))


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_REDIS", "")
    monkeypatch.setenv("SHOP_PORT", "")
    settings = ShopSettings()
    assert (settings.platform.redis, settings.port) == (None, 9090)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ShopSettings().port = 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAPPORT_ENV", "prod"),
        ("RAPPORT_TOPIC_PREFIX", "a b"),
        ("RAPPORT_DEFAULT_CURRENCY", "euro"),
        ("RAPPORT_DEFAULT_REGION", "Germany"),
        ("RAPPORT_LOG_LEVEL", "loud"),
        ("SHOP_PORT", "70000000"),
    ],
)
def test_nonsense_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    class Settings(ServiceSettings):
        model_config = SettingsConfigDict(env_prefix="SHOP_")

    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


def test_sasl_needs_a_user_and_a_password() -> None:
    with pytest.raises(ValidationError, match="SASL_USERNAME"):
        PlatformSettings(kafka_security_protocol="SASL_SSL", kafka_sasl_username="me")
    assert PlatformSettings(
        kafka_security_protocol="SASL_SSL", kafka_sasl_username="me", kafka_sasl_password="pw"
    ).kafka_sasl_username


def test_a_movable_clock_is_refused_in_production(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="RAPPORT_CLOCK"):
        PlatformSettings(env="production", clock=tmp_path / "clock")


def test_secrets_are_not_shown_when_settings_are_printed() -> None:
    settings = PlatformSettings(
        postgres="postgresql://u:hush@h/d",
        redis="redis://:hush@h",
        identity_key="hush",
        kafka_sasl_username="u",
        kafka_sasl_password="hush",
    )
    assert "hush" not in repr(settings)


def test_secrets_are_not_shown_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_KAFKA_SASL_PASSWORD", "hush")
    monkeypatch.setenv("RAPPORT_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(ValidationError) as caught:
        PlatformSettings()
    assert "hush" not in str(caught.value)
