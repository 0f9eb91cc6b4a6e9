"""What is written about the events is what the classes say, and a change that breaks readers can't be written at all."""

import shutil
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml

from libs.events.codec import EVENT_TYPES
from libs.events.documents.__main__ import EXAMPLES, ROOT, SCHEMAS, find_refusals, find_stale, render_all, run
from libs.events.topics import TOPICS

TOUCHPOINT = SCHEMAS / "rapport.touchpoint.recorded.v1.json"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the generated files of this checkout, to be spoilt."""
    for path in render_all():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def rewrite(path: Path, change: Any) -> None:
    schema = msgspec.json.decode(path.read_bytes())
    change(schema)
    path.write_bytes(msgspec.json.encode(schema))


def test_no_change_since_the_committed_schemas_breaks_a_reader() -> None:
    assert list(find_refusals(render_all(), ROOT)) == []


def test_every_generated_file_is_current() -> None:
    assert find_stale(render_all(), ROOT) == [], "run `make docs` and commit"


def test_nothing_else_lies_among_the_generated_files() -> None:
    expected = {f"{name}.json" for name in EVENT_TYPES}
    assert {path.name for path in (ROOT / SCHEMAS).iterdir()} == expected
    assert {path.name for path in (ROOT / EXAMPLES).iterdir()} == expected


def test_a_check_fails_where_a_file_is_stale_and_writes_nothing(checkout: Path) -> None:
    assert run(check=True, root=checkout) == 0
    (checkout / "docs/events.md").write_text("old")
    assert run(check=True, root=checkout) == 1
    assert (checkout / "docs/events.md").read_text() == "old"
    assert run(check=False, root=checkout) == 0
    assert run(check=True, root=checkout) == 0


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert run(check=False, root=tmp_path) == 0
    assert find_stale(render_all(), tmp_path) == []


def test_a_field_that_the_classes_dropped_is_refused_and_the_old_schema_stays(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(checkout / TOUCHPOINT, lambda schema: schema["properties"].update(shoe_size={"type": "integer"}))
    before = (checkout / TOUCHPOINT).read_bytes()
    assert run(check=False, root=checkout) == 2
    assert run(check=True, root=checkout) == 2
    assert (checkout / TOUCHPOINT).read_bytes() == before
    assert "$.shoe_size: removed" in capsys.readouterr().out


def test_a_field_that_became_required_is_refused(checkout: Path) -> None:
    rewrite(checkout / TOUCHPOINT, lambda schema: schema["required"].remove("name"))
    assert run(check=False, root=checkout) == 2


def test_a_field_added_as_optional_is_written(checkout: Path) -> None:
    rewrite(checkout / TOUCHPOINT, lambda schema: schema["properties"].pop("flags"))
    assert run(check=True, root=checkout) == 1
    assert run(check=False, root=checkout) == 0


def test_an_event_that_vanished_from_the_topics_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(checkout / TOUCHPOINT, checkout / SCHEMAS / "rapport.touchpoint.forgotten.v1.json")
    assert run(check=True, root=checkout) == 2
    assert "rapport.touchpoint.forgotten.v1" in capsys.readouterr().out


def test_the_schemas_are_valid_json_schema() -> None:
    for name in EVENT_TYPES:
        jsonschema_rs.meta.validate(msgspec.json.decode((ROOT / SCHEMAS / f"{name}.json").read_bytes()))


def read_asyncapi() -> Any:
    return yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())


def test_the_asyncapi_document_is_valid_by_its_own_specification() -> None:
    specification = msgspec.json.decode((Path(__file__).parent / "vendor" / "asyncapi-3.0.0.json").read_bytes())
    validator = jsonschema_rs.validator_for(specification)
    document = read_asyncapi()
    assert [str(error) for error in validator.iter_errors(document)] == []
    document["operations"]["profile.receive.touchpoints"]["action"] = "juggle"
    assert not validator.is_valid(document)


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = read_asyncapi()

    def follow(node: Any) -> int:
        if isinstance(node, list):
            return sum(map(follow, node))
        if not isinstance(node, dict):
            return 0
        reference = node.get("$ref")
        if reference is not None:
            target = document
            for step in reference.removeprefix("#/").split("/"):
                target = target[step]
        return (reference is not None) + sum(map(follow, node.values()))

    assert follow(document) > len(EVENT_TYPES)


def test_the_asyncapi_document_shows_every_topic_and_every_role() -> None:
    document = read_asyncapi()
    assert set(document["channels"]) == set(TOPICS)
    roles = {
        (o["action"], o["tags"][0]["name"], o["channel"]["$ref"].rpartition("/")[2]) for o in document["operations"].values()
    }
    declared = {("send", service, topic.name) for topic in TOPICS.values() for service in topic.producers}
    assert roles == declared | {("receive", service, topic.name) for topic in TOPICS.values() for service in topic.consumers}
