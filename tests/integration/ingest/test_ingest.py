"""Acknowledged is durable, refused is parked, and people can see to sources: on real Kafka and PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.ingest.conftest import SERVER, STAFF, Ingest
from tests.support.eventually import eventually

UNGOVERNED = {"allowed_origins": [], "max_events_per_s": None, "burst_events": None, "ip_policy": "none"}


def make_batch(count: int, prefix: str) -> dict[str, Any]:
    return {
        "batch": [
            {"type": "track", "event": "Product Viewed", "userId": f"{prefix}-{n % 7}", "messageId": f"{prefix}-{n}"}
            for n in range(count)
        ]
    }


async def test_what_was_acknowledged_is_in_the_log(ingest: Ingest) -> None:
    prefix = uuid4().hex[:8]
    headers = {**SERVER, "Prefer": "return=representation"}
    answers = await asyncio.gather(
        *(ingest.client.post("/v1/batch", json=make_batch(50, f"{prefix}{n}"), headers=headers) for n in range(8)),
        *(
            ingest.client.post("/v1/track", json={"userId": "u", "event": "E", "messageId": f"{prefix}-s{n}"}, headers=headers)
            for n in range(40)
        ),
    )
    acknowledged = {accepted["id"] for answer in answers for accepted in answer.json()["accepted"]}
    assert len(acknowledged) == 8 * 50 + 40
    logged = await ingest.logged("touchpoints", len(acknowledged))
    assert acknowledged <= {record.headers["ce_id"].decode() for record in logged}


async def test_touchpoints_of_one_customer_share_a_partition_in_order(ingest: Ingest) -> None:
    prefix = uuid4().hex[:8]
    calls = [{"type": "track", "event": "E", "userId": prefix, "messageId": f"{prefix}-{n:03}"} for n in range(30)]
    await ingest.client.post("/v1/batch", json={"batch": calls}, headers=SERVER)
    records = await ingest.logged("touchpoints", 10_000, within_s=3)
    own = [record for record in records if f'"{prefix}-'.encode() in (record.value or b"")]
    assert len({record.partition for record in own}) == 1
    assert [record.offset for record in own] == sorted(record.offset for record in own)
    assert len(own) == 30


class TestRejections:
    async def find(self, ingest: Ingest, **query: str) -> Any:
        response = await ingest.client.get("/v1/rejections", params=query, headers=STAFF)
        assert response.status_code == 200, response.text
        return response.json()

    async def make_source(self, ingest: Ingest, **changes: Any) -> tuple[str, dict[str, str]]:
        name = f"shop-{uuid4().hex[:8]}"
        await ingest.client.post("/v1/sources", json={"id": name, "name": name, "kind": "server", **changes}, headers=STAFF)
        created = await ingest.client.post(f"/v1/sources/{name}/keys", headers=STAFF)
        return name, {"X-Write-Key": created.json()["write_key"]}

    async def test_a_refused_touchpoint_can_be_found_counted_mended_and_sent_through(self, ingest: Ingest) -> None:
        source, key = await self.make_source(ingest, enabled=False)
        calls = [
            {"type": "track", "event": "E", "userId": "u", "messageId": f"{source}-1"},
            {"type": "track", "event": "E", "userId": None, "messageId": f"{source}-2"},
        ]
        response = await ingest.client.post("/v1/batch", json={"batch": calls}, headers=key)
        assert response.status_code == 200
        found = await eventually(lambda: self.find(ingest, source=source), until=lambda page: len(page["items"]) == 2)
        assert found["counts"] == {"source_disabled": 2}
        assert {(item["source"], item["path"], item["encoding"]) for item in found["items"]} == {(source, "/v1/batch", "utf-8")}

        assert (await ingest.client.patch(f"/v1/sources/{source}", json={"enabled": True}, headers=STAFF)).status_code == 200
        replay = await ingest.client.post("/v1/rejections/replay", json={"source": source}, headers=STAFF)
        assert replay.json() == {"replayed": 1, "rejected": 1, "next_cursor": None}
        assert (await self.find(ingest, source=source))["counts"] == {"no_identifier": 1}
        again = await ingest.client.post("/v1/rejections/replay", json={"source": source}, headers=STAFF)
        assert again.json() == {"replayed": 0, "rejected": 1, "next_cursor": None}
        logged = await ingest.logged("touchpoints", 10_000, within_s=3)
        assert sum(f'"{source}-1"'.encode() in (record.value or b"") for record in logged) == 1

    async def test_pages_go_through_all_of_them(self, ingest: Ingest) -> None:
        source, key = await self.make_source(ingest)
        bad = [{"type": "track", "event": "E", "messageId": f"{n}"} for n in range(5)]
        await ingest.client.post("/v1/batch", json={"batch": bad}, headers=key)
        await eventually(lambda: self.find(ingest, source=source), until=lambda page: len(page["items"]) == 5)
        seen: list[str] = []
        page = await self.find(ingest, source=source, limit="2")
        while True:
            seen += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            page = await self.find(ingest, source=source, limit="2", cursor=page["next_cursor"])
            assert page["counts"] is None
        assert (len(seen), len(set(seen))) == (5, 5)

    async def test_bytes_that_are_no_text_are_shown_as_base64(self, ingest: Ingest) -> None:
        source, key = await self.make_source(ingest)
        await ingest.client.post("/v1/track", content=b"\xff\xfe", headers=key)
        found = await eventually(lambda: self.find(ingest, source=source), until=lambda page: page["items"])
        assert (found["items"][0]["body"], found["items"][0]["encoding"]) == ("//4=", "base64")

    @pytest.mark.parametrize("body", [{}, {"sources": "x"}, {"ids": []}, {"reason": "because"}])
    async def test_a_replay_has_to_say_which(self, ingest: Ingest, body: dict[str, Any]) -> None:
        assert (await ingest.client.post("/v1/rejections/replay", json=body, headers=STAFF)).status_code == 422

    async def test_it_takes_a_key_with_the_scope(self, ingest: Ingest) -> None:
        assert (await ingest.client.get("/v1/rejections")).status_code == 401
        assert (await ingest.client.get("/v1/rejections", headers={"Authorization": "Bearer nobody"})).status_code == 401


class TestSources:
    async def test_a_source_is_made_changed_and_its_keys_rotated(self, ingest: Ingest) -> None:
        client = ingest.client
        name = f"till-{uuid4().hex[:6]}"
        created = await client.post("/v1/sources", json={"name": name, "kind": "pos", "default_channel": "pos"}, headers=STAFF)
        assert (created.status_code, created.headers["location"]) == (201, f"/v1/sources/{name}")
        assert created.json() == {
            "id": name, "name": name, "kind": "pos", "verified": True, "default_channel": "pos", "default_currency": "EUR",
            "user_id_kind": "user_id", "enabled": True, **UNGOVERNED,
        }  # fmt: skip
        keys = [(await client.post(f"/v1/sources/{name}/keys", headers=STAFF)).json()["write_key"] for _ in range(2)]
        call = {"userId": "u1", "event": "Store Visited"}
        for key in keys:
            assert (await client.post("/v1/track", json=call, headers={"X-Write-Key": key})).status_code == 200
        listed = (await client.get(f"/v1/sources/{name}/keys", headers=STAFF)).json()["items"]
        assert [key["revoked_at"] for key in listed] == [None, None]
        assert not any(key in str(listed) for key in keys)
        assert (await client.delete(f"/v1/sources/{name}/keys/{listed[0]['id']}", headers=STAFF)).status_code == 204
        statuses = [(await client.post("/v1/track", json=call, headers={"X-Write-Key": key})).status_code for key in keys]
        assert sorted(statuses) == [200, 401]
        assert (await client.delete(f"/v1/sources/{name}/keys/{listed[0]['id']}", headers=STAFF)).status_code == 404

    async def test_a_rotated_key_goes_on_for_a_while_or_ends_at_once(self, ingest: Ingest) -> None:
        client = ingest.client
        name = f"site-{uuid4().hex[:6]}"
        await client.post("/v1/sources", json={"name": name, "kind": "web"}, headers=STAFF)
        first = (await client.post(f"/v1/sources/{name}/keys", headers=STAFF)).json()["write_key"]

        async def list_keys() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await client.get(f"/v1/sources/{name}/keys", headers=STAFF)).json()["items"]
            return items

        async def rotate(key_id: str, body: Any = None) -> httpx.Response:
            return await client.post(f"/v1/sources/{name}/keys/{key_id}/rotate", json=body, headers=STAFF)

        async def send(key: str) -> int:
            call = {"userId": "u1", "event": "Store Visited"}
            return (await client.post("/v1/track", json=call, headers={"X-Write-Key": key})).status_code

        rotated = await rotate((await list_keys())[0]["id"])
        assert rotated.status_code == 201
        second, old = rotated.json()["write_key"], rotated.json()["old"]
        assert timedelta(hours=23) < datetime.fromisoformat(old["revoked_at"]) - datetime.now(UTC) <= timedelta(hours=24)
        assert [await send(key) for key in (first, second)] == [200, 200]

        assert (await rotate(old["id"], {"old_valid_for_s": 7 * 86_400})).json()["old"] == old, "an end is never put off"
        third = (await rotate(old["id"], {"old_valid_for_s": 0})).json()["write_key"]
        assert [await send(key) for key in (first, second, third)] == [401, 200, 200]
        assert (await rotate(old["id"])).status_code == 404
        assert (await rotate("nobody", {"old_valid_for_s": -1})).status_code == 422
        assert [key["revoked_at"] is None for key in await list_keys()] == [False, True, True, True]

    async def test_what_a_source_says_of_itself_counts_at_once(self, ingest: Ingest) -> None:
        name = f"shop-{uuid4().hex[:6]}"
        await ingest.client.post("/v1/sources", json={"id": name, "name": "Shop B", "kind": "web"}, headers=STAFF)
        key = (await ingest.client.post(f"/v1/sources/{name}/keys", headers=STAFF)).json()["write_key"]
        patch = {"user_id_kind": "shop_b", "default_channel": "social", "default_currency": "USD"}
        changed = await ingest.client.patch(f"/v1/sources/{name}", json=patch, headers=STAFF)
        expected = {"id": name, "name": "Shop B", "kind": "web", "verified": False, "enabled": True, **UNGOVERNED, **patch}
        assert changed.json() == expected
        body = {"userId": "u1", "event": "Order Completed", "messageId": name, "properties": {"order_id": "o", "revenue": 1}}
        await ingest.client.post("/v1/track", json=body, headers={"X-Write-Key": key})
        events = await ingest.events("touchpoints", 10_000)
        event = next(event for event in events if event.message_id == name)
        assert (event.identifiers[0].kind, event.identifiers[0].verified) == ("shop_b", False)
        assert (event.channel, event.order.default_currency) == ("social", "USD")

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "x"},
            {"name": "x", "kind": "billboard"},
            {"name": "x", "kind": "web", "default_currency": "ZZZ"},
            {"name": "x", "kind": "web", "user_id_kind": "A B"},
            {"name": "x", "kind": "web", "id": "Not An Id"},
            {"name": "x", "kind": "web", "unknown": 1},
            {"name": "!!!", "kind": "web"},
        ],
    )
    async def test_a_source_that_makes_no_sense_is_refused(self, ingest: Ingest, body: dict[str, Any]) -> None:
        response = await ingest.client.post("/v1/sources", json=body, headers=STAFF)
        assert (response.status_code, response.json()["code"]) == (422, "invalid")

    async def test_an_id_that_is_taken_or_unknown_is_told(self, ingest: Ingest) -> None:
        taken = await ingest.client.post("/v1/sources", json={"id": "dev-web", "name": "x", "kind": "web"}, headers=STAFF)
        assert (taken.status_code, taken.json()["code"]) == (409, "source_exists")
        for response in (
            await ingest.client.get("/v1/sources/nobody", headers=STAFF),
            await ingest.client.patch("/v1/sources/nobody", json={"name": "x"}, headers=STAFF),
            await ingest.client.get("/v1/sources/nobody/keys", headers=STAFF),
            await ingest.client.post("/v1/sources/nobody/keys", headers=STAFF),
        ):
            assert response.status_code == 404

    async def test_only_the_channel_may_be_taken_away(self, ingest: Ingest) -> None:
        response = await ingest.client.patch("/v1/sources/dev-web", json={"default_channel": None}, headers=STAFF)
        assert response.status_code == 200
        assert (await ingest.client.patch("/v1/sources/dev-web", json={"name": None}, headers=STAFF)).status_code == 422

    async def test_the_list_has_pages(self, ingest: Ingest) -> None:
        page = (await ingest.client.get("/v1/sources", params={"limit": 1}, headers=STAFF)).json()
        rest = (await ingest.client.get("/v1/sources", params={"cursor": page["next_cursor"]}, headers=STAFF)).json()
        ids = [source["id"] for source in [*page["items"], *rest["items"]]]
        assert {"dev-server", "dev-web", "engagement"} <= set(ids)
        assert len(ids) == len(set(ids))


class TestOperations:
    async def test_it_says_that_it_is_ready_and_what_it_does(self, ingest: Ingest) -> None:
        assert (await ingest.client.get("/healthz")).status_code == 200
        ready = await eventually(lambda: ingest.client.get("/readyz"), until=lambda response: response.status_code == 200)
        assert ready.json()["checks"] == {"postgres": "ok", "kafka": "ok"}
        await ingest.client.post("/v1/track", json={"userId": "u", "event": "E"}, headers=SERVER)
        metrics = (await ingest.client.get("/metrics")).text
        assert 'rapport_ingest_touchpoints_total{outcome="accepted"}' in metrics

    async def test_the_page_shows_how_to_send_the_first_touchpoint(self, ingest: Ingest) -> None:
        page = await ingest.client.get("/", headers={"Host": "cdp.example:8080"})
        assert page.status_code == 200
        assert "curl http://cdp.example:8080/v1/track -u dev-write-key:" in page.text

    async def test_the_documentation_names_every_tracking_path(self, ingest: Ingest) -> None:
        document = (await ingest.client.get("/openapi.json")).json()
        expected = {"/v1/track", "/v1/t", "/v1/batch", "/v1/import", "/v1/m", "/v1/touchpoints", "/v1/pixel/track"}
        assert expected <= document["paths"].keys()
        assert {"/v1/sources", "/v1/sources/{source_id}/keys", "/v1/rejections", "/v1/rejections/replay"} <= document[
            "paths"
        ].keys()
        assert "Touchpoint" in document["components"]["schemas"]
        assert (await ingest.client.get("/docs")).status_code == 200

    async def test_methods_and_addresses_that_are_not_there_are_problems(self, ingest: Ingest) -> None:
        for response, status in (
            (await ingest.client.get("/v1/track"), 405),
            (await ingest.client.post("/v1/unheard"), 404),
        ):
            assert isinstance(response, httpx.Response)
            assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
