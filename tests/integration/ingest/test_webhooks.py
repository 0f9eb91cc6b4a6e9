"""Webhooks on real Kafka and PostgreSQL: managed by API, in force at once, kept in memory, parked and sent through again."""

import json
from typing import Any
from uuid import uuid4

import httpx

from services.ingest.main import Deps, build
from services.ingest.settings import Settings
from tests.integration.ingest.conftest import STAFF, Ingest
from tests.support.eventually import eventually
from tests.support.webhooks import sign

MAPPING = {
    "signature": {"scheme": "secret"},
    "topic": "event.kind",
    "touchpoints": [
        {
            "when": "event.kind == 'visit'",
            "name": "Store Visited",
            "id": "event.id",
            "occurred_at": "event.at",
            "identifiers": {"email": "event.mail"},
            "properties": {"store_id": "event.store"},
        }
    ],
}


async def make_source(ingest: Ingest, **changes: Any) -> str:
    name = f"hooks-{uuid4().hex[:8]}"
    body = {"id": name, "name": name, "kind": "webhook", **changes}
    assert (await ingest.client.post("/v1/sources", json=body, headers=STAFF)).status_code == 201
    return name


async def ask(ingest: Ingest, method: str, path: str, **body: Any) -> httpx.Response:
    response: httpx.Response = await ingest.client.request(method, f"/v1/sources/{path}", json=body or None, headers=STAFF)
    return response


async def deliver(ingest: Ingest, source: str, event_id: str, *, secret: str, name: str = "customer.created") -> httpx.Response:
    event = {"id": event_id, "type": name, "created": 1772355600, "data": {"object": {"id": f"cus_{source}"}}}
    delivery = sign("stripe", json.dumps(event).encode(), secret=secret, at=ingest.deps.runtime.clock.now())
    path = f"/v1/webhooks/stripe/{source}"
    response: httpx.Response = await ingest.client.post(path, content=delivery.body, headers=dict(delivery.headers))
    return response


async def test_the_same_delivery_twice_is_one_touchpoint_id_in_the_log(ingest: Ingest) -> None:
    source = await make_source(ingest)
    made = await ask(ingest, "PUT", f"{source}/webhooks/stripe", secrets=["whsec_1"])
    assert made.status_code == 201, made.text
    assert made.json()["path"] == f"/v1/webhooks/stripe/{source}"
    assert "whsec_1" not in made.text
    first, second = [await deliver(ingest, source, "evt_1", secret="whsec_1") for _ in range(2)]
    assert first.json() == second.json()
    events = await ingest.events("touchpoints", 2)
    own = [event for event in events if event.source_id == source]
    assert [str(event.id) for event in own] == [first.json()["accepted"][0]["id"]] * 2
    assert {event.message_id for event in own} == {"evt_1"}


async def test_secrets_rotate_without_a_gap_and_are_never_shown(ingest: Ingest) -> None:
    source = await make_source(ingest)
    old = (await ask(ingest, "PUT", f"{source}/webhooks/stripe", secrets=["old"])).json()["secrets"][0]["id"]
    added = await ask(ingest, "POST", f"{source}/webhooks/stripe/secrets", secret="new")
    assert (added.status_code, set(added.json())) == (201, {"id", "created_at"})
    assert [(await deliver(ingest, source, f"e{n}", secret=s)).status_code for n, s in enumerate(("old", "new"))] == [200, 200]
    assert (await ask(ingest, "DELETE", f"{source}/webhooks/stripe/secrets/{old}")).status_code == 204
    assert [(await deliver(ingest, source, f"e{n}", secret=s)).status_code for n, s in enumerate(("old", "new"))] == [401, 200]
    shown = await ask(ingest, "GET", f"{source}/webhooks/stripe")
    assert [one["id"] for one in shown.json()["secrets"]] == [added.json()["id"]]
    replaced = await ask(ingest, "PUT", f"{source}/webhooks/stripe", secrets=["third"])
    assert (replaced.status_code, len(replaced.json()["secrets"])) == (200, 1)
    assert (await deliver(ingest, source, "e2", secret="new")).status_code == 401
    assert (await ask(ingest, "DELETE", f"{source}/webhooks/stripe/secrets/{old}")).json()["code"] == "webhook_part_not_found"


async def test_a_rejection_is_parked_with_its_bytes_and_replayed(ingest: Ingest) -> None:
    source = await make_source(ingest, enabled=False)
    await ask(ingest, "PUT", f"{source}/webhooks/stripe", secrets=["s"])
    assert (await deliver(ingest, source, "evt_parked", secret="s")).json()["rejected"][0]["reason"] == "source_disabled"

    async def find() -> Any:
        return (await ingest.client.get("/v1/rejections", params={"source": source}, headers=STAFF)).json()

    found = await eventually(find, until=lambda page: page["items"])
    assert found["items"][0]["path"] == f"/v1/webhooks/stripe/{source}"
    assert json.loads(found["items"][0]["body"])["id"] == "evt_parked"
    await ingest.client.patch(f"/v1/sources/{source}", json={"enabled": True}, headers=STAFF)
    replay = await ingest.client.post("/v1/rejections/replay", json={"source": source}, headers=STAFF)
    assert replay.json() == {"replayed": 1, "rejected": 0, "next_cursor": None}
    logged = await ingest.logged("touchpoints", 10_000, within_s=3)
    assert sum(b'"evt_parked"' in (record.value or b"") for record in logged) == 1


