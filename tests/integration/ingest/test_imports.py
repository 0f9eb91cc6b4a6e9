"""Imports over HTTP on real Kafka and PostgreSQL: shown before they start, paused, resumed, cancelled, exact under kill -9."""

import asyncio
import gzip
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.durable.jobs import JobRunner
from libs.events.codec import decode
from libs.events.envelope import Outgoing
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Publisher
from services.ingest.consumer.imports import sweep_imports
from services.ingest.main import build, create_app
from services.ingest.settings import Settings
from tests.integration.ingest.conftest import STAFF, Ingest, run_ingest
from tests.support.eventually import eventually

MAPPING = """
name: Order Completed
occurred_at: {column: day, format: "%d.%m.%Y", timezone: Europe/Berlin}
identifiers: {email: mail}
properties: {order_id: number, revenue: {column: sum, type: number, decimal: ","}, currency: {value: EUR}}
"""
AT_REST = ("paused", "succeeded", "failed", "cancelled")


def make_sales(count: int, *, seed: str, bad_every: int = 0) -> bytes:
    """A spreadsheet's CSV. Of the bad rows, half name nobody and half have no amount."""
    lines = ["number;day;mail;sum"]
    for number in range(1, count + 1):
        is_bad = bad_every and number % bad_every == 0
        mail = "" if is_bad and number % (2 * bad_every) else f"{seed}-{number % 50}@example.com"
        amount = "much" if is_bad and mail else f"{number},50"
        lines.append(f"{seed}-{number};24.12.2025;{mail};{amount}")
    return ("\r\n".join(lines) + "\r\n").encode("cp1252")


async def send(ingest: Ingest, content: bytes, path: str = "", *, name: str = "sales.csv", **form: Any) -> httpx.Response:
    fields = {"source": "dev-server", "mapping": MAPPING, **form}
    return await ingest.client.post(
        f"/v1/imports{path}",
        data={field: value for field, value in fields.items() if value is not None},
        files={"file": (name, content)},
        headers=STAFF,
    )


async def begin(ingest: Ingest, content: bytes, **form: Any) -> dict[str, Any]:
    response = await send(ingest, content, **form)
    assert response.status_code == 202, response.text
    shown: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/jobs/{shown['id']}"
    return shown


async def get(ingest: Ingest, import_id: str) -> dict[str, Any]:
    response = await ingest.client.get(f"/v1/imports/{import_id}", headers=STAFF)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


async def command(ingest: Ingest, import_id: str, verb: str) -> dict[str, Any]:
    response = await ingest.client.post(f"/v1/imports/{import_id}/{verb}", headers=STAFF)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


async def rest(ingest: Ingest, import_id: str, *, within_s: float = 60) -> dict[str, Any]:
    return await eventually(lambda: get(ingest, import_id), until=lambda shown: shown["state"] in AT_REST, within_s=within_s)


async def load_errors(ingest: Ingest, import_id: str) -> list[dict[str, Any]]:
    response = await ingest.client.get(f"/v1/imports/{import_id}/errors", headers=STAFF)
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def find_logged(ingest: Ingest, seed: str) -> Counter[str]:
    """How often each order of this file stands in the log."""
    logged = await ingest.logged("touchpoints", 1_000_000, within_s=4)
    mine = (json.loads(bytes(decode(record).properties)) for record in logged if f'"{seed}-'.encode() in (record.value or b""))
    return Counter(properties["order_id"] for properties in mine)


@pytest.fixture
def seed() -> str:
    return f"s{uuid4().hex[:8]}"


@pytest.fixture
async def slow(settings: Settings) -> AsyncIterator[Ingest]:
    """Small batches, so that there is a middle to stop in."""
    async with run_ingest(settings.model_copy(update={"import_batch_rows": 20})) as running:
        yield running


