"""Edges told over HTTP to a real receiver: signed, repeated, disabled, resumed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from standardwebhooks import Webhook

from libs.durable.webhooks import PostgresWebhooks, WebhookClient, WebhookLane
from libs.durable.webhooks.model import RETRY_AFTER_S
from tests.builders.changes import make_touchpoint
from tests.support.eventually import eventually
from tests.support.receiver import Received, Receiver, run_receiver

from .conftest import Customer, World

BUYERS = {"did": "Order Completed"}


def order(minute: int = 0) -> Any:
    return make_touchpoint("Order Completed", minute=minute)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with run_receiver() as running:
        yield running


@pytest.fixture
async def lane(world: World) -> AsyncIterator[WebhookLane]:
    async with WebhookClient(allow_private=True, timeout_s=5) as client:
        yield WebhookLane(world.database, world.clock, PostgresWebhooks(), client, poll_s=0.01)


async def make_webhook(api: httpx.AsyncClient, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    made = await api.post("/v1/webhooks", json={"url": receiver.url, **fields})
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


def is_signed_by(got: Received, secret: str, world: World) -> bool:
    expected = Webhook(secret).sign(got.headers["webhook-id"], world.clock.now(), got.body.decode())
    return expected in got.headers["webhook-signature"].split(" ")


async def list_deliveries(api: httpx.AsyncClient, webhook: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=params)).json()["items"]
    return items


async def test_an_edge_is_told_once_signed_and_named(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers", "Buyers")
    webhook = await make_webhook(api, receiver)
    ada = Customer(world)
    [edge] = await ada.does(order())
    assert await lane.serve_due() == 1
    [got] = receiver.received
    assert got.headers["webhook-id"] == f"buyers:{ada.id}:1"
    assert is_signed_by(got, webhook["secret"], world)
    assert got.json["type"] == "segment.entered"
    assert got.json["timestamp"] == "2026-03-01T12:00:00.000Z"
    assert (got.json["data"]["profile_id"], got.json["data"]["seq"]) == (str(ada.id), edge.seq)
    assert got.json["data"]["segment_name"] == "Buyers"
    assert await lane.serve_due() == 0
    [delivery] = await list_deliveries(api, webhook)
    assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("delivered", 1, 204)
    shown = (await api.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert shown["deliveries"] == {"pending": 0, "delivered": 1, "failed": 0}
    assert "secret" not in shown


async def test_only_what_was_asked_for_is_told(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    await world.define({"did": "Order Completed", "within": "P1D"}, "recent")
    await make_webhook(api, receiver, segments=["recent"], events=["segment.exited"])
    await Customer(world).does(order())
    world.clock.advance(timedelta(days=2))
    await world.fire()
    await lane.serve_due()
    assert [(got.json["type"], got.json["data"]["cause"]) for got in receiver.received] == [("segment.exited", "time")]


async def test_a_back_fill_is_told_to_whom_it_isnt_too_much(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await make_webhook(api, receiver, causes=["touchpoint", "time"])
    await Customer(world).does(order())
    await world.define(BUYERS, "buyers")
    await Customer(world).does(order(1))
    assert await lane.serve_due() == 1
    assert receiver.received[0].json["data"]["cause"] == "touchpoint"


async def test_what_isnt_committed_is_never_told(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers", fill=False)
    await make_webhook(api, receiver)
    await Customer(world).does(make_touchpoint("Page Viewed"))

    async def fail(_tx: Any, _messages: Any) -> Any:
        raise ConnectionError("gone")

    await Customer(world).does(order())
    receiver_sees = await lane.serve_due()
    world.outbox.stage = fail  # type: ignore[method-assign]
    await world.change("buyers", {"not": BUYERS})
    await world.make_runner().run_next()
    assert await lane.serve_due() == 0
    assert receiver_sees == len(receiver.received) == 1


async def test_a_failure_is_repeated_with_the_same_id_and_growing_pauses(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    webhook = await make_webhook(api, receiver)
    receiver.answers = [500, 503, 200]
    await Customer(world).does(order())
    for pause_s in (0, RETRY_AFTER_S[0], RETRY_AFTER_S[1]):
        if pause_s:
            assert await lane.serve_due() == 0, "not before its pause is over"
        world.clock.advance(timedelta(seconds=pause_s * 1.1))
        assert await lane.serve_due() == 1
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
    assert len({got.headers["webhook-timestamp"] for got in receiver.received}) == 3
    [delivery] = await list_deliveries(api, webhook)
    assert (delivery["state"], delivery["attempts"], delivery["last_error"]) == ("delivered", 3, None)
    assert (await api.get(f"/v1/webhooks/{webhook['id']}")).json()["failing_since"] is None


async def test_a_sender_that_dies_leaves_it_to_the_next(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    webhook = await make_webhook(api, receiver)
    await Customer(world).does(order())
    async with world.database.transaction() as tx:
        [endpoint] = await lane.webhooks.load_all(tx)
        [claimed] = await lane.webhooks.claim(tx, endpoint.id, world.clock.now(), limit=8, lease=timedelta(minutes=2))
    assert claimed.attempts == 1
    assert await lane.serve_due() == 0
    world.clock.advance(timedelta(minutes=2))
    assert await lane.serve_due() == 1
    assert (await list_deliveries(api, webhook))[0]["attempts"] == 2


async def test_an_endpoint_that_fails_for_days_is_disabled_and_resumed_by_hand(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    webhook = await make_webhook(api, receiver)
    receiver.answers = [500]
    await Customer(world).does(order())
    for _ in range(len(RETRY_AFTER_S) + 1):
        await lane.serve_due()
        world.clock.advance(timedelta(hours=27))
    shown = (await api.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert (shown["state"], shown["disabled_reason"]) == ("disabled", "failing")
    tried = len(receiver.received)
    await Customer(world).does(order())
    assert await lane.serve_due() == 0
    assert len(receiver.received) == tried

    receiver.answers = [200]
    resumed = (await api.post(f"/v1/webhooks/{webhook['id']}/resume")).json()
    assert (resumed["state"], resumed["deliveries"]["pending"]) == ("active", 1)
    await Customer(world).does(order())
    assert await lane.serve_due() == 2
    assert {one["state"] for one in await list_deliveries(api, webhook)} == {"delivered"}


async def test_an_endpoint_that_is_gone_is_disabled_at_once(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    webhook = await make_webhook(api, receiver)
    receiver.answers = [410]
    await Customer(world).does(order())
    await lane.serve_due()
    assert (await api.get(f"/v1/webhooks/{webhook['id']}")).json()["disabled_reason"] == "gone"


async def test_while_it_fails_one_delivery_at_a_time_tries_it(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    await make_webhook(api, receiver)
    receiver.answers = [500]
    for _ in range(20):
        await Customer(world).does(order())
    assert await lane.serve_due() == 8
    world.clock.advance(timedelta(seconds=3))
    assert await lane.serve_due() == 1
    receiver.answers = [200]
    world.clock.advance(timedelta(minutes=10))
    assert await lane.serve_due() == 20


async def test_a_delivery_is_given_up_in_the_end(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    webhook = await make_webhook(api, receiver)
    await Customer(world).does(order())
    async with world.database.transaction() as tx:
        await tx.execute("UPDATE webhook_deliveries SET attempts = $1", len(RETRY_AFTER_S))
    receiver.answers = [400]
    await lane.serve_due()
    [delivery] = await list_deliveries(api, webhook, state="failed")
    assert (delivery["last_error"], delivery["last_status"], delivery["next_attempt_at"]) == ("status", 400, None)
    assert await list_deliveries(api, webhook, state="pending") == []


async def test_a_new_secret_signs_beside_the_old_one_for_a_day(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    webhook = await make_webhook(api, receiver)
    rotated = (await api.post(f"/v1/webhooks/{webhook['id']}/secret")).json()
    assert rotated["previous_valid_until"] == "2026-03-02T12:20:00.000Z"
    for hours, old_signs in ((0, True), (25, False)):
        world.clock.advance(timedelta(hours=hours))
        test = await api.post(f"/v1/webhooks/{webhook['id']}/test")
        assert test.status_code == 202
        await lane.serve_due()
        got = receiver.received[-1]
        assert (got.headers["webhook-id"], got.json["type"]) == (test.json()["message_id"], "webhook.test")
        assert is_signed_by(got, rotated["secret"], world)
        assert is_signed_by(got, webhook["secret"], world) is old_signs


async def test_a_slow_endpoint_delays_no_other(world: World, api: httpx.AsyncClient, lane: WebhookLane) -> None:
    stuck = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stuck.wait()
        writer.close()

    slow = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with slow, run_receiver() as quick:
        await world.define(BUYERS, "buyers")
        await api.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}/"})
        await make_webhook(api, quick)
        stop = asyncio.Event()
        running = asyncio.create_task(lane.run(stop))
        for turn in range(1, 4):
            await Customer(world).does(order())
            await eventually(lambda turn=turn: len(quick.received) == turn)
        stop.set()
        await running
        stuck.set()


async def test_an_endpoint_whose_sending_breaks_stops_no_other(world: World, api: httpx.AsyncClient, lane: WebhookLane) -> None:
    async with run_receiver() as broken, run_receiver() as well:
        await world.define(BUYERS, "buyers")
        first, _ = await make_webhook(api, broken), await make_webhook(api, well)
        async with world.database.transaction() as tx:
            await tx.execute("UPDATE webhook_endpoints SET secret = 'whsec_x' WHERE id = $1", UUID(first["id"]))
        stop = asyncio.Event()
        running = asyncio.create_task(lane.run(stop))

        async def is_resting() -> bool:
            async with world.database.connection() as connection:
                endpoint = await lane.webhooks.find(connection, UUID(first["id"]))
            return endpoint is not None and endpoint.resting_until == world.clock.now() + timedelta(minutes=5)

        await Customer(world).does(order())
        await eventually(is_resting)
        await Customer(world).does(order())
        await eventually(lambda: len(well.received) == 2)
        stop.set()
        await running
        assert broken.received == []


async def test_an_edge_told_while_its_webhook_is_deleted_is_told_to_nobody(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    await world.define(BUYERS, "buyers")
    webhook = await make_webhook(api, receiver)
    async with world.database.transaction() as deleting:
        await lane.webhooks.delete(deleting, UUID(webhook["id"]))
        telling = asyncio.create_task(Customer(world).does(order()))
        await eventually(world.is_anybody_waiting)
    assert [edge.segment_id for edge in await telling] == ["buyers"]


async def test_a_deleted_webhook_goes_with_all_that_was_on_its_way(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    webhook, other = await make_webhook(api, receiver), await make_webhook(api, receiver)
    async with world.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO webhook_deliveries (endpoint_id, message_id, type, body, state, attempts, due_at, created_at)"
            " SELECT e, n, 't', '', 'pending', 0, now(), now() FROM unnest($1::uuid[]) AS e, generate_series(1, 10001) AS n",
            [UUID(webhook["id"]), UUID(other["id"])],
        )
        assert await lane.webhooks.begin_delete(tx, UUID(webhook["id"]))
        assert [await lane.webhooks.forget(tx, UUID(webhook["id"])) for _ in range(3)] == [10_000, 1, 0]
    assert (await api.delete(f"/v1/webhooks/{webhook['id']}")).status_code == 204
    assert [one["id"] for one in (await api.get("/v1/webhooks")).json()["items"]] == [other["id"]]
    async with world.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 10_001


async def test_what_is_too_old_is_forgotten_however_much_it_is(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    webhook = await make_webhook(api, receiver)
    async with world.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO webhook_deliveries (endpoint_id, message_id, type, body, state, attempts, created_at)"
            " SELECT $1, n, 't', '', 'delivered', 1, $2::timestamptz + n * interval '1 ms' FROM generate_series(1, 10002) AS n",
            UUID(webhook["id"]),
            world.clock.now(),
        )
        assert await lane.webhooks.purge(tx, world.clock.now() + timedelta(minutes=1)) == 10_000
    world.clock.advance(timedelta(days=30, milliseconds=10_002))
    await lane.purge()
    assert [one["message_id"] for one in await list_deliveries(api, webhook)] == ["10002"]


async def test_what_is_refused(api: httpx.AsyncClient, receiver: Receiver) -> None:
    for url in ("ftp://example.com/", "https://u:p@example.com/", "nonsense"):
        refused = await api.post("/v1/webhooks", json={"url": url})
        assert (refused.status_code, refused.json()["code"]) == (422, "webhook_url_refused")
        assert refused.json()["errors"][0]["pointer"] == "#/url"
    unknown = await api.post("/v1/webhooks", json={"url": receiver.url, "segments": ["none"]})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "#/segments/0")
    assert (await api.post("/v1/webhooks", json={"url": receiver.url, "events": ["x"]})).status_code == 422
    nobody = "/v1/webhooks/00000000-0000-0000-0000-000000000000"
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("POST", "/secret"),
        ("POST", "/resume"),
        ("GET", "/deliveries"),
    ):
        assert (await api.request(method, nobody + path)).json()["code"] == "webhook_not_found"
    reader = {"Authorization": "Bearer reader"}
    assert (await api.post("/v1/webhooks", json={"url": receiver.url}, headers=reader)).status_code == 403
    key = {"Idempotency-Key": "k"}
    first, again = [await api.post("/v1/webhooks", json={"url": receiver.url}, headers=key) for _ in range(2)]
    assert first.json() == again.json()
    for _ in range(49):
        await make_webhook(api, receiver)
    assert (await api.post("/v1/webhooks", json={"url": receiver.url})).json()["code"] == "too_many_webhooks"
    assert len((await api.get("/v1/webhooks")).json()["items"]) == 50
    assert (await api.delete(f"/v1/webhooks/{first.json()['id']}")).status_code == 204


async def test_who_only_reads_sees_no_more_of_the_url_than_its_host(api: httpx.AsyncClient) -> None:
    url = "https://hooks.example.com/services/T0/a-secret?key=x"
    made = (await api.post("/v1/webhooks", json={"url": url})).json()
    for path in ("", f"/{made['id']}"):
        for key, shown in (("staff", url), ("reader", "https://hooks.example.com/***")):
            got = (await api.get(f"/v1/webhooks{path}", headers={"Authorization": f"Bearer {key}"})).json()
            assert got.get("items", [got])[0]["url"] == shown


async def test_deliveries_come_in_pages_and_are_forgotten(
    api: httpx.AsyncClient, world: World, receiver: Receiver, lane: WebhookLane
) -> None:
    webhook = await make_webhook(api, receiver)
    queued = []
    for _ in range(5):
        queued.append((await api.post(f"/v1/webhooks/{webhook['id']}/test")).json()["message_id"])
        world.clock.advance(timedelta(seconds=1))
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await api.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=params)).json()
        seen += [one["message_id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == queued[::-1]
    world.clock.advance(timedelta(days=30))
    await lane.purge()
    assert await list_deliveries(api, webhook) == []