async def test_a_mapping_is_written_tried_changed_and_taken_back(ingest: Ingest) -> None:
    source = await make_source(ingest)
    sample = {"id": "1", "kind": "visit", "at": "2026-03-01T09:00:00Z", "mail": "a@x.example", "store": 7}
    bare = await ask(ingest, "PUT", f"{source}/webhooks/door", secrets=["s"])
    assert (bare.status_code, bare.json()["errors"][0]["pointer"]) == (422, "#/mapping")
    tried = await ask(
        ingest,
        "POST",
        f"{source}/webhooks/door/test",
        mapping=MAPPING,
        samples=[{"body": sample}, {"body": {"kind": "other"}}, {"body": {**sample, "mail": None}}, {"body": "nonsense"}],
    )
    results = tried.json()["results"]
    assert [result["outcome"] for result in results] == ["accepted", "ignored", "rejected", "unreadable"]
    assert results[0]["touchpoints"][0]["properties"] == {"store_id": 7}
    assert (results[1]["ignored"], results[2]["rejected"][0]["reason"]) == (["other"], "no_identifier")

    assert (await ask(ingest, "PUT", f"{source}/webhooks/door", secrets=["s"], mapping=MAPPING)).json()["mapping_version"] == 1
    second = {**MAPPING, "touchpoints": [{**MAPPING["touchpoints"][0], "name": "Door Opened"}]}  # type: ignore[dict-item]
    assert (await ask(ingest, "POST", f"{source}/webhooks/door/mappings", mapping=second)).json() == {"version": 2}
    listed = (await ask(ingest, "GET", f"{source}/webhooks/door/mappings")).json()
    assert ([one["version"] for one in listed["items"]], listed["active"]) == ([2, 1], 2)
    assert listed["items"][1]["mapping"] == MAPPING
    names = []
    for number in (2, 1):
        activated = await ask(ingest, "POST", f"{source}/webhooks/door/mappings/{number}/activate")
        assert activated.json()["mapping_version"] == number
        tried = await ask(ingest, "POST", f"{source}/webhooks/door/test", samples=[{"body": sample}])
        names.append(tried.json()["results"][0]["touchpoints"][0]["name"])
    assert names == ["Door Opened", "Store Visited"]
    headers = {"X-Webhook-Token": "s"}
    taken = await ingest.client.post(f"/v1/webhooks/door/{source}", json=sample, headers=headers)
    assert [one["message_id"] for one in taken.json()["accepted"]] == ["1"]


async def test_mistakes_of_people_are_told(ingest: Ingest) -> None:
    source = await make_source(ingest)
    broken = {**MAPPING, "events": "a b"}
    answers = [
        await ask(ingest, "PUT", f"{source}/webhooks/stripe", mapping=MAPPING),
        await ask(ingest, "PUT", f"{source}/webhooks/door", mapping=broken),
        await ask(ingest, "PUT", f"{source}/webhooks/door", mapping={**MAPPING, "description": "\x00"}),
        await ask(ingest, "PUT", f"{source}/webhooks/Not A Name", secrets=["s"]),
        await ask(ingest, "PUT", f"{source}/webhooks/stripe", secrets=["a\x00b"]),
        await ask(ingest, "PUT", "nobody/webhooks/stripe", secrets=["s"]),
        await ask(ingest, "GET", "nobody/webhooks"),
        await ask(ingest, "GET", f"{source}/webhooks/stripe"),
        await ask(ingest, "DELETE", f"{source}/webhooks/stripe"),
        await ask(ingest, "POST", f"{source}/webhooks/stripe/secrets", secret="s"),
        await ask(ingest, "POST", f"{source}/webhooks/unheard/test", samples=[{"body": {}}]),
        await ask(ingest, "POST", f"{source}/webhooks/door/mappings/999999999999/activate"),
    ]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 422, 404, 404, 404, 404, 404, 404, 422]
    assert answers[1].json()["errors"][0]["pointer"] == "#/mapping/events"
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert (await ask(ingest, "GET", f"{source}/webhooks")).json() == {"items": [], "next_cursor": None}


async def test_there_are_only_so_many_secrets(ingest: Ingest) -> None:
    source = await make_source(ingest)
    await ask(ingest, "PUT", f"{source}/webhooks/stripe", secrets=[f"s{n}" for n in range(10)])
    assert (await ask(ingest, "POST", f"{source}/webhooks/stripe/secrets", secret="s10")).status_code == 422


async def test_a_deleted_webhook_is_404_and_changes_reach_other_processes(ingest: Ingest, settings: Settings) -> None:
    source = await make_source(ingest)
    async with build(settings) as other:
        await ask(ingest, "PUT", f"{source}/webhooks/stripe", secrets=["s"])
        await eventually(lambda: look_up(other, source), until=bool, within_s=5)
        assert (await ask(ingest, "DELETE", f"{source}/webhooks/stripe")).status_code == 204
        await eventually(lambda: look_up(other, source), until=lambda found: not found, within_s=5)
    assert (await deliver(ingest, source, "e", secret="s")).status_code == 404


async def look_up(deps: Deps, source: str) -> bool:
    return deps.api.webhook_intake._webhooks.find_webhook(source, "stripe") is not None


async def test_scopes_are_asked_for(ingest: Ingest) -> None:
    source = await make_source(ingest)
    for method, path in (("GET", "/webhooks"), ("PUT", "/webhooks/stripe"), ("POST", "/webhooks/stripe/test")):
        response = await ingest.client.request(method, f"/v1/sources/{source}{path}", json={})
        assert response.status_code == 401