async def test_a_spreadsheet_is_shown_and_then_imported_once(ingest: Ingest, seed: str) -> None:
    content = make_sales(1200, seed=seed, bad_every=100)
    preview = (await send(ingest, content, "/preview")).json()
    assert preview["layout"] | {"mapping": None} == {
        "format": "csv", "packing": "none", "encoding": "utf-8", "delimiter": ";", "header": True,
        "columns": ["number", "day", "mail", "sum"], "mapping": None,
    }  # fmt: skip
    assert (preview["rows_estimated"], len(preview["rows"])) == (1200, 10)
    assert preview["rows"][0]["touchpoint"] | {"id": None} == {
        "id": None,
        "name": "Order Completed",
        "occurred_at": "2025-12-23T23:00:00.000Z",
        "identifiers": {"email": f"{seed}-1@example.com"},
        "properties": {"order_id": f"{seed}-1", "revenue": 1.5, "currency": "EUR"},
        "channel": "import",
    }
    assert preview["sample"] == {
        "rows": 1000, "accepted": 990, "rejected": {"no_identifier": 5}, "skipped": {"unreadable_cell": 5},
    }  # fmt: skip
    assert preview["warnings"] == ["10 of the first 1000 rows would not be taken."]

    begun = await begin(ingest, content)
    assert begun["preview"] == preview
    ended = await rest(ingest, begun["id"])
    assert (ended["state"], ended["progress"]) == ("succeeded", {"done": 1200, "total": 1200})
    assert ended["report"] == {
        "rows": 1200, "accepted": 1188, "accepted_rows": 1188, "rejected": {"no_identifier": 6},
        "rejected_rows": {"no_identifier": 6}, "skipped_rows": {"unreadable_cell": 6},
    }  # fmt: skip
    again = await send(ingest, content, name="other-name.csv")
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (200, begun["id"], "succeeded")
    logged = await find_logged(ingest, seed)
    assert (len(logged), set(logged.values())) == (1188, {1})
    job = await ingest.client.get(f"/v1/jobs/{begun['id']}", headers=STAFF)
    assert (job.json()["kind"], job.json()["result"]["accepted"]) == ("import", 1188)


async def test_rows_that_failed_can_be_downloaded_and_are_parked_nowhere_else(ingest: Ingest, seed: str) -> None:
    begun = await begin(ingest, make_sales(40, seed=seed, bad_every=10))
    await rest(ingest, begun["id"])
    errors = await load_errors(ingest, begun["id"])
    assert [(error["row"], error["outcome"], error["reason"]) for error in errors] == [
        (11, "rejected", "no_identifier"),
        (21, "skipped", "unreadable_cell"),
        (31, "rejected", "no_identifier"),
        (41, "skipped", "unreadable_cell"),
    ]
    assert errors[1]["detail"] == "the column `sum` doesn't hold the number that the mapping says"
    assert json.loads(errors[1]["data"]) == [f"{seed}-20", "24.12.2025", f"{seed}-20@example.com", "much"]
    csv = await ingest.client.get(f"/v1/imports/{begun['id']}/errors", params={"format": "csv"}, headers=STAFF)
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert csv.text.splitlines()[0] == "row,outcome,reason,detail,data"
    assert len(csv.text.splitlines()) == 5
    parked = await ingest.client.get("/v1/rejections", params={"reason": "no_identifier"}, headers=STAFF)
    assert not any(seed in item["body"] for item in parked.json()["items"])


async def test_what_cannot_be_imported_is_refused_before_anything_is(ingest: Ingest, seed: str) -> None:
    sales = make_sales(3, seed=seed)
    before = (await ingest.client.get("/v1/imports", headers=STAFF)).json()["items"]
    for content, form, status, code in (
        (b"", {}, 422, "import_file_unreadable"),
        (b"number;day;mail;sum\r\n", {}, 422, "import_file_unreadable"),
        (sales.replace(b";mail;", b";e-mail;"), {}, 422, "import_mapping_invalid"),
        (sales, {"mapping": "name: X\nidentifiers: {email: mail}\npropertees: {}"}, 422, "import_mapping_invalid"),
        (sales, {"mapping": "{"}, 422, "import_mapping_invalid"),
        (sales, {"mapping": "a: &a [x]\nb: *a"}, 422, "import_mapping_invalid"),
        (sales, {"mapping": None}, 422, "import_mapping_invalid"),
        (b"name,email,city\nA,a@x.de,Leipzig\n", {"mapping": None}, 422, "import_mapping_invalid"),
        (sales, {"encoding": "utf-16"}, 422, "import_file_unreadable"),
        (sales, {"source": "nobody"}, 422, "import_source_unusable"),
        (sales, {"source": None}, 422, "import_source_unusable"),
        (sales, {"format": "xlsx"}, 422, "invalid"),
        (sales, {"delimiter": ";;"}, 422, "invalid"),
        (sales, {"max_error_ratio": "2"}, 422, "invalid"),
        (sales, {"colour": "red"}, 422, "invalid"),
        (sales, {"encoding": "x" * 70_000}, 422, "invalid"),
    ):
        response = await send(ingest, content, **form)
        assert (response.status_code, response.json()["code"]) == (status, code), (form, response.text)
    response = await send(ingest, sales, mapping="name: X\nidentifiers: {email: mail}\nproperties: {a: {kolumn: b}}")
    assert response.json()["errors"][0]["pointer"] == "#/mapping/properties"
    assert (await ingest.client.get("/v1/imports", headers=STAFF)).json()["items"] == before


