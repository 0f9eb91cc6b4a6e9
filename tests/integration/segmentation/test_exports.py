"""Members written every so often: to files, to a receiver; what failed is visible."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from standardwebhooks import Webhook

from libs.durable.jobs import JobRunner, PostgresJobs
from libs.durable.webhooks import PostgresWebhooks, WebhookClient
from services.segmentation.adapters.export_files import write_file
from services.segmentation.consumer import Exports
from tests.builders.changes import make_touchpoint
from tests.support.receiver import run_receiver

from .conftest import Customer, World

BUYERS = {"did": "Order Completed"}


@pytest.fixture
async def exports(world: World, tmp_path: Path) -> AsyncIterator[Exports]:
    async with WebhookClient(allow_private=True, timeout_s=5) as client:
        yield Exports(world.database, world.seg, PostgresJobs(), PostgresWebhooks(), client, tmp_path / "out")


def list_files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def run_due(exports: Exports, world: World) -> None:
    await exports.queue_due()
    runner = JobRunner(world.database, exports.kinds(), clock=world.clock)
    while await runner.run_next():
        pass


async def schedule(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    made = await api.post("/v1/exports", json={"segment": "s", "every": "P1D", **fields})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


async def last_run(api: httpx.AsyncClient, export: dict[str, Any]) -> dict[str, Any]:
    shown = (await api.get(f"/v1/exports/{export['id']}")).json()
    run: dict[str, Any] = shown["runs"][0]
    return run


async def test_a_file_a_day(api: httpx.AsyncClient, world: World, exports: Exports, tmp_path: Path) -> None:
    await world.define(BUYERS, "s")
    ada = Customer(world)
    await ada.does(make_touchpoint("Order Completed"), snapshot={"traits": {"plan": "gold"}})
    export = await schedule(api, columns=["profile_id", "trait.plan"], first_at="2026-03-01T18:00:00Z")
    await run_due(exports, world)
    assert (await api.get(f"/v1/exports/{export['id']}")).json()["runs"] == []
    world.clock.advance(timedelta(hours=6))
    await run_due(exports, world)
    await run_due(exports, world)
    [file] = (tmp_path / "out").iterdir()
    assert file.name == f"s-20260301T180000Z-{export['id']}.csv"
    assert file.read_bytes() == f"profile_id,trait.plan\r\n{ada.id},gold\r\n".encode()
    assert file.stat().st_mode & 0o077 == 0
    run = await last_run(api, export)
    assert (run["state"], run["result"]["file"], run["result"]["size_bytes"]) == ("succeeded", file.name, file.stat().st_size)

    # Three days away: one run for all that was missed, then the rhythm goes on.
    world.clock.advance(timedelta(days=3))
    await run_due(exports, world)
    shown = (await api.get(f"/v1/exports/{export['id']}")).json()
    assert (len(shown["runs"]), shown["next_at"]) == (2, "2026-03-05T18:00:00.000Z")
    assert {one.name for one in (tmp_path / "out").iterdir()} == {
        f"s-{day}T180000Z-{export['id']}.csv" for day in ("20260301", "20260302")
    }


async def test_two_exports_of_one_instant_write_two_files(
    api: httpx.AsyncClient, world: World, exports: Exports, tmp_path: Path
) -> None:
    await world.define(BUYERS, "s")
    for columns in (["profile_id"], ["profile_id", "since"]):
        await schedule(api, columns=columns, first_at="2026-03-01T12:00:00Z")
    await run_due(exports, world)
    headers = {file.read_bytes() for file in list_files(tmp_path / "out")}
    assert headers == {b"profile_id\r\n", b"profile_id,since\r\n"}


async def test_a_file_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def break_off() -> AsyncIterator[bytes]:
        yield b"profile_id\r\n"
        assert len(list_files(tmp_path)) == 1
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await write_file(tmp_path, "s.csv", break_off())
    assert list_files(tmp_path) == []


async def test_posted_signed_and_tried_again(api: httpx.AsyncClient, world: World, exports: Exports) -> None:
    await world.define(BUYERS, "s")
    ada = Customer(world)
    await ada.does(make_touchpoint("Order Completed"))
    async with run_receiver() as receiver:
        webhook = (await api.post("/v1/webhooks", json={"url": receiver.url})).json()
        export = await schedule(api, format="ndjson", columns=["profile_id"], webhook=webhook["id"])
        receiver.answers = [500, 200]
        await run_due(exports, world)
        assert (await last_run(api, export))["state"] == "queued"
        async with world.database.transaction() as tx:
            await tx.execute("UPDATE jobs SET lease_until = NULL")
        await run_due(exports, world)
    run = await last_run(api, export)
    assert (run["state"], run["result"]["status"]) == ("succeeded", 200)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"export:{run['job']}"
    assert second.body == f'{{"profile_id":"{ada.id}"}}\n'.encode()
    assert second.headers["content-type"] == "application/x-ndjson"
    assert second.headers["rapport-segment"] == "s"
    expected = Webhook(webhook["secret"]).sign(second.headers["webhook-id"], world.clock.now(), second.body.decode())
    assert second.headers["webhook-signature"] == expected


async def test_what_cant_be_written_says_why(api: httpx.AsyncClient, world: World, exports: Exports, tmp_path: Path) -> None:
    await world.define(BUYERS, "s")
    export = await schedule(api)
    (tmp_path / "out").write_text("a file where the folder should be")
    await run_due(exports, world)
    assert (await last_run(api, export))["error"] == {
        "code": "export_failed",
        "detail": "The file can't be written: FileExistsError.",
    }
    (tmp_path / "out").unlink()
    world.clock.advance(timedelta(minutes=1))
    accepted = await api.post(f"/v1/exports/{export['id']}/run")
    assert accepted.status_code == 202
    await run_due(exports, world)
    assert (await api.get(accepted.headers["location"])).json()["state"] == "succeeded"
    await world.delete("s")
    world.clock.advance(timedelta(minutes=1))
    await api.post(f"/v1/exports/{export['id']}/run")
    await run_due(exports, world)
    assert (await last_run(api, export))["error"]["detail"] == "There is no segment s any more."


async def test_only_the_last_hundred_runs_are_remembered(api: httpx.AsyncClient, world: World, exports: Exports) -> None:
    await world.define(BUYERS, "s")
    export = await schedule(api)
    await run_due(exports, world)
    first = (await last_run(api, export))["job"]
    async with world.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO export_runs (export_id, job_id, due_at)"
            " SELECT $1, gen_random_uuid(), $2::timestamptz + n * interval '1 minute' FROM generate_series(1, 100) AS n",
            UUID(export["id"]),
            world.clock.now(),
        )
    assert (await api.get(f"/v1/jobs/{first}")).status_code == 200
    world.clock.advance(timedelta(days=1))
    await run_due(exports, world)
    async with world.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM export_runs") == 100
    assert (await api.get(f"/v1/jobs/{first}")).status_code == 404


async def test_what_is_refused(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    for pointer, fields in {
        "#/every": {"every": "PT1M"},
        "#/columns": {"columns": ["nonsense"]},
        "#/first_at": {"first_at": "soon"},
        "#/webhook": {"webhook": "00000000-0000-0000-0000-000000000000"},
    }.items():
        refused = await api.post("/v1/exports", json={"segment": "s", "every": "P1D", **fields})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await api.post("/v1/exports", json={"segment": "none", "every": "P1D"})).status_code == 404
    reader = {"Authorization": "Bearer reader"}
    assert (await api.post("/v1/exports", json={"segment": "s", "every": "P1D"}, headers=reader)).status_code == 403
    export = await schedule(api)
    assert [one["id"] for one in (await api.get("/v1/exports")).json()["items"]] == [export["id"]]
    assert (await api.delete(f"/v1/exports/{export['id']}")).status_code == 204
    assert (await api.get(f"/v1/exports/{export['id']}")).json()["code"] == "export_not_found"
