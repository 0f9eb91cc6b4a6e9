"""Merge, split, bans and history over HTTP: dry runs, keys, problems, and what is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.integration.profile.driving import make_identify, make_order, make_touchpoint
from tests.integration.profile.running import READ_KEY, Service
from tests.support.eventually import eventually

REASON = {"reason": "they called and said so"}


async def post(service: Service, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    return await service.client.post(f"/v1/profiles/{path}", json=body, headers={"Idempotency-Key": key} if key else {})


async def make_two(service: Service) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = make_order(1, "u1", order_id="o1", amount="10"), make_order(2, "e1", order_id="o2", amount="20")
    await service.send(first)
    one = await service.view("user_id:u1", first)
    await service.send(second)
    other = await service.view("email:e1", second)
    await eventually(lambda: count_told(service), until=lambda told: told == 2)
    return one, other


async def count_told(service: Service) -> int:
    return len(service.told())


def less_time(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name != "updated_at"}


async def test_a_dry_run_shows_the_result_and_changes_nothing(service: Service) -> None:
    one, other = await make_two(service)
    told = len(service.told())
    merge = {"other": "email:E1", **REASON}
    tried = await post(service, "user_id:u1/merge", {**merge, "dry_run": True}, key="k1")
    assert tried.status_code == 200, tried.text
    assert tried.json()["profile"]["aggregates"]["orders"]["gross_minor"] == {"EUR": 3000}
    assert (await service.view("user_id:u1"), await service.view("email:e1")) == (one, other)
    assert len(service.told()) == told
    done = await post(service, "user_id:u1/merge", merge, key="k1")
    assert (done.status_code, done.json()["dry_run"], done.json()["absorbed_id"]) == (200, False, other["id"])
    assert less_time(done.json()["profile"]) == less_time(tried.json()["profile"])
    assert done.json()["profile"] == await service.view("email:e1")
    split = {"identifier": {"kind": "email", "value": "E1"}, **REASON}
    tried = await post(service, f"{one['id']}/split", {**split, "dry_run": True})
    assert await service.view("email:e1") == done.json()["profile"]
    assert (await service.get("/v1/identity/bans")).json()["items"] == []
    parted = await post(service, f"{one['id']}/split", split)
    assert [less_time(parted.json()[part]) for part in ("profile", "split")] == [
        less_time(tried.json()[part]) for part in ("profile", "split")
    ]
    assert parted.json()["split"] == await service.view("email:e1")
    assert parted.json()["profile"] == await service.view("user_id:u1")
    assert parted.json()["split"]["aggregates"] == other["aggregates"]


async def test_the_same_key_answers_again_and_does_it_once(service: Service) -> None:
    await make_two(service)
    body = {"other": "email:e1", **REASON}
    first, again = [await post(service, "user_id:u1/merge", body, key="k1") for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert (first.content, again.headers["idempotent-replayed"]) == (again.content, "true")
    changed = await post(service, "user_id:u1/merge", {**body, "reason": "another"}, key="k1")
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    items = (await service.get("/v1/profiles/user_id:u1/history")).json()["items"]
    assert len(items) == 1
    assert sorted(record.causes for record in service.told()) == [("merge",), ("merge",), ("touchpoint",), ("touchpoint",)]


async def test_history_shows_each_merge_and_split_with_who_and_why_on_both_sides(service: Service) -> None:
    one, other = await make_two(service)
    both = make_touchpoint(3, "u1", "e1")
    await service.send(both)
    await service.view("user_id:u1", both)
    done = await post(service, "user_id:u1/split", {"identifier": {"kind": "email", "value": "e1"}, "reason": "a typing error"})
    assert done.status_code == 200, done.text
    for ref in ("user_id:u1", "email:e1"):
        split, merge = (await service.get(f"/v1/profiles/{ref}/history")).json()["items"]
        assert (split["kind"], split["profile_id"], split["other_id"]) == ("split", one["id"], other["id"])
        assert split["cause"] == {
            "kind": "command",
            "command_id": done.json()["id"],
            "reason": "a typing error",
            "actor": "writer",
        }
        assert [named["value"] for named in split["identifiers"]] == ["e1"]
        assert (merge["kind"], merge["cause"]) == ("merge", {"kind": "touchpoint", "touchpoint_id": str(both.id)})
    # What one of them does from now on is no part of the other's past.
    later = make_touchpoint(4, "u7", "x7")
    await service.send(later)
    await service.view("user_id:u7", later)
    assert (await post(service, "email:e1/merge", {"other": "user_id:u7", **REASON})).status_code == 200
    assert len((await service.get("/v1/profiles/email:e1/history")).json()["items"]) == 3
    assert len((await service.get("/v1/profiles/user_id:u1/history")).json()["items"]) == 2


async def test_bans_are_listed_and_lifted_and_a_refused_link_is_visible(service: Service) -> None:
    first = make_identify(1, "u1", "e1", "d1")
    await service.send(first)
    await service.view("user_id:u1", first)
    ids = []
    for kind, value in (("email", "e1"), ("anonymous_id", "d1")):
        done = await post(service, "user_id:u1/split", {"identifier": {"kind": kind, "value": value}, **REASON})
        ids.append(done.json()["ban_id"])
    page = (await service.get("/v1/identity/bans", limit=1)).json()
    [newest] = page["items"]
    assert (newest["id"], newest["identifier"]["value"], newest["actor"]) == (ids[1], "d1", "writer")
    assert [(one["kind"], one["value"]) for one in newest["against"]] == [("user_id", "u1")]
    rest = (await service.get("/v1/identity/bans", limit=1, cursor=page["next_cursor"])).json()
    assert ([one["id"] for one in rest["items"]], rest["next_cursor"]) == ([ids[0]], None)
    assert {one["value"] for one in rest["items"][0]["against"]} == {"u1", "d1"}
    again = make_touchpoint(2, "u1", "e1")
    await service.send(again)
    await service.view("user_id:u1", again)
    [refusal] = (await service.get("/v1/identity/refusals")).json()["items"]
    assert (refusal["reason"], refusal["touchpoint_id"]) == ("banned", str(again.id))
    assert (await service.client.delete(f"/v1/identity/bans/{ids[0]}")).status_code == 204
    gone = await service.client.delete(f"/v1/identity/bans/{ids[0]}")
    assert (gone.status_code, gone.json()["code"]) == (404, "ban_not_found")
    assert [one["id"] for one in (await service.get("/v1/identity/bans")).json()["items"]] == [ids[1]]
    merged = await post(service, "user_id:u1/merge", {"other": "email:e1", **REASON})
    assert merged.status_code == 200, merged.text


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("user_id:u9/merge", {"other": "user_id:u1"}, 404, "profile_not_found"),
        ("user_id:u1/merge", {"other": "user_id:u9"}, 404, "profile_not_found"),
        ("user_id:u1/merge", {"other": "no reference"}, 404, "profile_not_found"),
        ("user_id:u1/merge", {"other": "email:e1"}, 409, "same_profile"),
        ("user_id:u1/merge", {"other": "user_id:u2"}, 409, "merge_refused"),
        ("user_id:u1/merge", {"other": "user_id:u2", "reason": " "}, 422, "invalid"),
        ("user_id:u1/merge", {"other": "user_id:u2", "reason": "a\0b"}, 422, "invalid"),
        ("user_id:u1/merge", {"other": "user_id:u2", "reason": None}, 422, "invalid"),
        ("user_id:u1/split", {"identifier": {"kind": "email", "value": "e2"}}, 422, "identifier_not_held"),
        ("user_id:u1/split", {"identifier": {"kind": "e mail", "value": "e1"}}, 422, "invalid"),
        ("user_id:u1/split", {"identifier": {"kind": "email", "value": "\0"}}, 422, "invalid"),
        ("user_id:u2/split", {"identifier": {"kind": "user_id", "value": "u2"}}, 409, "only_identifier"),
        ("user_id:u9/split", {"identifier": {"kind": "user_id", "value": "u9"}}, 404, "profile_not_found"),
    ],
)
async def test_what_cannot_be_done_is_answered_with_a_problem(
    service: Service, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    last = make_touchpoint(2, "u2")
    first = make_touchpoint(1, "u1", "e1")
    await service.send(first, last)
    await service.view("user_id:u1", first)
    before = [await service.view(ref, last) for ref in ("user_id:u1", "user_id:u2")]
    answer = await post(service, path, REASON | body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert [await service.view("user_id:u1"), await service.view("user_id:u2")] == before


async def test_only_a_key_that_may_write_gives_commands(service: Service) -> None:
    await make_two(service)
    reader = {"Authorization": f"Bearer {READ_KEY}"}
    for method, path in (
        ("POST", "/v1/profiles/user_id:u1/merge"),
        ("POST", "/v1/profiles/user_id:u1/split"),
        ("DELETE", "/v1/identity/bans/018f0000-0000-7000-8000-000000000000"),
    ):
        answer = await service.client.request(method, path, headers=reader, json={"other": "email:e1", **REASON})
        assert answer.status_code == 403, path
    assert (await service.client.get("/v1/identity/bans", headers=reader)).status_code == 200


async def test_an_identifier_that_left_with_nothing_can_be_edited_and_shown(service: Service) -> None:
    sent = make_identify(1, "u1", "e1")
    await service.send(sent)
    await service.view("user_id:u1", sent)
    done = await post(service, "user_id:u1/split", {"identifier": {"kind": "email", "value": "e1"}, **REASON})
    assert done.json()["split"]["last_seen_at"] is None
    edited = await service.client.patch("/v1/profiles/email:e1/traits", json={"plan": "gold"})
    assert (edited.status_code, edited.json()["traits"]) == (200, {"plan": "gold", "email": "e1"})


@pytest.mark.parametrize("cursor", ["WzFlNDAwXQ", "Wy0xXQ", "WzkyMjMzNzIwMzY4NTQ3NzU4MDgwXQ", "WyJhIl0", "?"])
async def test_any_cursor_is_answered(service: Service, cursor: str) -> None:
    answer = await service.get("/v1/identity/bans", cursor=cursor)
    assert answer.status_code in (200, 422), answer.text


@pytest.mark.parametrize("reason", [b'"\\ud800"', b'"' + b"x" * 501 + b'"', b"7", b'"\\u0000"'])
async def test_a_reason_that_cannot_be_kept_is_refused(service: Service, reason: bytes) -> None:
    await make_two(service)
    body = b'{"other":"email:e1","reason":%b}' % reason
    headers = {"Content-Type": "application/json"}
    answer = await service.client.post("/v1/profiles/user_id:u1/merge", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_a_command_sent_twice_at_once_is_done_once(service: Service) -> None:
    await make_two(service)
    body = {"identifier": {"kind": "email", "value": "e1"}, **REASON}
    await post(service, "user_id:u1/merge", {"other": "email:e1", **REASON})
    first, second = await asyncio.gather(*(post(service, "user_id:u1/split", body, key="k1") for _ in range(2)))
    assert (first.status_code, first.content) == (200, second.content)
    assert len((await service.get("/v1/identity/bans")).json()["items"]) == 1


async def test_while_the_broker_is_away_a_command_is_done_and_told_once_it_is_back(service: Service) -> None:
    await make_two(service)
    service.broker.down = True
    done = await post(service, "user_id:u1/merge", {"other": "email:e1", **REASON})
    assert done.status_code == 200, done.text
    assert await service.view("email:e1") == done.json()["profile"]
    assert len(service.told()) == 2
    service.broker.down = False
    await eventually(lambda: count_told(service), until=lambda told: told == 4)
    merged = [record for record in service.told() if record.causes == ("merge",)]
    assert {record.absorbed_into for record in merged} == {None, UUID(done.json()["profile"]["id"])}


async def test_the_page_says_that_a_command_linked_and_leaves_out_what_a_split_made_void(service: Service) -> None:
    sent = [make_touchpoint(1, "u1", "e1", "d1"), make_touchpoint(2, "x1")]
    for one in sent:
        await service.send(one)
        await service.view("user_id:u1", one)
    await post(service, "user_id:u1/merge", {"other": "device_id:x1", **REASON})
    shown = await service.client.get("/", params={"q": "u1"}, auth=("anything", READ_KEY))
    assert "<em>a command</em>" in shown.text
    assert "1 profile was merged into this one." in shown.text
    assert is_linked(shown.text, "user_id u1", "email e1")
    parted = await post(service, "user_id:u1/split", {"identifier": {"kind": "email", "value": "e1"}, **REASON})
    assert (await service.client.delete(f"/v1/identity/bans/{parted.json()['ban_id']}")).status_code == 204
    now = datetime.now(UTC) + timedelta(seconds=1)
    again = make_touchpoint(3, "e1", "d1", received_at=now, occurred_at=now)
    await service.send(again)
    assert len((await service.view("email:e1", again))["identifiers"]) == 4
    shown = await service.client.get("/", params={"q": "u1"}, auth=("anything", READ_KEY))
    assert is_linked(shown.text, "email e1", "anonymous_id d1")
    assert not is_linked(shown.text, "user_id u1", "email e1")


def is_linked(page: str, one: str, other: str) -> bool:
    return f"{one} and {other} were" in page or f"{other} and {one} were" in page
