"""HTTP of segmentation, with a worker's lanes run by hand in between."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import msgspec

from services.segmentation.domain.grammar import build_rule_schema
from tests.builders.changes import NOON, fragment_of, make_touchpoint

from .conftest import Customer, World

BUYERS = {"did": "Order Completed"}


def order(minute: int = 0) -> Any:
    return make_touchpoint("Order Completed", minute=minute)


def ada_of(world: World) -> Customer:
    return Customer(world, fragments=(fragment_of("email", "ada@example.com"),))


async def test_a_segment_from_its_rule_to_its_members(api: httpx.AsyncClient, world: World) -> None:
    ada = ada_of(world)
    await ada.does(order())
    made = await api.post("/v1/segments", json={"name": "Has bought", "rule": BUYERS})
    assert made.status_code == 201
    body = made.json()
    assert (body["id"], body["state"], body["version"], body["members"]) == ("has-bought", "filling", 1, 0)
    assert body["progress"] == {"done": 0, "total": None}
    assert made.headers["location"] == "/v1/segments/has-bought"

    await world.run_jobs()
    shown = (await api.get("/v1/segments/has-bought")).json()
    assert (shown["state"], shown["members"], shown["rule"]) == ("live", 1, BUYERS)
    assert shown["progress"] == {"done": 1, "total": 1}
    members = (await api.get("/v1/segments/has-bought/members")).json()
    assert members == {"items": [{"profile_id": str(ada.id), "since": "2026-03-01T12:20:00.000Z"}], "next_cursor": None}

    ref = quote("email:Ada@Example.com", safe="")
    mine = (await api.get(f"/v1/memberships/{ref}")).json()
    assert mine["profile_id"] == str(ada.id)
    assert mine["segments"] == [{"id": "has-bought", "since": "2026-03-01T12:20:00.000Z", "version": 1}]


async def test_keys_and_scopes(api: httpx.AsyncClient) -> None:
    segment = {"name": "S", "rule": BUYERS}
    assert (await api.post("/v1/segments", json=segment, headers={"Authorization": ""})).status_code == 401
    reader = {"Authorization": "Bearer reader"}
    assert (await api.post("/v1/segments", json=segment, headers=reader)).status_code == 403
    assert (await api.put("/v1/segments/s", json=segment, headers=reader)).status_code == 403
    assert (await api.delete("/v1/segments/s", headers=reader)).status_code == 403
    assert (await api.get("/v1/segments", headers=reader)).status_code == 200


async def test_mistakes_are_pointed_at(api: httpx.AsyncClient) -> None:
    rule = {"all": [{"trait": "plan", "equals": "gold"}, {"did": "X", "times": {"gte": -1}}, {"segmint": "a"}]}
    answer = await api.post("/v1/segments", json={"name": "S", "rule": rule})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "rule_invalid"
    errors = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert errors.keys() == {"#/rule/all/0/equals", "#/rule/all/1/times/gte", "#/rule/all/2"}
    assert 'did you mean "segment"?' in errors["#/rule/all/2"]
    unknown_field = await api.post("/v1/segments", json={"name": "S", "rule": BUYERS, "colour": "red"})
    assert unknown_field.status_code == 422


async def test_what_no_database_can_hold_is_refused_or_unknown(api: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (r'{"name":"a\u0000","rule":{"did":"A"}}', r'{"name":"a","description":"\ud800","rule":{"did":"A"}}'):
        assert (await api.post("/v1/segments", content=body, headers=headers)).status_code == 422
    for rule in (r'{"did":"\u0000"}', r'{"did":"\ud800"}', '{"trait":"x","gt":1e999}', '{"trait":"x","gt":NaN}'):
        answer = await api.post("/v1/segments/preview", content=f'{{"rule":{rule}}}', headers=headers)
        assert answer.status_code == 422, rule
    for path in ("/v1/segments/%00", "/v1/segments/%00/members", "/v1/memberships/%00", "/v1/segments/s/explain/email:%00"):
        assert (await api.get(path)).status_code == 404, path
    assert (await api.delete("/v1/segments/%00")).status_code == 404


async def test_names_nobody_used_yet_warn_with_the_nearest(api: httpx.AsyncClient, world: World) -> None:
    roasted = make_touchpoint("Coffee Roasted", properties=msgspec.Raw(b'{"lots":[{"origin":"Peru"}]}'))
    await ada_of(world).does(roasted, snapshot={"traits": {"bean": "arabica"}})
    rule = {
        "any": [
            {"did": "Cofee Roasted"},
            {"trait": "bea", "eq": "x"},
            {"did": "Order Completed"},
            {"did": "Coffee Roasted", "where": {"property": "lots.*.orign", "eq": "Peru"}},
        ]
    }
    warnings = (await api.post("/v1/segments", json={"name": "S", "rule": rule})).json()["warnings"]
    assert [(warning["pointer"], warning["detail"]) for warning in warnings] == [
        ("#/rule/any/0/did", 'no touchpoint "Cofee Roasted" is known yet; did you mean "Coffee Roasted"?'),
        ("#/rule/any/1/trait", 'no trait "bea" is known yet; did you mean "bean"?'),
        (
            "#/rule/any/3/where/property",
            'no property of Coffee Roasted "lots.*.orign" is known yet; did you mean "lots.*.origin"?',
        ),
    ]


async def test_the_grammar_is_published(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/rules/schema")
    assert (answer.headers["content-type"], answer.json()["$id"]) == ("application/schema+json", "urn:rapport:rule:v1")
    assert answer.json() == build_rule_schema()


async def test_putting_versions_and_deleting(api: httpx.AsyncClient, world: World) -> None:
    await api.post("/v1/segments", json={"id": "s", "name": "S", "rule": BUYERS})
    assert (await api.post("/v1/segments", json={"id": "s", "name": "S", "rule": BUYERS})).json()["code"] == "segment_exists"
    changed = {"name": "S", "rule": {"did": "Order Completed", "times": {"gte": 2}}}
    answer = await api.put("/v1/segments/s", json=changed, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["version"], answer.headers["etag"]) == (200, 2, '"2"')
    assert (await api.put("/v1/segments/s", json={**changed, "name": "T"}, headers={"If-Match": '"1"'})).status_code == 412
    assert (await api.put("/v1/segments/none", json=changed)).status_code == 404
    assert (await api.delete("/v1/segments/s")).status_code == 204
    assert (await api.get("/v1/segments/s")).json()["code"] == "segment_not_found"
    assert (await api.get("/v1/segments")).json()["items"] == []


async def test_the_same_key_makes_one_segment(api: httpx.AsyncClient) -> None:
    body = {"name": "Same", "rule": BUYERS}
    first = await api.post("/v1/segments", json=body, headers={"Idempotency-Key": "k1"})
    again = await api.post("/v1/segments", json=body, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.content) == (201, first.content)
    other = await api.post("/v1/segments", json={**body, "name": "Other"}, headers={"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await api.get("/v1/segments")).json()["items"]) == 1


async def test_preview_counts_shows_some_and_saves_nothing(api: httpx.AsyncClient, world: World) -> None:
    await world.define({"trait": "plan", "eq": "gold"}, "gold", "Gold")
    buyers = [Customer(world) for _ in range(3)]
    for number, customer in enumerate(buyers):
        await customer.does(order(), snapshot={"traits": {"plan": "gold" if number else "silver"}})
    await Customer(world).does(make_touchpoint("Page Viewed"))
    found = (await api.post("/v1/segments/preview", json={"rule": BUYERS})).json()
    assert (found["count"], found["of"], found["estimated"]) == (3, 4, False)
    assert {one["profile_id"] for one in found["sample"]} == {str(customer.id) for customer in buyers}
    assert found["overlaps"] == [{"id": "gold", "name": "Gold", "count": 2}]
    nested = (await api.post("/v1/segments/preview", json={"rule": {"not": {"segment": "gold"}}})).json()
    assert nested["count"] == 2
    assert [one["id"] for one in (await api.get("/v1/segments")).json()["items"]] == ["gold"]
    nope = await api.post("/v1/segments/preview", json={"rule": {"any": [BUYERS, {"segment": "gld"}, {"list": "x"}]}})
    assert nope.json()["errors"] == [
        {"pointer": "#/rule/any/1/segment", "detail": 'no segment "gld" exists; did you mean "gold"?'},
        {"pointer": "#/rule/any/2/list", "detail": 'no list "x" exists'},
    ]


async def test_explain_says_each_condition_with_its_facts(api: httpx.AsyncClient, world: World) -> None:
    rule = {
        "all": [
            {"did": "Order Completed", "times": {"gte": 2}, "within": "P30D"},
            {"not": {"trait": "plan", "eq": "gold"}},
            {"view": "aggregates.orders.net_minor.EUR", "gte": 100},
        ]
    }
    await world.define(rule, "s")
    ada = ada_of(world)
    await ada.does(order(), order(1), order(2), snapshot={"traits": {"plan": "silver"}})
    told = (await api.get(f"/v1/segments/s/explain/{ada.id}")).json()
    assert (told["result"], told["member"], told["since"]) == (False, False, None)
    did, plan, net = told["rule"]["all"]
    assert (did["result"], did["facts"]) == (
        True,
        {"count": 3, "first_at": "2026-03-01T12:00:00.000Z", "last_at": "2026-03-01T12:02:00.000Z"},
    )
    assert (plan["result"], plan["not"]["facts"]) == (True, {"value": "silver"})
    assert (net["result"], net["facts"], net["rule"]) == (False, {"value": 0}, rule["all"][2])
    assert (await api.get("/v1/segments/s/explain/email:nobody@example.com")).json()["code"] == "profile_not_found"


async def test_explain_says_when_the_answer_changes(api: httpx.AsyncClient, world: World) -> None:
    await world.define({"did": "Order Completed", "within": "P30D"}, "recent")
    ada = ada_of(world)
    await ada.does(order())
    told = (await api.get(f"/v1/segments/recent/explain/{ada.id}")).json()
    assert (told["result"], told["member"], told["changes_at"]) == (True, True, "2026-03-31T12:00:00.000Z")


async def test_an_absorbed_id_answers_with_the_root(api: httpx.AsyncClient, world: World) -> None:
    ada, device = ada_of(world), Customer(world)
    await ada.does(order())
    await device.does()
    ada.fragments, ada.membership = ada.fragments + device.fragments, 2
    await ada.does(causes=("merge",))
    await device.does(causes=("merge",), members=(), absorbed_into=ada.id)
    answer = await api.get(f"/v1/memberships/{device.id}")
    assert answer.json()["profile_id"] == str(ada.id)
    assert answer.headers["content-location"] == f"/v1/memberships/{ada.id}"


async def test_reading_your_own_write(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    ada, bought = ada_of(world), order()
    waiting = asyncio.create_task(
        api.get("/v1/memberships/email:ada@example.com", params={"wait_for": str(bought.id), "wait_ms": 5000})
    )
    await asyncio.sleep(0)
    await ada.does(bought)
    answer = await waiting
    assert [one["id"] for one in answer.json()["segments"]] == ["s"]
    assert answer.headers["rapport-outcome"] == "applied"
    late = await api.get("/v1/segments/s/members", params={"wait_for": str(uuid4()), "wait_ms": 10})
    assert (late.status_code, late.json()["code"]) == (504, "not_yet_visible")


async def test_memberships_of_the_past_are_what_is_known_now(api: httpx.AsyncClient, world: World) -> None:
    await world.define({"did": "Order Completed", "within": "PT5M"}, "hot")
    await world.define({"trait": "plan", "eq": "gold"}, "gold")
    ada = ada_of(world)
    world.clock.set(NOON + timedelta(minutes=30))
    await ada.does(order(30), make_touchpoint("Page Viewed", minute=30), snapshot={"traits": {"plan": "gold"}})
    world.clock.set(NOON + timedelta(minutes=40))
    await world.fire()
    await ada.does(order(20), parts=("traits",), snapshot={"traits": {"plan": "silver"}})

    async def ask(minute: int) -> Any:
        at = (NOON + timedelta(minutes=minute)).isoformat()
        return (await api.get("/v1/memberships/email:ada@example.com", params={"at": at})).json()

    then = await ask(31)
    assert (then["profile_id"], then["at"]) == (str(ada.id), "2026-03-01T12:31:00.000Z")
    assert then["segments"] == [
        {"id": "gold", "since": "2026-03-01T12:30:00.000Z", "version": 1},
        {"id": "hot", "since": "2026-03-01T12:30:00.000Z", "version": 1},
    ]
    assert [(one["id"], one["action"], one["seq"], one["at"][11:16], one["cause"]) for one in then["changes"]] == [
        ("hot", "exited", 2, "12:35", "time"),
        ("gold", "exited", 2, "12:40", "touchpoint"),
    ]
    # Nobody knew at the time: the order came later.
    assert (await ask(22))["segments"] == [{"id": "hot", "since": None, "version": 1}]
    assert (await ask(40))["segments"] == (await ask(10))["segments"] == []
    ahead = await api.get("/v1/memberships/email:ada@example.com", params={"at": "2026-03-01T12:40:01Z"})
    assert (ahead.status_code, ahead.json()["code"]) == (422, "instant_ahead")
    assert (await api.get("/v1/memberships/email:ada@example.com", params={"at": "soon"})).status_code == 400


async def test_a_job_can_be_followed(api: httpx.AsyncClient, world: World) -> None:
    await ada_of(world).does(order())
    made = await world.define(BUYERS, "s")
    job = (await api.get(f"/v1/jobs/{made.job_id}")).json()
    assert (job["state"], job["progress"], job["result"]) == (
        "succeeded",
        {"done": 1, "total": 1},
        {"profiles": 1, "superseded": False},
    )


async def test_the_page_lists_segments_with_counts(api: httpx.AsyncClient, world: World) -> None:
    assert "None yet" in (await api.get("/")).text
    await world.define(BUYERS, "s", "Buyers <b>")
    await Customer(world).does(order())
    page = (await api.get("/")).text
    assert "Buyers &lt;b&gt;" in page
    assert "100.0 %" in page


async def test_a_list_from_its_file_to_its_members(api: httpx.AsyncClient, world: World) -> None:
    ada = ada_of(world)
    await ada.does(order())
    made = await api.post("/v1/lists", json={"name": "Trade fair 2026"})
    assert (made.status_code, made.headers["location"]) == (201, "/v1/lists/trade-fair-2026")
    again = await api.post("/v1/lists", json={"id": "trade-fair-2026", "name": "x"})
    assert (again.status_code, again.json()["code"]) == (409, "list_exists")
    await world.define({"list": "trade-fair-2026"}, "met")
    url, csv = "/v1/lists/trade-fair-2026/entries", {"Content-Type": "text/csv"}
    file = b"ref\nemail:ada@example.com\nwho\nuser_id:unseen\n"
    told = (await api.post(url, content=file, headers=csv)).json()
    assert (told["added"], told["removed"], told["list"]["entries"]) == (2, 0, 2)
    assert told["unknown"] == {"count": 1, "lines": [4]}
    assert told["unreadable"] == {"count": 1, "lines": [{"line": 3, "detail": "a profile is named by its id or as kind:value"}]}
    await world.run_jobs()
    assert (await api.get(f"/v1/jobs/{told['job_id']}")).json()["state"] == "succeeded"
    assert (await api.get("/v1/segments/met")).json()["members"] == 1
    explained = (await api.get(f"/v1/segments/met/explain/{ada.id}")).json()
    assert (explained["result"], explained["rule"]["facts"]) == (True, {"listed": True})
    assert (await api.post("/v1/segments/preview", json={"rule": {"list": "trade-fair-2026"}})).json()["count"] == 1
    assert [one["id"] for one in (await api.get("/v1/lists")).json()["items"]] == ["trade-fair-2026"]

    assert (await api.delete("/v1/lists/trade-fair-2026")).json()["code"] == "list_in_use"
    assert (await api.put(url, content=b"who\n", headers=csv)).json()["code"] == "list_file_unreadable"
    assert (await api.put(url, content=b"", headers={"Content-Type": "image/png"})).status_code == 415
    assert (await api.put("/v1/lists/none/entries", content=b"", headers=csv)).json()["code"] == "list_not_found"
    reader = {"Authorization": "Bearer reader"}
    assert (await api.put(url, content=b"", headers={**csv, **reader})).status_code == 403
    assert (await api.put(url, content=b"", headers=csv)).json()["removed"] == 2
    await api.delete("/v1/segments/met")
    assert (await api.delete("/v1/lists/trade-fair-2026")).status_code == 204
    assert (await api.get("/v1/lists/trade-fair-2026")).status_code == 404


async def test_a_file_that_is_too_large_is_refused_as_it_comes(api: httpx.AsyncClient) -> None:
    await api.post("/v1/lists", json={"id": "l", "name": "L"})
    answer = await api.post("/v1/lists/l/entries", content=b"user_id:ada\n" * 100, headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["code"]) == (413, "list_file_too_large")


async def test_what_is_made_is_made_once_for_a_key(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    webhook = (await api.post("/v1/webhooks", json={"url": "https://hooks.example.com/x"})).json()
    export = (await api.post("/v1/exports", json={"segment": "s", "every": "P1D"})).json()
    posts: list[tuple[str, Any, Any]] = [
        ("/v1/lists", {"name": "L"}, {"name": "M"}),
        ("/v1/exports", {"segment": "s", "every": "P1D"}, {"segment": "s", "every": "P2D"}),
        (f"/v1/exports/{export['id']}/run", None, None),
        ("/v1/segments/verify", None, None),
        ("/v1/segments/s/history/recount", None, None),
        (f"/v1/webhooks/{webhook['id']}/test", None, None),
        (f"/v1/webhooks/{webhook['id']}/secret", None, None),
    ]
    for path, body, other in posts:
        key = {"Idempotency-Key": "k"}
        first, again = [await api.post(path, json=body, headers=key) for _ in range(2)]
        assert first.is_success, path
        assert (again.status_code, again.json()) == (first.status_code, first.json()), path
        assert again.headers.get("location") == first.headers.get("location")
        assert again.headers["idempotent-replayed"] == "true"
        assert (await api.post(path, json=body)).json() != first.json(), path
        if other is not None:
            assert (await api.post(path, json=other, headers=key)).json()["code"] == "idempotency_key_reused"
    reused = await api.post("/v1/segments/s/verify", headers={"Idempotency-Key": "k"})
    assert reused.json()["code"] == "idempotency_key_reused"
