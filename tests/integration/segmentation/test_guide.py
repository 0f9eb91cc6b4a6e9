"""Every example of the segmentation guide works as it stands, and has the members that the guide says."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import yaml

from cli.commands.segments import load_definition
from libs.kit.times import parse_duration
from tests.builders.changes import NOON, make_touchpoint

from .conftest import Customer, World

GUIDE = Path(__file__).parents[3] / "docs/guides/segmentation.md"
CUSTOMERS = Path(__file__).with_name("guide_customers.yaml")
EXAMPLE = re.compile(r"```yaml\n(?P<definition>.*?)```\n\n\*\*In:\*\* (?P<members>[\d, ]+)\.", re.DOTALL)
A_DOZEN = 12


def read_examples(folder: Path) -> list[tuple[dict[str, Any], list[int]]]:
    """(definition as the command reads it, numbers of its members) in the guide's order."""
    examples = []
    for number, found in enumerate(EXAMPLE.finditer(GUIDE.read_text(encoding="utf-8"))):
        file = folder / f"{number}.yaml"
        file.write_text(found["definition"], encoding="utf-8")
        examples.append((load_definition(file), [int(member) for member in found["members"].split(",")]))
    return examples


def make_history(customer: dict[str, Any], now_minute: int) -> list[Any]:
    return [
        make_touchpoint(
            did["name"],
            minute=now_minute - int(parse_duration(did["ago"]) / timedelta(minutes=1)),
            channel=did.get("channel", "web"),
            properties=msgspec.Raw(msgspec.json.encode(did["properties"])),
        )
        for did in customer["did"]
    ]


async def test_the_guides_examples(api: httpx.AsyncClient, world: World, tmp_path: Path) -> None:
    now_minute = int((world.clock.now() - NOON) / timedelta(minutes=1))
    for customer in yaml.safe_load(CUSTOMERS.read_text(encoding="utf-8")):
        known = Customer(world)
        known.id = UUID(int=customer["number"])
        await known.does(*make_history(customer, now_minute), snapshot=customer["view"])
    examples = read_examples(tmp_path)
    assert len(examples) == GUIDE.read_text(encoding="utf-8").count("```yaml") >= A_DOZEN
    for definition, members in examples:
        previewed = await api.post("/v1/segments/preview", json={"rule": definition["rule"]})
        assert (previewed.status_code, previewed.json().get("count")) == (200, len(members)), (definition["id"], previewed.text)
        made = await api.post("/v1/segments", json=definition)
        assert made.status_code == 201, made.text
        await world.run_jobs()
        assert sorted(one.int for one in await world.members(definition["id"])) == members, definition["id"]
    verdict = await world.verify()
    assert (verdict.examples, verdict.compared) == ([], 8 * len(examples))
