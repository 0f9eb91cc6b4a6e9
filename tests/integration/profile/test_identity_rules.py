"""The rules of identity over HTTP and in the worker: versions, who may change them, what they decide and leave alone."""

from typing import Any

import httpx
import pytest

from libs.events import codec
from libs.events.profiles import TouchpointDismissed
from libs.kit.db import Database
from libs.kit.freshness import KeptFresh
from libs.messaging.outcomes import DUPLICATE, HANDLED, Ignored
from services.profile.domain.rules import KindRules
from services.profile.handlers.change_rules import LiveRules
from services.profile.store.rules import PostgresRules
from services.profile.upkeep import RulesKeeper
from tests.integration.profile.driving import Profiles, make_identifier, make_identify, make_touchpoint, to_incoming
from tests.integration.profile.running import OTHER_KEY, READ_KEY, RULES_KEY, Service
from tests.support.eventually import eventually

DEFAULTS = {"browser_claim": True, "check_digit": None}


def block(*values: str) -> KindRules:
    return KindRules(description="", limit=1, blocked=frozenset(values))


async def put(service: Service, body: Any, *, key: str = RULES_KEY, if_match: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} | ({"If-Match": if_match} if if_match else {})
    return await service.client.put("/v1/identity/rules", json=body, headers=headers)


async def test_what_a_rule_blocks_is_dropped_and_the_rest_of_the_touchpoint_counts(profiles: Profiles) -> None:
    profiles.decide_by(user_id=block("u9"), email=block("e1"))
    sent = make_identify(1, "u9", "e1", "d1", email="e1", plan="gold")
    result = await profiles.apply(sent)
    assert result.outcomes == [HANDLED]
    view = await profiles.view("d1")
    assert view is not None
    assert (view["traits"], await profiles.members("d1")) == ({"plan": "gold"}, {"d1"})
    assert await profiles.view("u9") is None
    [row] = await profiles.fetch("SELECT touchpoint_id, reason, own, fragments, named, rules FROM refusals")
    blocked = [make_identifier(name).fragment for name in ("u9", "e1")]
    assert tuple(row) == (sent.id, "blocked", make_identifier("d1").fragment, blocked, ["user_id:u9", "email:e1"], 1)


async def test_letter_case_does_not_get_a_value_past_its_block(profiles: Profiles) -> None:
    profiles.decide_by(user_id=block("u9x"))
    await profiles.apply(make_touchpoint(1, "u9X", "d1"))
    assert await profiles.members("d1") == {"d1"}


async def test_a_touchpoint_left_without_an_identifier_changes_nobody_for_ever_and_says_so(profiles: Profiles) -> None:
    profiles.decide_by(user_id=block("u9"), anonymous_id=block("d9"))
    sent, beside = make_touchpoint(1, "u9", "d9", previous=["u1"]), make_touchpoint(2, "u2")
    result = await profiles.apply(sent, beside)
    assert result.outcomes == [Ignored("no_identifier"), HANDLED]
    told = [codec.decode(to_incoming(one)) for one in result.outgoing]
    assert TouchpointDismissed(touchpoint_id=sent.id, outcome="ignored", reason="no_identifier") in told
    [row] = await profiles.fetch("SELECT reason, own, named FROM refusals")
    assert tuple(row) == ("no_identifier", None, ["user_id:u9", "anonymous_id:d9"])
    # What was decided is never decided again, whatever the rules say by now.
    profiles.decide_by()
    assert (await profiles.apply(sent)).outcomes == [DUPLICATE]
    assert await profiles.view("u9") is None
    assert await profiles.members("u2") == {"u2"}


