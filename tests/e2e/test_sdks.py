"""SDKs nobody here wrote, each in an environment of its own, with nothing changed but the host."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.packages import find_node, find_uv, install_node_sdk, run
from tests.e2e.visitor import Visitor
from tests.support.eventually import eventually

SCRIPTS = Path(__file__).parent / "sdks"
EXPECTED = ("Identified", "Order Completed", "Page Viewed", "Screen Viewed", "Grouped", "Aliased")


async def assert_everything_arrived_once(visitor: Visitor, name: str) -> None:
    async def names() -> Counter[str]:
        answer = await visitor.ask("profile", f"/v1/profiles/user_id:{name}/timeline", limit="100")
        return Counter(item["name"] for item in answer.json()["items"]) if answer.status_code == 200 else Counter()

    seen = await eventually(names, until=lambda found: set(EXPECTED) <= set(found), within_s=30)
    assert max(seen.values()) == 1, f"something came twice: {seen}"
    view = await visitor.read("profile", f"/v1/profiles/user_id:{name}")
    assert view["traits"]["email"] == f"{name}@mail.example"
    assert view["traits"]["first_name"] == "Ada"
    assert view["aggregates"]["orders"]["gross_minor"] == {"EUR": 2550}
    assert [account["id"] for account in view["accounts"]] == [f"g-{name}"]
    other = await eventually(
        lambda: visitor.ask("profile", f"/v1/profiles/anonymous_id:d-{name}/timeline"),
        until=lambda answer: answer.status_code == 200,
    )
    assert [item["name"] for item in other.json()["items"]] == ["Product Viewed"]


@pytest.mark.parametrize("version", ["~=2.2.0", "==2.3.4", ""], ids=["2.2", "2.3.4", "newest"])
async def test_segment_analytics_python(visitor: Visitor, name: str, version: str) -> None:
    package = f"segment-analytics-python{version}"
    script = str(SCRIPTS / "segment_python.py")
    await run(find_uv(), "run", "--no-project", "--quiet", "--with", package, "python", script, visitor.urls["ingest"], name)
    await assert_everything_arrived_once(visitor, name)


async def test_rudder_sdk_python(visitor: Visitor, name: str) -> None:
    script = str(SCRIPTS / "rudder_python.py")
    await run(
        find_uv(), "run", "--no-project", "--quiet", "--with", "rudder-sdk-python", "python", script, visitor.urls["ingest"], name
    )
    await assert_everything_arrived_once(visitor, name)


@pytest.mark.parametrize(
    ("package", "file"),
    [("@segment/analytics-node", "segment_node.mjs"), ("@rudderstack/rudder-sdk-node", "rudder_node.mjs")],
    ids=["segment", "rudder"],
)
async def test_node_sdks(visitor: Visitor, name: str, package: str, file: str) -> None:
    folder = await install_node_sdk(package)
    script = folder / file
    shutil.copyfile(SCRIPTS / file, script)
    await run(*await find_node(), str(script), visitor.urls["ingest"], name, cwd=folder)
    await assert_everything_arrived_once(visitor, name)


CAPTURES = {file.stem: file.read_text() for file in sorted((Path(__file__).parent / "captures").glob("*.json"))}


@pytest.mark.parametrize("capture", CAPTURES)
async def test_sdks_of_other_languages_by_what_they_put_on_the_wire(visitor: Visitor, name: str, capture: str) -> None:
    """What the SDK sent for the same seven calls, recorded once; only names and the time of sending are put in anew."""
    now = datetime.now(UTC).isoformat()
    for request in json.loads(CAPTURES[capture].replace("NAME", name).replace("SENT_AT", now)):
        body = json.dumps(request["body"]).encode()
        answer = await visitor.client.post(f"{visitor.urls['ingest']}{request['path']}", content=body, headers=request["headers"])
        assert (answer.status_code, answer.content) == (200, b'{"success": true}')
    await assert_everything_arrived_once(visitor, name)
