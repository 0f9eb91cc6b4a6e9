"""Whether somebody agreed, as everybody who asks decides it."""

from typing import Any

import pytest

from libs.consent import DENIED, Defaults, decide
from libs.kit.settings import PlatformSettings

DEFAULTS: Defaults = {"US": "granted", "DE": "denied"}


def word(status: str, channel: str = "email", purpose: str = "marketing") -> dict[str, str]:
    return {"purpose": purpose, "channel": channel, "status": status, "at": "2026-01-01T00:00:00.000Z"}


def test_nothing_said_means_no() -> None:
    for entries in ([], [word("granted", purpose="analytics")], [word("granted", channel="sms")]):
        assert decide(entries, "marketing", "email", {}, DENIED) == ("denied", None, "*")


def test_the_first_word_of_the_channel_or_of_all_counts() -> None:
    assert decide([word("granted"), word("denied", "*")], "marketing", "email", {}, DENIED).status == "granted"
    assert decide([word("denied", "*"), word("granted")], "marketing", "email", {}, DENIED).status == "denied"
    assert decide([word("denied", "sms"), word("granted")], "marketing", "email", {}, DENIED).word == word("granted")


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"country": "US"}, ("granted", None, "US")),
        ({"country": " us "}, ("granted", None, "US")),
        ({"country": "DE"}, ("denied", None, "DE")),
        ({"country": "FR"}, ("denied", None, "*")),
        ({"address": {"country": "US"}}, ("granted", None, "US")),
        ({"country": "DE", "address": {"country": "US"}}, ("denied", None, "DE")),
        ({"country": 1, "address": ["US"]}, ("denied", None, None)),
        ({}, ("denied", None, "*")),
    ],
)
def test_silence_means_what_it_means_where_somebody_lives(traits: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert decide([], "marketing", "email", traits, DEFAULTS) == expected


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"country": "Germany", "address": {"country": "DE"}}, ("denied", None, "DE")),
        ({"country": "", "address": {"country": "de"}}, ("denied", None, "DE")),
        ({"country": "Germany"}, ("denied", None, None)),
        ({"country": "DEU", "address": {"country": "Germany"}}, ("denied", None, None)),
        ({"country": 49}, ("denied", None, None)),
        ({"country": "ß"}, ("denied", None, None)),
        ({"country": " ", "address": {"country": None}}, ("granted", None, "*")),
        ({"address": "Berlin"}, ("granted", None, "*")),
        ({}, ("granted", None, "*")),
    ],
)
def test_a_country_that_can_not_be_read_is_not_elsewhere(traits: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert decide([], "marketing", "email", traits, {"*": "granted", "DE": "denied"}) == expected


def test_a_word_is_stronger_than_any_default() -> None:
    assert decide([word("denied")], "marketing", "email", {"country": "US"}, DEFAULTS).status == "denied"
    assert decide([], "marketing", "email", {}, {"*": "granted"}).status == "granted"


@pytest.mark.parametrize("key", ["usa", "us", ""])
def test_a_default_for_what_is_no_country_is_refused_at_start(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_CONSENT_DEFAULTS", f'{{"{key}": "granted"}}')
    with pytest.raises(ValueError, match="consent_defaults"):
        PlatformSettings()