async def test_who_waits_for_an_ignored_touchpoint_is_told_and_whom_it_names_can_still_be_edited(service: Service) -> None:
    known = make_touchpoint(1, "u1")
    await service.send(known)
    await service.view("user_id:u1", known)
    assert (await put(service, {"kinds": {"user_id": {"blocked": ["U1"]}}})).status_code == 200
    sent = make_touchpoint(2, "u1")
    await service.send(sent)
    answer = await service.get("/v1/profiles/user_id:u1", wait_for=str(sent.id))
    assert (answer.status_code, answer.headers["rapport-outcome"]) == (200, "ignored")
    [refused] = (await service.get("/v1/identity/refusals")).json()["items"]
    assert (refused["reason"], refused["touchpoint_id"], refused["kept_by"]) == ("no_identifier", str(sent.id), None)
    assert ([(one["kind"], one["value"]) for one in refused["identifiers"]], refused["rules"]) == ([("user_id", "u1")], 1)
    # Who is known by it may still be edited, and may still say no.
    word = {"purpose": "marketing", "channel": "email", "status": "denied"}
    assert (await service.client.put("/v1/profiles/user_id:u1/consent", json=word)).status_code == 200
    view = (await service.get("/v1/profiles/user_id:u1")).json()
    assert [(one["channel"], one["status"]) for one in view["consent"]] == [("email", "denied")]


async def test_rules_are_read_changed_in_versions_and_remembered(service: Service) -> None:
    read = await service.get("/v1/identity/rules")
    assert (read.status_code, read.headers["etag"], read.json()["version"]) == (200, '"0"', 0)
    kinds = read.json()["kinds"]
    assert {kind: (one["limit"], one["window"]) for kind, one in kinds.items()} == {
        "user_id": (1, None),
        "loyalty_card": (5, None),
        "*": (5, None),
        "email": (5, "P365D"),
        "phone": (5, "P365D"),
        "anonymous_id": (5, "P7D"),
        "device_id": (5, "P7D"),
    }
    assert read.json()["fixed"]["strength"][0] == "user_id"
    crm = {"description": "Contact in the CRM", "limit": 1, "blocked": ["None of Them", " x1 "]}
    changed = await put(service, {"kinds": {"crm_id": crm, "email": {"window": "P2W", "limit": None}}}, if_match='"0"')
    assert (changed.status_code, changed.headers["etag"]) == (200, '"1"')
    assert changed.json()["changed_by"] == "steward"
    assert changed.json()["kinds"]["crm_id"] == {**crm, "window": None, "blocked": ["none of them", "x1"], **DEFAULTS}
    assert (changed.json()["kinds"]["email"]["limit"], changed.json()["kinds"]["email"]["window"]) == (None, "P14D")
    late = await put(service, {"kinds": {}}, if_match='"0"')
    assert (late.status_code, late.json()["code"], late.headers["etag"]) == (412, "precondition_failed", '"1"')
    again = await put(service, {"kinds": changed.json()["kinds"]}, if_match='W/"1", "1"')
    assert (again.status_code, again.headers["etag"]) == (200, '"1"')
    assert (await put(service, {"kinds": {}})).json()["kinds"] == kinds
    page = (await service.get("/v1/identity/rules/versions", limit=1)).json()
    rest = (await service.get("/v1/identity/rules/versions", limit=1, cursor=page["next_cursor"])).json()
    assert [one["version"] for one in (*page["items"], *rest["items"])] == [2, 1]
    assert rest["items"][0]["kinds"] == changed.json()["kinds"]
    assert rest["next_cursor"] is None


async def test_changed_rules_bind_what_comes_after_commands_included_and_split_nobody(service: Service) -> None:
    sent = make_identify(1, "u1", "e1", "e2")
    await service.send(sent, make_touchpoint(2, "e3"))
    await service.view("email:e3", make_touchpoint(2, "e3"))
    assert (await put(service, {"kinds": {"email": {"limit": 1, "window": None}}})).status_code == 200
    assert len((await service.view("user_id:u1"))["identifiers"]) == 3
    refused = await service.client.post("/v1/profiles/user_id:u1/merge", json={"other": "email:e3", "reason": "hers"})
    assert (refused.status_code, refused.json()["code"]) == (409, "merge_refused")
    assert "email" in refused.json()["detail"]
    named = make_touchpoint(3, "u1", "e3")
    await service.send(named)
    assert len((await service.view("user_id:u1", named))["identifiers"]) == 3
    [refusal] = (await service.get("/v1/identity/refusals")).json()["items"]
    assert (refusal["reason"], refusal["rules"], refusal["kept_by"]["value"]) == ("email_limit", 1, "u1")


