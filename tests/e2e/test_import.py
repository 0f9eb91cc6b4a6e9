"""Real files: what they mean, that a second import changes nothing, and that a replay from offset 0 doesn't either."""

import asyncio
import json
import signal
import subprocess
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.visitor import Visitor
from tests.support.eventually import eventually
from tests.support.platform import ROOT, RunningTestPlatform, run_platform

SMALL = (
    b" customer_id  date number_of_cds  dollar_value\r\n 90001 19970101  1   11.77\r\n 90002 19970112  1   12.00\r\n"
    b" 90002 19970112  5   77.00\r\n 90004 19970101  2   29.33\r\n 90004 19970101  2   29.33\r\n"
)


async def read_all(visitor: Visitor) -> list[dict[str, Any]]:
    """All views, as a subscriber that joins late gets them."""
    answer = await visitor.ask("profile", "/v1/profiles/stream")
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines() if line]


def sum_up(views: list[dict[str, Any]], kind: str) -> tuple[int, int, int]:
    """Profiles, orders and money (minor units) of those who have an identifier of this kind."""
    mine = [view for view in views if any(one["kind"] == kind for one in view["identifiers"])]
    orders = [view["aggregates"]["orders"] for view in mine]
    return len(mine), sum(one["count"] for one in orders), sum(sum(one["gross_minor"].values()) for one in orders)


async def test_a_file_imported_twice_counts_once(visitor: Visitor, platform: RunningTestPlatform, tmp_path: Path) -> None:
    file = tmp_path / "small.txt"
    file.write_bytes(SMALL)
    report = json.loads(platform.rapport("import", str(file), "--format", "cdnow", "--json").stdout)
    assert (report["accepted"], report["rejected"]) == (5, {})
    await eventually(lambda: read_all(visitor), until=lambda views: sum_up(views, "cdnow") == (3, 5, 15943))
    again = json.loads(platform.rapport("import", str(file), "--format", "cdnow", "--json").stdout)
    assert again == report, "the same import is found"
    restarted = json.loads(platform.rapport("import", str(file), "--format", "cdnow", "--restart", "--json").stdout)
    assert restarted == report
    view = await visitor.read("profile", "/v1/profiles/cdnow:90004")
    assert view["aggregates"]["orders"]["gross_minor"] == {"USD": 5866}
    assert view["aggregates"]["orders"]["occasions"] == 1


async def test_a_spreadsheet_is_shown_imported_by_its_mapping_and_its_bad_rows_written_out(
    visitor: Visitor, platform: RunningTestPlatform, tmp_path: Path, name: str
) -> None:
    file, mapping, errors = tmp_path / "sales.csv", tmp_path / "map.yaml", tmp_path / "errors.csv"
    file.write_bytes(f"number;mail;sum\r\n1;{name}@example.com;1.019,90\r\n2;{name}@example.com;a lot\r\n".encode("utf-8-sig"))
    mapping.write_text(
        "name: Order Completed\nidentifiers: {email: mail}\n"
        "properties: {order_id: number, revenue: {column: sum, type: number, decimal: ','}, currency: {value: EUR}}\n"
    )
    options = ("import", str(file), "--mapping", str(mapping))
    preview = json.loads(platform.rapport(*options, "--dry-run", "--json").stdout)
    assert (preview["layout"]["delimiter"], preview["layout"]["encoding"]) == (";", "utf-8-sig")
    assert [row["reason"] for row in preview["rows"]] == [None, "unreadable_cell"]
    done = platform.rapport(*options, "--errors", str(errors))
    assert "succeeded" in done.stdout
    assert "1 of the first 2 rows would not be taken" in done.stderr
    assert [line.split(",")[:3] for line in errors.read_text().splitlines()[1:]] == [["3", "skipped", "unreadable_cell"]]
    await eventually(lambda: read_all(visitor), until=lambda views: f"email:{name}@example.com" in list_identifiers(views))
    view = await visitor.read("profile", f"/v1/profiles/email:{name}@example.com")
    assert view["aggregates"]["orders"]["gross_minor"] == {"EUR": 101990}
    wrong = platform.rapport("import", str(file), "--json", check=False)
    assert wrong.returncode == 1
    assert "Without a mapping" in wrong.stderr


async def test_an_interrupted_import_is_paused_and_the_same_command_goes_on(
    visitor: Visitor, platform: RunningTestPlatform, tmp_path: Path, name: str
) -> None:
    file = tmp_path / f"{name}.csv"
    file.write_text("name,user_id\n" + "".join(f"Store Visited,{name}-{number % 20}\n" for number in range(30_000)))
    command = [sys.executable, "-m", "cli.main", "import", str(file), "--json"]
    first = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=platform.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Whoever runs the tests in the background has Ctrl-C ignored, and hands that down.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )

    async def find() -> dict[str, Any]:
        items = (await visitor.ask("ingest", "/v1/imports")).json()["items"]
        return next((item for item in items if item["file"]["name"] == file.name), {})

    try:
        await eventually(find, until=lambda one: one and one["state"] == "running", within_s=60)
    finally:
        first.send_signal(signal.SIGINT)
        _, said = await asyncio.wait_for(first.communicate(), 60)
    assert first.returncode == 130, said
    assert b"The same command goes on" in said
    paused = await eventually(find, until=lambda one: one["state"] == "paused")
    assert paused["progress"]["done"] < 30_000
    second = platform.rapport("import", str(file), "--json")
    assert "of an earlier run" in second.stderr
    report = json.loads(second.stdout)
    assert (report["state"], report["accepted"]) == ("succeeded", 30_000)
    assert "nothing is to be done" in platform.rapport("import", str(file), "--json").stderr


def list_identifiers(views: list[dict[str, Any]]) -> list[str]:
    return [f"{one['kind']}:{one['value']}" for view in views for one in view["identifiers"]]


@pytest.mark.full
@pytest.mark.timeout(1200)
async def test_cdnow_in_full_gives_the_published_figures_again_and_again(shared_data: Path, tmp_path: Path) -> None:
    master = shared_data / "cdnow" / "CDNOW_master.txt"
    published = (23_570, 69_659, int(Decimal("2500315.63") * 100))
    with run_platform(tmp_path / "home") as platform:
        async with httpx.AsyncClient(timeout=120) as client:
            visitor = Visitor(platform.urls, client)
            for _ in range(2):
                platform.rapport("import", str(master), "--format", "cdnow", "--json", timeout_s=600)
                await eventually(
                    lambda: read_all(visitor), until=lambda views: sum_up(views, "cdnow") == published, within_s=300, pause_s=2
                )
            before = {view["id"]: view["version"] for view in await read_all(visitor)}
            # The group must be empty for the stock tool to move it: the profile service pauses, is reset, and reads all again.
            platform.rapport("down")
            platform.rapport("up", "--detach", "--only", "kafka,postgres,redis")
            platform.rapport(
                "kafka",
                "consumer-groups",
                "--group",
                "profile",
                "--topic",
                "touchpoints",
                "--reset-offsets",
                "--to-earliest",
                "--execute",
            )
            platform.rapport("down")
            platform.rapport("up", "--detach", timeout_s=240)
            visitor = Visitor(platform.urls, client)
            status = await eventually(
                lambda: json.loads(platform.rapport("status", "--json", check=False).stdout or "{}"), until=bool, within_s=60
            )
            assert status
            views = await read_all(visitor)
            assert sum_up(views, "cdnow") == published
            assert {view["id"]: view["version"] for view in views} == before, "a replay made new versions"
