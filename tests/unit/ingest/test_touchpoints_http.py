"""`POST /v1/touchpoints`: our own plain JSON."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from tests.support.intake import NOW, World, name_all

HEADERS = {"X-Write-Key": "dev-write-key"}


def make(**changes: Any) -> dict[str, Any]:
    return {
        "id": "m1",
        "name": "Store Visited",
        "occurred_at": "2026-11-22T10:00:00Z",
        "identifiers": {"user_id": "u1"},
        **changes,
    }


async def post(*touchpoints: Any, world: World | None = None, raw: bytes | None = None, **headers: str) -> httpx.Response:
    body = json.dumps({"touchpoints": touchpoints}).encode() if raw is None else raw
    async with (world or World()).client() as client:
        response: httpx.Response = await client.post("/v1/touchpoints", content=body, headers={**HEADERS, **headers})
    return response


async def test_the_answer_lists_what_was_accepted_and_rejected() -> None:
    world = World()
    response = await post(make(), make(id="m2", identifiers={"user_id": "guest"}), world=world)
    assert response.status_code == 200
    touchpoint = world.recorded()[0]
    assert response.json()["accepted"] == [{"index": 0, "message_id": "m1", "id": str(touchpoint.id)}]
    assert [(item["index"], item["reason"]) for item in response.json()["rejected"]] == [(1, "no_identifier")]
    assert (touchpoint.name, touchpoint.kind, touchpoint.channel) == ("Store Visited", "track", "server")
    assert touchpoint.occurred_at.isoformat() == "2026-11-22T10:00:00+00:00"


async def test_the_id_is_the_message_id_so_the_same_touchpoint_on_any_route_is_one() -> None:
    world = World()
    await post(make(), world=world)
    async with world.client() as client:
        await client.post("/v1/track", json={"userId": "x", "event": "E", "messageId": "m1"}, headers=HEADERS)
    assert world.recorded()[0].id == world.recorded()[1].id


async def test_identifiers_are_named_and_nothing_else_names_anybody() -> None:
    world = World()
    traits = {"email": "other@example.com"}
    touchpoint = make(
        kind="identify", identifiers={"email": "Ada@Example.com", "cdnow": 7}, traits=traits, context={"traits": traits}
    )
    await post(touchpoint, world=world)
    assert name_all(world.recorded()[0].identifiers) == ["cdnow:7", "email:ada@example.com"]


async def test_a_kind_that_is_no_track_has_its_kinds_name() -> None:
    world = World()
    await post(make(kind="page", name="Home"), make(kind="page", name="Page Viewed"), world=world)
    first, second = world.recorded()
    assert (first.name, json.loads(bytes(first.properties))) == ("Page Viewed", {"name": "Home"})
    assert (second.name, json.loads(bytes(second.properties))) == ("Page Viewed", {})


async def test_an_alias_says_who_it_was_before() -> None:
    world = World()
    await post(make(kind="alias", name="Aliased", previous_id="p"), world=world)
    assert name_all(world.recorded()[0].previous) == ["user_id:p", "anonymous_id:p"]


async def test_a_missing_time_is_the_receipt() -> None:
    world = World()
    await post(make(occurred_at=None), world=world)
    assert world.recorded()[0].occurred_at == NOW


@pytest.mark.parametrize(
    "changes",
    [
        {"occurred_at": "yesterday"},
        {"occurred_at": 5},
        {"kind": "purchase"},
        {"channel": "billboard"},
        {"name": 5},
        {"id": 5},
        {"identifiers": []},
        {"identifiers": None},
        {"identifiers": {"user_id": True}},
        {"identifiers": {"a b": "x"}},
        {"properties": []},
        {"traits": "x"},
    ],
)
async def test_a_bad_value_refuses_its_touchpoint_alone(changes: dict[str, Any]) -> None:
    world = World()
    response = await post(make(**changes), make(id="m2"), world=world)
    assert response.status_code == 200
    assert [(item["index"], item["reason"]) for item in response.json()["rejected"]] == [(0, "invalid")]
    assert [touchpoint.message_id for touchpoint in world.recorded()] == ["m2"]
    assert json.loads(world.rejected()[0].body) == {"touchpoints": [make(**changes)]}


async def test_unknown_members_of_a_touchpoint_refuse_the_request_and_are_named() -> None:
    world = World()
    response = await post(make(), {**make(), "event": "E", "userId": "u"}, world=world)
    assert response.status_code == 422
    assert response.json()["code"] == "invalid"
    assert [error["pointer"] for error in response.json()["errors"]] == ["#/touchpoints/1/event", "#/touchpoints/1/userId"]
    assert (world.recorded(), world.rejected()) == ([], [])


async def test_unknown_members_of_the_body_refuse_it() -> None:
    response = await post(raw=json.dumps({"touchpoints": [], "writeKey": "k"}).encode())
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "#/writeKey")


@pytest.mark.parametrize(
    ("raw", "status"), [(b"{", 400), (b"nonsense", 400), (b"{}", 422), (b"[]", 422), (b'{"touchpoints":5}', 422)]
)
async def test_a_body_that_cannot_be_read_is_a_problem_and_parked(raw: bytes, status: int) -> None:
    world = World()
    response = await post(raw=raw, world=world)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert len(world.rejected()) == 1


async def test_odd_characters_are_replaced_and_numbers_beyond_a_double_refused_alone() -> None:
    odd = b'{"touchpoints":[%s,%s,%s]}' % (
        json.dumps(make(properties={"a": "\ud800"})).encode(),
        json.dumps(make(id="m2")).encode().replace(b'"u1"', b'"u1"},"properties":{"n":1e400'),
        json.dumps(make(id="m3")).encode(),
    )
    world = World()
    response = await post(raw=odd, world=world)
    assert [item["reason"] for item in response.json()["rejected"]] == ["number_not_finite"]
    assert json.loads(bytes(world.recorded()[0].properties)) == {"a": "\ufffd"}
    assert world.recorded()[0].flags == ("characters_replaced",)


async def test_an_oversize_touchpoint_is_refused_alone_and_an_oversize_body_whole() -> None:
    response = await post(make(properties={"a": "x" * 33_000}), make(id="m2"))
    assert [item["reason"] for item in response.json()["rejected"]] == ["event_too_large"]
    response = await post(raw=b'{"touchpoints":[' + b" " * 512_000 + b"]}")
    assert (response.status_code, response.json()["code"]) == (413, "batch_too_large")


async def test_where_ids_are_missing_the_message_id_is_the_hash_of_idempotency_key_and_index() -> None:
    world = World()
    response = await post(make(id=None), make(id="own"), make(id=None), world=world, **{"Idempotency-Key": "receipt-1"})
    again = await post(make(id=None), make(id="own"), make(id=None), world=world, **{"Idempotency-Key": "receipt-1"})
    ids = [item["message_id"] for item in response.json()["accepted"]]
    assert ids == [hashlib.sha256(b"receipt-1\x1f0").hexdigest(), "own", hashlib.sha256(b"receipt-1\x1f2").hexdigest()]
    assert again.json() == response.json()


async def test_without_a_key_missing_ids_are_new_ones() -> None:
    response = await post(make(id=None), make(id=None))
    ids = {item["message_id"] for item in response.json()["accepted"]}
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_idempotency_key_of_odd_length_is_refused(key: str) -> None:
    response = await post(make(), **{"Idempotency-Key": key})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "#/header/idempotency-key")


async def test_a_missing_or_unknown_key_is_401() -> None:
    async with World().client() as client:
        for headers in ({}, {"X-Write-Key": "nobody"}):
            response = await client.post("/v1/touchpoints", json={"touchpoints": []}, headers=headers)
            assert (response.status_code, response.json()["code"]) == (401, "invalid_write_key")


async def test_while_the_broker_is_away_nothing_is_accepted() -> None:
    world = World()
    world.broker.down = True
    response = await post(make(), world=world)
    assert (response.status_code, response.json()["code"]) == (503, "broker_away")