async def test_every_process_adopts_changed_rules_by_itself(service: Service, database: Database) -> None:
    other = RulesKeeper(database, PostgresRules(), LiveRules())
    kept = KeptFresh(other.refresh, every_s=0.01, what="identity rules")
    await kept.start()
    try:
        assert (await put(service, {"kinds": {"user_id": {"limit": 2}}})).status_code == 200

        async def find_limit() -> int | None:
            return other.live.in_force.of("user_id").limit

        assert await eventually(find_limit, until=lambda limit: limit == 2) == 2
    finally:
        await kept.close()


@pytest.mark.parametrize(
    ("kinds", "pointer"),
    [
        ({"email": {"strength": 1}}, "#/kinds/email/strength"),
        ({"email": {"normaliser": "lower"}}, "#/kinds/email/normaliser"),
        ({"email": {"limit": 0}}, "#/kinds/email/limit"),
        ({"email": {"limit": 1001}}, "#/kinds/email/limit"),
        ({"email": {"limit": "5"}}, "#/kinds/email/limit"),
        ({"email": {"limit": True}}, "#/kinds/email/limit"),
        ({"email": {"window": "P1M"}}, "#/kinds/email/window"),
        ({"email": {"window": "PT0S"}}, "#/kinds/email/window"),
        ({"email": {"window": "P9999D"}}, "#/kinds/email/window"),
        ({"email": {"blocked": ["info@shop.example", "null"]}}, "#/kinds/email/blocked/1"),
        ({"email": {"browser_claim": 1}}, "#/kinds/email/browser_claim"),
        ({"anonymous_id": {"browser_claim": False}}, "#/kinds/anonymous_id/browser_claim"),
        ({"email": {"check_digit": "luhn"}}, "#/kinds/email/check_digit"),
        ({"loyalty_card": {"check_digit": "iban"}}, "#/kinds/loyalty_card/check_digit"),
        ({"crm_id": {"limit": 1}}, "#/kinds/crm_id/description"),
        ({"CRM/Id": {"description": "Contact"}}, "#/kinds/CRM~1Id"),
        ({"email": {"unknown": 1}}, "#/kinds/email/unknown"),
    ],
)
async def test_what_cannot_be_a_rule_is_pointed_at(service: Service, kinds: dict[str, Any], pointer: str) -> None:
    answer = await put(service, {"kinds": kinds})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert (await service.get("/v1/identity/rules")).headers["etag"] == '"0"'


async def test_reading_and_changing_rules_have_scopes_of_their_own(service: Service) -> None:
    for key, method, status in (
        (READ_KEY, "GET", 200),
        (READ_KEY, "PUT", 403),
        (OTHER_KEY, "GET", 403),
        (RULES_KEY, "PUT", 200),
    ):
        headers = {"Authorization": f"Bearer {key}"}
        answer = await service.client.request(method, "/v1/identity/rules", headers=headers, json={"kinds": {}})
        assert answer.status_code == status, (key, method)


async def test_a_lifted_ban_stands_in_the_history_of_both_sides_with_who_lifted_it(service: Service) -> None:
    first = make_identify(1, "u1", "e1", "d1")
    await service.send(first)
    await service.view("user_id:u1", first)
    done = await service.client.post(
        "/v1/profiles/user_id:u1/split", json={"identifier": {"kind": "email", "value": "e1"}, "reason": "a typing error"}
    )
    ban_id = done.json()["ban_id"]
    assert (await service.client.delete(f"/v1/identity/bans/{ban_id}")).status_code == 204
    for ref in ("user_id:u1", "email:e1"):
        unban, split = (await service.get(f"/v1/profiles/{ref}/history")).json()["items"]
        assert (unban["kind"], split["kind"]) == ("unban", "split")
        assert unban["cause"] == {"kind": "command", "command_id": ban_id, "reason": None, "actor": "writer"}
        assert {unban["profile_id"], unban["other_id"]} == {split["profile_id"], split["other_id"]}
        assert [one["value"] for one in unban["identifiers"]] == ["e1"]
    # Lifting brings nobody together: what one of them does from now on is no part of the other's past.
    merged = await service.client.post("/v1/profiles/user_id:u1/merge", json={"other": "email:e1", "reason": "no error"})
    assert merged.status_code == 200, merged.text
    items = (await service.get("/v1/profiles/email:e1/history")).json()["items"]
    assert [one["kind"] for one in items] == ["merge", "unban", "split"]