async def test_a_number_without_end_fails_its_row_alone(ingest: Ingest, seed: str) -> None:
    begun = await begin(ingest, make_sales(3, seed=seed).replace(b"2,50", b"9" * 6000))
    assert begun["preview"]["rows"][1]["touchpoint"]["properties"]["revenue"] is None
    assert (await rest(ingest, begun["id"]))["report"]["accepted"] == begun["preview"]["sample"]["accepted"] == 2


async def test_only_a_form_with_one_file_is_taken(ingest: Ingest) -> None:
    post = ingest.client.post
    assert (await post("/v1/imports", json={}, headers=STAFF)).status_code == 415
    assert (await post("/v1/imports", files={"other": b"x"}, headers=STAFF)).status_code == 422
    assert (await post("/v1/imports", files=[("file", b"x"), ("file", b"y")], headers=STAFF)).status_code == 422
    headers = {**STAFF, "Content-Type": "multipart/form-data; boundary=b"}
    cut = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx'
    assert (await post("/v1/imports", content=cut, headers=headers)).status_code == 400
    assert (await post("/v1/imports", content=b"nonsense", headers=headers)).status_code == 400


async def test_it_takes_a_key_with_the_scope_and_an_import_that_is_there(ingest: Ingest) -> None:
    assert (await ingest.client.post("/v1/imports", files={"file": b"x"})).status_code == 401
    for verb, path in (
        ("GET", ""),
        ("GET", "/errors"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ):
        response = await ingest.client.request(verb, f"/v1/imports/{uuid4()}{path}", headers=STAFF)
        assert (response.status_code, response.json()["code"]) == (404, "import_not_found")


async def test_a_file_that_is_too_large_is_413_as_sent_or_unpacked(settings: Settings, seed: str) -> None:
    sales = make_sales(3000, seed=seed)
    async with run_ingest(settings.model_copy(update={"import_max_bytes": 50_000})) as ingest:
        for content in (sales, gzip.compress(sales)):
            response = await send(ingest, content)
            assert (response.status_code, response.json()["code"]) == (413, "import_file_too_large")
            assert "50000 bytes" in response.json()["detail"]


async def test_a_write_key_names_its_source(ingest: Ingest, seed: str) -> None:
    fields = {"mapping": MAPPING}
    files = {"file": ("a.csv", gzip.compress(make_sales(3, seed=seed)))}
    response = await ingest.client.post(
        "/v1/imports", data=fields, files=files, headers={**STAFF, "X-Write-Key": "dev-browser-key"}
    )
    assert (response.json()["source"], response.json()["layout"]["packing"]) == ("dev-web", "gzip")
    assert (await rest(ingest, response.json()["id"]))["report"]["accepted"] == 3


async def test_one_is_paused_in_the_middle_and_goes_on_exactly_there(slow: Ingest, seed: str) -> None:
    begun = await begin(slow, make_sales(4000, seed=seed, bad_every=7))
    await eventually(lambda: get(slow, begun["id"]), until=lambda shown: shown["progress"]["done"] > 0)
    await command(slow, begun["id"], "pause")
    paused = await rest(slow, begun["id"])
    assert paused["state"] == "paused"
    assert 0 < paused["progress"]["done"] < 4000
    assert len(await load_errors(slow, begun["id"])) == paused["progress"]["done"] // 7
    assert (await get(slow, begun["id"]))["report"] == paused["report"]
    assert (await command(slow, begun["id"], "resume"))["state"] == "queued"
    ended = await rest(slow, begun["id"])
    assert (ended["state"], ended["report"]["rows"]) == ("succeeded", 4000)
    errors = await load_errors(slow, begun["id"])
    assert [error["row"] for error in errors] == [number + 1 for number in range(7, 4001, 7)]
    logged = await find_logged(slow, seed)
    assert logged == Counter({f"{seed}-{number}": 1 for number in range(1, 4001) if number % 7})
    assert (await slow.client.post(f"/v1/imports/{begun['id']}/resume", headers=STAFF)).status_code == 409
    assert (await slow.client.post(f"/v1/imports/{begun['id']}/pause", headers=STAFF)).status_code == 409


async def test_one_is_cancelled_in_the_middle_and_may_still_go_on_or_begin_anew(slow: Ingest, seed: str) -> None:
    content = make_sales(3000, seed=seed, bad_every=3)
    begun = await begin(slow, content)
    await eventually(lambda: get(slow, begun["id"]), until=lambda shown: shown["progress"]["done"] > 0)
    assert (await send(slow, content, restart="true")).status_code == 409
    assert (await slow.client.delete(f"/v1/imports/{begun['id']}", headers=STAFF)).status_code == 409
    await command(slow, begun["id"], "cancel")
    cancelled = await rest(slow, begun["id"])
    assert cancelled["state"] == "cancelled"
    assert cancelled["progress"]["done"] < 3000
    await command(slow, begun["id"], "resume")
    assert (await rest(slow, begun["id"]))["report"]["accepted"] == 2000
    logged = await find_logged(slow, seed)
    assert len(logged) == 2000
    assert sum(logged.values()) <= 2000 + 20, "at most the batch in hand stands twice, under the same ids"

    restarted = await send(slow, content, restart="true", start="false")
    assert (restarted.status_code, restarted.json()["state"], restarted.json()["report"]["rows"]) == (202, "paused", 0)
    assert await load_errors(slow, begun["id"]) == []
    await command(slow, begun["id"], "resume")
    assert (await rest(slow, begun["id"]))["report"]["accepted"] == 2000
    assert (await slow.client.delete(f"/v1/imports/{begun['id']}", headers=STAFF)).status_code == 204
    assert (await slow.client.get(f"/v1/imports/{begun['id']}", headers=STAFF)).status_code == 404
    assert (await begin(slow, content, start="false"))["state"] == "paused"


async def test_one_that_waits_is_paused_at_once_and_started_when_asked(ingest: Ingest, seed: str) -> None:
    begun = await begin(ingest, make_sales(5, seed=seed), start="false")
    assert begun["state"] == "paused"
    listed = (await ingest.client.get("/v1/imports", params={"limit": 1}, headers=STAFF)).json()
    assert [item["id"] for item in listed["items"]] == [begun["id"]]
    await command(ingest, begun["id"], "resume")
    assert (await rest(ingest, begun["id"]))["state"] == "succeeded"


async def test_one_where_nearly_everything_fails_stops_itself_and_says_why(slow: Ingest, seed: str) -> None:
    content = make_sales(3000, seed=seed, bad_every=1)
    begun = await begin(slow, content)
    ended = await rest(slow, begun["id"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "import_fails_throughout")
    assert "1000 of the first 1000 rows failed" in ended["error"]["detail"]
    assert len(await load_errors(slow, begun["id"])) == ended["progress"]["done"] == 1000
    assert (await send(slow, content, max_error_ratio="1")).json()["max_error_ratio"] == 1
    await command(slow, begun["id"], "resume")
    assert (await rest(slow, begun["id"]))["progress"]["done"] == 3000


async def test_a_source_that_is_disabled_meanwhile_stops_its_import_and_nothing_is_lost(slow: Ingest, seed: str) -> None:
    await slow.client.post("/v1/sources", json={"id": seed, "name": seed, "kind": "import"}, headers=STAFF)
    begun = await begin(slow, make_sales(4000, seed=seed), source=seed, start="false")
    await slow.client.patch(f"/v1/sources/{seed}", json={"enabled": False}, headers=STAFF)
    await command(slow, begun["id"], "resume")
    ended = await rest(slow, begun["id"])
    assert (ended["state"], ended["error"]["code"], ended["progress"]["done"]) == ("failed", "import_source_unusable", 0)
    await slow.client.patch(f"/v1/sources/{seed}", json={"enabled": True}, headers=STAFF)
    await command(slow, begun["id"], "resume")
    assert (await rest(slow, begun["id"]))["report"]["accepted"] == 4000


async def test_an_import_at_rest_is_forgotten_when_its_time_is_over(ingest: Ingest, seed: str) -> None:
    begun = await begin(ingest, make_sales(20, seed=seed, bad_every=2))
    await rest(ingest, begun["id"])
    stop = asyncio.Event()
    database, clock = ingest.deps.runtime.database, ingest.deps.runtime.clock
    settings = ingest.deps.settings.model_copy(update={"import_kept_days": 7, "import_sweep_s": 0.05})
    sweeping = asyncio.create_task(sweep_imports(database, ingest.deps.api.imports, clock, settings, stop))
    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT count(*) FROM import_chunks") > 0
        await tx.execute("UPDATE jobs SET finished_at = finished_at - $1::interval WHERE state = 'succeeded'", timedelta(days=8))

    async def count() -> list[int]:
        async with database.connection() as connection:
            return [
                await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", begun["id"])
                for table, column in (
                    ("imports", "id"),
                    ("jobs", "id"),
                    ("import_chunks", "import_id"),
                    ("import_errors", "import_id"),
                )
            ]

    await eventually(count, until=lambda counts: counts == [0, 0, 0, 0])
    stop.set()
    await sweeping


@asynccontextmanager
async def api_alone(settings: Settings) -> AsyncIterator[Ingest]:
    async with build(settings) as deps:
        transport = httpx.ASGITransport(app=create_app(deps), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ingest.test", timeout=60) as client:
            yield Ingest(deps, client, settings.platform)


class Switched:
    """A publisher whose log can be away."""

    def __init__(self, inner: Publisher) -> None:
        self._inner = inner
        self.is_away = True
        self.refused = 0

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        if self.is_away:
            self.refused += 1
            raise PublishFailed("no broker answers")
        await self._inner.publish(messages)


async def test_while_the_log_is_away_an_import_waits_and_hears_a_pause(settings: Settings, seed: str) -> None:
    async with api_alone(settings) as ingest:
        runtime = ingest.deps.runtime
        log = Switched(runtime.publisher)
        work = replace(ingest.deps.import_jobs, publisher=log)
        runner = JobRunner(runtime.database, work.kinds(), clock=runtime.clock, poll_s=0.05)
        begun = await begin(ingest, make_sales(100, seed=seed))
        stop = asyncio.Event()
        running = asyncio.create_task(runner.run(stop))
        await eventually(lambda: log.refused, until=lambda refused: refused > 1)
        assert (await get(ingest, begun["id"]))["progress"]["done"] == 0
        await command(ingest, begun["id"], "pause")
        assert (await rest(ingest, begun["id"]))["state"] == "paused"
        log.is_away = False
        await command(ingest, begun["id"], "resume")
        assert (await rest(ingest, begun["id"]))["report"]["accepted"] == 100
        stop.set()
        await running


class TestKilled:
    """The worker is a process of its own, killed with SIGKILL wherever it is."""

    async def start_worker(self, settings: Settings, log: Path) -> asyncio.subprocess.Process:
        platform = settings.platform
        environment = {
            **os.environ,
            "RAPPORT_KAFKA": platform.kafka, "RAPPORT_POSTGRES": platform.postgres, "RAPPORT_ENV": "test",
            "RAPPORT_TOPIC_PREFIX": platform.topic_prefix, "RAPPORT_HOME": str(platform.home),
            "RAPPORT_IDENTITY_KEY": platform.identity_key or "", "INGEST_PORT": "0",
            "INGEST_IMPORT_LEASE_S": "1", "INGEST_IMPORT_BATCH_ROWS": "25",
        }  # fmt: skip
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.ingest.main", "worker", env=environment, stdout=output, stderr=output
            )

    async def test_again_and_again_every_row_counts_once(self, settings: Settings, seed: str, tmp_path: Path) -> None:
        content = gzip.compress(make_sales(6000, seed=seed, bad_every=11))
        async with api_alone(settings) as ingest:
            begun = await begin(ingest, content)
            done, kills = 0, 0
            for _ in range(3):
                worker = await self.start_worker(settings, tmp_path / "worker.log")
                beyond = done + 400
                shown = await eventually(
                    lambda: get(ingest, begun["id"]),
                    until=lambda one, beyond=beyond: one["progress"]["done"] > beyond or one["state"] in AT_REST,
                    within_s=60,
                    pause_s=0.01,
                )
                worker.send_signal(signal.SIGKILL)
                await worker.wait()
                done = (await get(ingest, begun["id"]))["progress"]["done"]
                kills += shown["state"] not in AT_REST
            assert kills == 3, "it was killed in the middle"
            worker = await self.start_worker(settings, tmp_path / "worker.log")
            try:
                ended = await rest(ingest, begun["id"], within_s=90)
            finally:
                worker.send_signal(signal.SIGTERM)
                await worker.wait()
            assert ended["state"] == "succeeded"
            good = {f"{seed}-{number}" for number in range(1, 6001) if number % 11}
            assert (ended["report"]["rows"], ended["report"]["accepted"]) == (6000, len(good))
            errors = await load_errors(ingest, begun["id"])
            assert [error["row"] for error in errors] == [number + 1 for number in range(11, 6001, 11)]
            records = await ingest.logged("touchpoints", 1_000_000, within_s=6)
            mine = [decode(record) for record in records if f'"{seed}-'.encode() in (record.value or b"")]
            orders = [json.loads(bytes(event.properties))["order_id"] for event in mine]
            assert set(orders) == good
            assert len({event.id for event in mine}) == len(good), "what was published twice has one id"
            assert worker.returncode == 0
