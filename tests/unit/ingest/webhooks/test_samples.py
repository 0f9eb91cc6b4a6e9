"""Deliveries of Shopify, Stripe and Zendesk, one a topic, written from their documentation, and exactly what each becomes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.vocabulary import CATALOGUE
from services.ingest.domain.tolerant import encode
from services.ingest.domain.webhooks import catalogue
from services.ingest.domain.webhooks.catalogue import ADAPTERS
from services.ingest.domain.webhooks.deliveries import Delivery, Reading
from services.ingest.domain.webhooks.mail import TOUCHPOINTS
from tests.support.intake import World
from tests.support.webhooks import SECRET, sign

FOLDER = Path(__file__).parent / "samples"
SHIPPED = Path(catalogue.__file__).parent / "shipped"
SAMPLES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("*/*.json"))


def load(name: str) -> tuple[str, dict[str, str], bytes, dict[str, Any]]:
    sample = json.loads((FOLDER / f"{name}.json").read_text())
    headers = {header.lower(): value for header, value in sample["headers"].items()}
    return name.partition("/")[0], headers, json.dumps(sample["body"]).encode(), sample["expected"]


def show(touchpoint: dict[str, Any]) -> Any:
    """As JSON, with the literals of its decimals."""
    return json.loads(encode(touchpoint), parse_float=lambda literal: {"$number": literal})


def test_every_provider_has_samples() -> None:
    assert {name.partition("/")[0] for name in SAMPLES} == {"shopify", "stripe", "zendesk"}
    assert len(SAMPLES) == 44


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_becomes_exactly_what_is_expected(name: str) -> None:
    provider, headers, body, expected = load(name)
    reading = ADAPTERS[provider].read(Delivery(body, headers))
    assert isinstance(reading, Reading)
    assert [show(touchpoint) for touchpoint in reading.touchpoints] == expected["touchpoints"]
    assert {one["name"] for one in reading.touchpoints if "name" in one} <= CATALOGUE.names.keys()
    assert list(reading.ignored) == expected["ignored"]
    assert bool(reading.ignored) == name.partition("/")[2].startswith("ignored_")


def test_mail_providers_and_shipped_mappings_speak_of_standard_names() -> None:
    shipped = [json.dumps(yaml.safe_load(path.read_text())) for path in SHIPPED.glob("*.yaml")]
    named = {name for text in shipped for name in re.findall(r'"name": "((?:[A-Z]\w*)(?: \w+)*)"', text)}
    assert len(named) > 5
    assert (named | set(TOUCHPOINTS.values())) <= CATALOGUE.names.keys()


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_sample_is_taken_whole_and_twice_is_once(name: str) -> None:
    provider, headers, body, expected = load(name)
    world = World()
    world.webhooks.put("dev-server", provider, SECRET)
    delivery = sign(provider, body, headers=headers)
    async with world.client() as client:
        answers = [
            await client.post(f"/v1/webhooks/{provider}/dev-server", content=delivery.body, headers=dict(delivery.headers))
            for _ in range(2)
        ]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["rejected"] == []
    assert [touchpoint.message_id for touchpoint in world.recorded()] == [one["id"] for one in expected["touchpoints"]] * 2
    assert len({touchpoint.id for touchpoint in world.recorded()}) == len(expected["touchpoints"])
