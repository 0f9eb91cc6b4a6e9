"""The HTTP contract of profile, on real PostgreSQL."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from msgspec.structs import replace

from libs.kit.db import Database
from libs.kit.times import format_utc
from tests.integration.profile.driving import (
    encode_touchpoint,
    make_identifier,
    make_identify,
    make_order,
    make_touchpoint,
)
from tests.integration.profile.running import (
    OTHER_KEY,
    READ_KEY,
    Service,
    answering_probes,
    make_balance,
    make_edge,
    make_etag,
    make_judged,
    run_service,
)
from tests.support.eventually import eventually


async def test_the_view_answers_to_every_identifier_and_to_the_id(service: Service) -> None:
    sent = make_identify(1, "u1", "e1", firstName="Ada")
    await service.send(sent)
    view = await service.view("user_id:u1", sent)
    assert view["traits"]["first_name"] == "Ada"
    for ref in ("email:e1", "email:E1", view["id"], view["id"].upper()):
        assert await service.view(ref) == view
    answer = await service.get(f"/v1/profiles/{view['id']}")
    etag = make_etag(view)
    assert (answer.headers["etag"], view["version"]) == (etag, 1)
    again = await service.client.get(f"/v1/profiles/{view['id']}", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    weak = await service.client.get(f"/v1/profiles/{view['id']}", headers={"If-None-Match": f'"0", W/{etag}'})
    old = await service.client.get(f"/v1/profiles/{view['id']}", headers={"If-None-Match": make_etag(view, 0)})
    assert (weak.status_code, old.status_code) == (304, 200)


async def test_each_trait_says_who_said_it_and_when_over_all_fragments(service: Service) -> None:
    """The last word by the customer's time stands, whichever identifier it came under; what was deleted isn't listed."""
    old = make_identify(1, "u1", plan="free", city="Bonn", age=36)
    new = replace(make_identify(2, "e1", plan="gold"), source_id="crm")
    gone = make_identify(3, "u1", "e1", city=None)
    for touchpoint in (new, gone, old):
        await service.send(touchpoint)
    view = await service.view("user_id:u1", old)
    answer = await service.get("/v1/profiles/email:e1/traits", wait_for=str(gone.id))
    items = {item["name"]: item for item in answer.json()["items"]}
    assert {name: item["value"] for name, item in items.items()} == view["traits"] == {"age": 36, "email": "e1", "plan": "gold"}
    said = {"name": "plan", "value": "gold", "at": format_utc(new.occurred_at), "touchpoint_id": str(new.id), "source": "crm"}
    assert items["plan"] == said | {"fragment": items["plan"]["fragment"], "original": None}
    assert (items["age"]["touchpoint_id"], items["age"]["source"]) == (str(old.id), "test")
    assert items["email"]["touchpoint_id"] == str(gone.id)
    assert {item["fragment"] for item in items.values()} == {one["fragment"] for one in view["identifiers"]}
    assert (await service.get("/v1/profiles/user_id:nobody/traits")).status_code == 404


async def test_a_profile_without_traits_has_an_empty_list_of_them(service: Service) -> None:
    sent = make_touchpoint(1, "u1")
    await service.send(sent)
    answer = await service.get("/v1/profiles/user_id:u1/traits", wait_for=str(sent.id))
    assert answer.json() == {"items": [], "next_cursor": None}


async def test_an_absorbed_id_answers_with_the_root_and_says_where_it_is(service: Service) -> None:
    first, second, both = make_touchpoint(1, "e1"), make_touchpoint(2, "u1"), make_touchpoint(3, "u1", "e1")
    await service.send(first)
    root = await service.view("email:e1", first)
    await service.send(second)
    gone = await service.view("user_id:u1", second)
    await service.send(both)
    await service.view("user_id:u1", both)
    answer = await service.get(f"/v1/profiles/{gone['id']}")
    assert (answer.status_code, answer.headers["content-location"]) == (200, f"/v1/profiles/{root['id']}")
    assert answer.json()["id"] == root["id"]
    timeline = await service.get(f"/v1/profiles/{gone['id']}/timeline")
    assert timeline.headers["content-location"] == f"/v1/profiles/{root['id']}/timeline"
    assert len(timeline.json()["items"]) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"a":"\xff"}', 422),
        (b'{"a":1e400}', 422),
        (b'{"a":' + b"9" * 5000 + b"}", 422),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", 422),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"a":"\\u0000"}', 422),
        (b'{"a\\u0000":1}', 422),
        (b'{"":1}', 422),
    ],
)
async def test_a_trait_that_others_could_not_read_is_refused_before_it_is_appended(
    service: Service, body: bytes, status: int
) -> None:
    sent = make_touchpoint(1, "u1")
    await service.send(sent)
    before = await service.view("user_id:u1", sent)
    answer = await service.client.patch("/v1/profiles/user_id:u1/traits", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert await service.view("user_id:u1") == before


@pytest.mark.parametrize("word", ["carrier pigeon", "\0", " ", ""])
async def test_a_channel_or_stage_that_is_no_word_is_refused(service: Service, word: str) -> None:
    sent = make_touchpoint(1, "u1")
    await service.send(sent)
    await service.view("user_id:u1", sent)
    consent = {"purpose": "marketing", "channel": word, "status": "granted"}
    assert (await service.client.put("/v1/profiles/user_id:u1/consent", json=consent)).status_code == 422
    assert (await service.client.post("/v1/profiles/user_id:u1/lead/stage", json={"stage": word})).status_code == 422


async def test_an_address_with_a_nul_is_refused(service: Service) -> None:
    sent = make_touchpoint(1, "u1")
    await service.send(sent)
    await service.view("user_id:u1", sent)
    for path in (
        "/v1/profiles/user_id:u1/timeline?name=%00",
        "/v1/profiles/user_id:u1/timeline?channel=%00",
        "/v1/profiles?q=%00",
    ):
        assert (await service.client.get(path)).status_code == 422
    odd = await service.client.post("/v1/profiles/batch", content=b'{"refs":["email:\\ud800"]}')
    assert odd.status_code == 422


async def test_keys_and_unknown_references_are_answered_with_problems(service: Service) -> None:
    async def status(key: str | None, path: str = "/v1/profiles/user_id:u1") -> tuple[int, str]:
        answer = await service.client.get(path, headers={"Authorization": f"Bearer {key}"} if key else {"Authorization": ""})
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, answer.json()["code"]

    assert await status(None) == (401, "unauthorized")
    assert await status("nonsense") == (401, "unauthorized")
    assert await status(OTHER_KEY) == (403, "forbidden")
    assert await status(READ_KEY) == (404, "profile_not_found")
    for ref in ("nonsense", "email:", "email:null", str(uuid4()), "user_id:a%2Fb"):
        assert await status(READ_KEY, f"/v1/profiles/{ref}") == (404, "profile_not_found")


async def test_a_reference_may_hold_any_character(service: Service) -> None:
    odd = make_identifier("u/ü?#%")
    sent = replace(make_touchpoint(1, "u1"), identifiers=(odd,))
    await service.send(sent)
    ref = "user_id:u%2F%C3%BC%3F%23%25"
    assert (await service.view(ref, sent))["identifiers"][0]["value"] == "u/ü?#%"
    answer = await service.get(f"/v1/profiles/{ref}/timeline")
    assert len(answer.json().get("items", answer.text)) == 1, answer.text


async def test_waiting_covers_an_unknown_reference_and_ends_in_time(service: Service) -> None:
    sent = make_touchpoint(1, "u1")
    waiting = asyncio.create_task(service.get("/v1/profiles/user_id:u1", wait_for=str(sent.id)))
    await asyncio.sleep(0)
    await service.send(sent)
    answer = await waiting
    assert (answer.status_code, answer.headers["rapport-outcome"]) == (200, "applied")
    unknown = await service.get("/v1/profiles/user_id:u2", wait_for=str(sent.id))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "profile_not_found")
    late = await service.get("/v1/profiles/user_id:u1", wait_for=str(uuid4()), wait_ms="60")
    assert (late.status_code, late.json()["code"]) == (504, "not_yet_visible")
    for query in ({"wait_for": "x"}, {"wait_for": str(sent.id), "wait_ms": "10001"}, {"wait_for_facets": "weather"}):
        assert (await service.client.get("/v1/profiles/user_id:u1", params=query)).status_code == 422


async def test_a_touchpoint_that_became_a_dead_letter_counts_as_in(service: Service) -> None:
    good = make_touchpoint(1, "u1")
    bad = make_touchpoint(2, "u1")
    await service.send(good)
    await service.broker.publisher().publish([replace(encode_touchpoint(bad), value=b"{")])
    answer = await service.get("/v1/profiles/user_id:u1", wait_for=str(bad.id))
    assert (answer.status_code, answer.headers["rapport-outcome"]) == (200, "dead_lettered")
    # The reader is answered from what is committed; the outbox tells it a moment later.
    await eventually(
        lambda: [record.event_type for record in service.broker.records("profile-changes")],
        until=lambda types: "rapport.touchpoint.dismissed.v1" in types,
    )
    await eventually(lambda: service.broker.records("profile-touchpoints-dlq"), until=lambda records: len(records) == 1)


async def test_facets_come_back_into_the_view_and_an_unchanged_one_makes_no_version(service: Service) -> None:
    sent = make_touchpoint(1, "u1")
    await service.send(sent)
    view = await service.view("user_id:u1", sent)
    await service.broker.publisher().publish([make_edge(view["id"], "vip", 1), make_balance(view["id"], 1, 120)])
    after = await eventually(lambda: service.view("user_id:u1"), until=lambda one: one["loyalty"]["balance"] and one["segments"])
    assert after["segments"] == [{"id": "vip", "name": "Vip", "since": "2026-03-01T12:00:00.000Z"}]
    assert after["version"] in (2, 3)
    await service.broker.publisher().publish(
        [make_edge(view["id"], "vip", 1), make_balance(view["id"], 1, 500), make_edge(view["id"], "vip", 3, entered=False)]
    )
    left = await eventually(lambda: service.view("user_id:u1"), until=lambda one: not one["segments"])
    assert (left["version"], left["loyalty"]["balance"]) == (after["version"] + 1, 120)
    causes = [told.causes for told in service.told()]
    assert causes[0] == ("touchpoint",)
    assert set(causes[1:]) == {("facet",)}


async def test_a_reader_may_wait_until_the_facets_have_judged_what_the_touchpoint_made(service: Service) -> None:
    sent = make_order(1, "u1", order_id="o1", amount="12")
    await service.send(sent)
    async with answering_probes(
        service,
        lambda told: (
            [
                make_balance(told.profile_id, told.version, 12, profile_version=told.version),
                make_judged(told.profile_id, told.version),
            ]
            if told.probe
            else []
        ),
    ):
        view = await service.view("user_id:u1", sent, wait_for_facets="loyalty,segments")
    assert view["loyalty"]["balance"] == 12
    assert sum(told.probe for told in service.told()) == 1
    silent = await service.get("/v1/profiles/user_id:u1", wait_for_facets="segments", wait_ms="50")
    assert silent.status_code == 504 or silent.json()["version"] >= view["version"]


async def test_the_timeline_is_paged_and_filtered_newest_first(service: Service) -> None:
    sent = [
        make_touchpoint(number, "u1", name=f"Name {number % 2}", channel="web" if number < 6 else "pos") for number in range(10)
    ]
    await service.send(*sent, make_touchpoint(11, "d1"), last := make_touchpoint(12, "u1", "d1"))
    first = (await service.get("/v1/profiles/user_id:u1/timeline", limit=5, wait_for=str(last.id))).json()
    second = (await service.get("/v1/profiles/user_id:u1/timeline", limit=50, cursor=first["next_cursor"])).json()
    messages = [item["message_id"] for item in first["items"] + second["items"]]
    assert messages == ["12", "11", *(str(number) for number in reversed(range(10)))]
    assert second["next_cursor"] is None
    only = (await service.get("/v1/profiles/user_id:u1/timeline", channel="pos", name="Name 1")).json()["items"]
    assert [item["message_id"] for item in only] == ["9", "7"]
    between = {"from": "2026-03-01T12:02:00Z", "to": "2026-03-01T12:04:00Z", "include": "context"}
    items = (await service.client.get("/v1/profiles/user_id:u1/timeline", params=between)).json()["items"]
    assert [item["message_id"] for item in items] == ["3", "2"]
    assert items[0]["context"] == {}
    assert (await service.get("/v1/profiles/user_id:u1/timeline", cursor="nonsense")).status_code == 422


async def test_history_and_refusals_name_their_causes(service: Service) -> None:
    await service.send(make_touchpoint(1, "d1"))
    await service.view("anonymous_id:d1", make_touchpoint(1, "d1"))
    await service.send(make_touchpoint(2, "u1"))
    await service.view("user_id:u1", make_touchpoint(2, "u1"))
    merging = make_touchpoint(3, "u1", "d1")
    refused = make_touchpoint(4, "u2", "d1")
    await service.send(merging)
    await service.view("user_id:u1", merging)
    await service.send(refused)
    await service.view("user_id:u2", refused)
    [merge] = (await service.get("/v1/profiles/user_id:u1/history")).json()["items"]
    assert merge["cause"] == {"kind": "touchpoint", "touchpoint_id": str(merging.id)}
    assert {one["value"] for one in merge["identifiers"]} == {"u1", "d1"}
    page = (await service.get("/v1/identity/refusals")).json()
    [refusal] = page["items"]
    assert (refusal["reason"], refusal["touchpoint_id"]) == ("shared_device", str(refused.id))
    assert [(one["kind"], one["value"]) for one in refusal["identifiers"]] == [("anonymous_id", "d1")]
    assert refusal["kept_by"]["value"] == "u2"


async def test_edits_go_through_the_log_and_answer_with_the_view(service: Service) -> None:
    sent = make_identify(1, "u1", "d1", plan="free")
    await service.send(sent)
    await service.view("user_id:u1", sent)
    patched = await service.client.patch("/v1/profiles/anonymous_id:d1/traits", json={"plan": "gold", "note": None})
    assert patched.status_code == 200
    assert patched.json()["traits"] == {"plan": "gold"}
    granted = {"purpose": "marketing", "channel": "email", "status": "granted", "wording_version": "v2"}
    consent = await service.client.put("/v1/profiles/user_id:u1/consent", json=granted)
    assert consent.json()["consent"][0]["status"] == "granted"
    denied = await service.client.put("/v1/profiles/user_id:u1/consent", json=granted | {"status": "denied"})
    assert denied.json()["consent"][0]["status"] == "denied"
    stage = await service.client.post("/v1/profiles/user_id:u1/lead/stage", json={"stage": "customer"})
    assert stage.json()["lead"]["stage"] == "customer"
    items = (await service.get("/v1/profiles/user_id:u1/timeline")).json()["items"]
    by_source = [item for item in items if item["source"] == "profile-api"]
    assert len(by_source) == 4
    assert {item["fragment"] for item in by_source if item["name"] == "Identified"} == {str(make_identifier("d1").fragment)}


async def test_edits_check_scope_shape_version_and_repeat_safely(service: Service) -> None:
    sent = make_identify(1, "u1", plan="free")
    await service.send(sent)
    view = await service.view("user_id:u1", sent)
    path = "/v1/profiles/user_id:u1/traits"
    reader = {"Authorization": f"Bearer {READ_KEY}"}
    assert (await service.client.patch(path, json={"a": 1}, headers=reader)).status_code == 403
    assert (await service.client.patch(path, content=b"[1]")).status_code == 422
    assert (await service.client.patch(path, content=b"{")).status_code == 400
    assert (await service.client.patch("/v1/profiles/user_id:u2/traits", json={"a": 1})).status_code == 404
    assert (
        await service.client.put("/v1/profiles/user_id:u1/consent", json={"purpose": "x", "status": "maybe"})
    ).status_code == 422
    assert (await service.client.patch(path, json={"a": 1}, headers={"If-Match": '"99"'})).status_code == 412
    key = {"Idempotency-Key": "k1", "If-Match": make_etag(view)}
    first = await service.client.patch(path, json={"a": 1}, headers=key)
    again = await service.client.patch(path, json={"a": 1}, headers=key)
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    other = await service.client.patch(path, json={"a": 2}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    items = (await service.get("/v1/profiles/user_id:u1/timeline")).json()["items"]
    assert len(items) == 2


async def test_the_page_shows_a_card_and_asks_for_a_key(service: Service) -> None:
    sent = [
        make_identify(1, "u1", "e1", firstName="Ada", lastName="<b>Lovelace</b>"),
        make_order(2, "u1", "d1", order_id="o1", amount="1234.5"),
    ]
    await service.send(*sent)
    await service.view("user_id:u1", sent[1])
    plain = httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app, client=("127.0.0.1", 1)), base_url="http://localhost:8081"
    )
    async with plain:
        refused = await plain.get("/")
        assert (refused.status_code, refused.headers["www-authenticate"].split()[0]) == (401, "Basic")
        page = await plain.get("/", params={"q": "e1"}, auth=("anything", READ_KEY))
        listed = await plain.get("/", auth=("anything", READ_KEY))
        nobody = await plain.get("/", params={"q": "zzz"}, auth=("anything", READ_KEY))
    assert page.status_code == 200
    assert "Ada &lt;b&gt;Lovelace&lt;/b&gt;" in page.text
    assert "1,234.50 EUR" in page.text
    assert "user_id u1 and email e1" in page.text or "email e1 and user_id u1" in page.text
    assert "Order Completed" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "/?ref=" in listed.text
    assert "Nobody is known by this" in nobody.text


async def test_only_a_local_installation_shows_the_page_to_its_own_machine_without_a_key(database: Database) -> None:
    async with run_service(database, env="local") as local:

        async def status(client: str, base: str) -> int:
            transport = httpx.ASGITransport(local.app, client=(client, 1))
            async with httpx.AsyncClient(transport=transport, base_url=base) as browser:
                return (await browser.get("/")).status_code

        assert await status("127.0.0.1", "http://localhost:8081") == 200
        assert await status("127.0.0.1", "http://rebound.example:8081") == 401
        assert await status("192.0.2.9", "http://localhost:8081") == 401


async def test_the_document_describes_the_routes(service: Service) -> None:
    paths = (await service.get("/openapi.json")).json()["paths"]
    assert {"/v1/profiles/{ref}", "/v1/profiles/stream", "/v1/profiles/batch", "/v1/identity/refusals"} <= set(paths)
    assert {"/v1/accounts/{account_id}", "/v1/me"} <= set(paths)
    assert "412" in paths["/v1/profiles/{ref}/traits"]["patch"]["responses"]
    assert {parameter["name"] for parameter in paths["/v1/profiles/{ref}"]["get"]["parameters"]} >= {"ref", "wait_for_facets"}
