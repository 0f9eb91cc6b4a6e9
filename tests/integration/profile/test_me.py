"""`/v1/me`: a website reads of its own visitor, and of nobody else."""

import dataclasses
from typing import Any

import httpx
import msgspec
import pytest

from libs.events.touchpoints import Identifier, TouchpointRecorded
from libs.kit.http import Health
from services.profile.api.app import create_profile_app
from services.profile.api.reading import Reader
from services.profile.ports import StoredProfile
from tests.integration.profile.driving import KEY, make_touchpoint
from tests.integration.profile.running import (
    BROWSER_KEY,
    CLOSED_KEY,
    READ_KEY,
    SERVER_KEY,
    SHOP_KEY,
    Service,
    make_balance,
    make_edge,
)
from tests.support.eventually import eventually

MINE = "8f14e45f-ceea-467f-9575-2d4b0e6e1a3c"
OTHER = "c9f0f895-fb98-4b91-9f8d-1a2b3c4d5e6f"
NOTHING = {"segments": [], "tier": None, "points": 0}
SOMETHING = {"segments": [{"id": "vip", "name": "Vip"}], "tier": None, "points": 120}


def make_visit(number: int, *names: str, visitor: str = MINE) -> TouchpointRecorded:
    """What a touchpoint says of a visitor and whom else it names (`?` in front: only claimed)."""
    touchpoint = make_touchpoint(number, *(names or ("d1",)))
    known = tuple(one for one in touchpoint.identifiers if names)
    own = Identifier("anonymous_id", visitor, KEY.fragment_id("anonymous_id", visitor))
    return msgspec.structs.replace(touchpoint, identifiers=(*known, own))


async def read_me(service: Service, visitor: str = MINE, key: str | None = BROWSER_KEY, **headers: str) -> httpx.Response:
    given = {"Authorization": "", **({"X-Write-Key": key} if key else {}), **headers}
    return await service.client.get("/v1/me", params={"anonymous_id": visitor}, headers=given)


async def show(service: Service, visitor: str = MINE) -> dict[str, Any]:
    answer = await read_me(service, visitor)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def reward(service: Service, ref: str) -> None:
    """120 points and a segment, seen in the profile's view."""
    view = await service.view(ref)
    await service.broker.publisher().publish([make_edge(view["id"], "vip", 1), make_balance(view["id"], 1, 120)])
    await eventually(lambda: service.view(ref), until=lambda one: one["loyalty"]["balance"] and one["segments"])


async def test_an_anonymous_visitor_reads_segments_tier_and_points_and_nothing_else(service: Service) -> None:
    await service.send(sent := make_visit(1))
    await service.view(f"anonymous_id:{MINE}", sent)
    assert await show(service) == NOTHING
    await reward(service, f"anonymous_id:{MINE}")
    answer = await read_me(service)
    assert answer.json() == SOMETHING
    assert answer.headers["cache-control"] == "private, no-store"
    in_query = await service.client.get("/v1/me", params={"anonymous_id": MINE, "writeKey": BROWSER_KEY})
    assert in_query.json() == SOMETHING


async def test_nobody_reads_another_s_by_claiming_to_be_them_in_a_browser(service: Service) -> None:
    known = make_touchpoint(1, "u1", "e1")
    await service.send(known)
    await service.view("user_id:u1", known)
    await reward(service, "user_id:u1")
    claim, mail = make_visit(2, "?u1"), make_visit(3, "?e1", visitor=OTHER)
    await service.send(claim, mail)
    view = await service.view("user_id:u1", mail)
    assert {MINE, OTHER} <= {one["value"] for one in view["identifiers"]}
    assert await show(service) == NOTHING
    assert await show(service, OTHER) == NOTHING


async def test_nobody_reads_another_s_whom_only_browsers_know(service: Service) -> None:
    theirs, claim = make_visit(1, "?e1", visitor=OTHER), make_visit(2, "?e1")
    await service.send(theirs)
    await service.view("email:e1", theirs)
    await reward(service, "email:e1")
    await service.send(claim)
    await service.view("email:e1", claim)
    assert await show(service) == NOTHING


async def test_once_a_server_said_whose_it_is_the_visitor_reads_what_is_known(service: Service) -> None:
    claim = make_visit(1, "?u1")
    await service.send(make_touchpoint(0, "u1"), claim)
    await service.view("user_id:u1", claim)
    await reward(service, "user_id:u1")
    assert await show(service) == NOTHING
    vouched = make_visit(2, "u1")
    await service.send(vouched)
    await service.view("user_id:u1", vouched)
    assert await show(service) == SOMETHING
    mixed = make_touchpoint(3, "u1", "?e9")
    await service.send(mixed)
    await service.view("user_id:u1", mixed)
    assert await show(service) == NOTHING


async def test_a_stranger_who_was_claimed_first_is_not_read_after_the_shop_named_the_visitor(service: Service) -> None:
    """A browser ties its own id to somebody's address; then its user signs in, and the shop's server names the account."""
    theirs = make_touchpoint(1, "e1", "c1")
    await service.send(theirs)
    await service.view("email:e1", theirs)
    await reward(service, "email:e1")
    claim, signed_in = make_visit(2, "?e1"), make_visit(3, "u9")
    await service.send(claim)
    await service.view("email:e1", claim)
    await service.send(signed_in)
    view = await service.view("user_id:u9", signed_in)
    assert {"e1", "c1", "u9", MINE} == {one["value"] for one in view["identifiers"]}
    assert await show(service) == NOTHING


async def test_who_claims_another_s_address_reads_nothing_of_what_is_said_of_it_later(service: Service) -> None:
    mine, claim, theirs = make_visit(1, "u2"), make_visit(2, "?u2", "?e1"), make_touchpoint(3, "e1")
    await service.send(mine)
    await service.view("user_id:u2", mine)
    await service.send(claim)
    await service.view("user_id:u2", claim)
    await service.send(theirs)
    view = await service.view("email:e1", theirs)
    assert {one["value"] for one in view["identifiers"]} == {"u2", "e1", MINE}
    await reward(service, "email:e1")
    assert await show(service) == NOTHING


async def test_what_a_split_took_apart_is_not_opened_by_a_claim_again(service: Service) -> None:
    vouched = make_visit(1, "u1", "e1")
    await service.send(vouched)
    await service.view("user_id:u1", vouched)
    await reward(service, "user_id:u1")
    assert await show(service) == SOMETHING
    body = {"identifier": {"kind": "anonymous_id", "value": MINE}, "reason": "another's"}
    assert (await service.client.post("/v1/profiles/user_id:u1/split", json=body)).status_code == 200
    claim = make_visit(2, "?u1")
    await service.send(claim)
    await service.view("user_id:u1", claim)
    assert await show(service) == NOTHING
    bans = (await service.client.get("/v1/identity/bans")).json()["items"]
    assert (await service.client.delete(f"/v1/identity/bans/{bans[0]['id']}")).status_code == 204
    again = make_visit(60 * 24 * 365 * 50, "?u1")
    await service.send(again)
    await eventually(lambda: service.view("user_id:u1"), until=lambda one: MINE in str(one["identifiers"]))
    assert await show(service) == NOTHING


async def test_the_second_user_of_a_device_reads_nothing_of_the_first(service: Service) -> None:
    first, second = make_visit(1, "u1"), make_visit(2, "u2")
    await service.send(first)
    await service.view("user_id:u1", first)
    await reward(service, "user_id:u1")
    assert await show(service) == SOMETHING
    later = make_visit(3)
    await service.send(second, later)
    await service.view("user_id:u2", second)
    await service.view(f"anonymous_id:{MINE}", later)
    assert await show(service) == NOTHING


async def test_an_unknown_visitor_reads_the_same_as_one_who_has_nothing(service: Service) -> None:
    await service.send(sent := make_visit(1))
    await service.view(f"anonymous_id:{MINE}", sent)
    known, unknown = await read_me(service), await read_me(service, OTHER)
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)

    def names(answer: httpx.Response) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name != "traceresponse"}

    assert names(known) == names(unknown)


class Away(Reader):
    """A reader whose database fails in some way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def find(self, ref: str) -> StoredProfile | None:
        raise self._error


@pytest.mark.parametrize(("error", "status"), [(TimeoutError(), 503), (RuntimeError(), 500)])
async def test_a_page_may_read_that_something_is_away_and_nobody_keeps_it(
    service: Service, error: Exception, status: int
) -> None:
    deps = dataclasses.replace(service.deps, reader=Away(error))
    app = create_profile_app(deps, Health(), deps.clock)
    headers = {"X-Write-Key": BROWSER_KEY, "Origin": "https://shop.example"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://profile.test") as page:
        answer = await page.get("/v1/me", params={"anonymous_id": MINE}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("private, no-store", "origin")
    assert len(answer.headers.get_list("traceresponse")) == 1


@pytest.mark.parametrize("visitor", ["d1", "u1", "ada@example.com", "00000000-0000-4000-8000-000000000001", ""])
async def test_a_visitor_is_known_by_nothing_that_could_be_guessed(service: Service, visitor: str) -> None:
    sent = make_touchpoint(1, "u1", "d1")
    await service.send(sent)
    await service.view("user_id:u1", sent)
    answer = await read_me(service, visitor)
    assert (answer.status_code, answer.json()["code"] in {"visitor_id_guessable", "invalid"}) == (422, True)
    by_name = await service.client.get("/v1/me", params={"user_id": "u1"}, headers={"X-Write-Key": BROWSER_KEY})
    assert (by_name.status_code, by_name.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "invalid_write_key"),
        ("nonsense", 401, "invalid_write_key"),
        (READ_KEY, 401, "invalid_write_key"),
        (CLOSED_KEY, 401, "invalid_write_key"),
        (SERVER_KEY, 403, "key_not_for_browsers"),
    ],
)
async def test_only_a_website_s_or_an_app_s_key_opens_it(service: Service, key: str | None, status: int, code: str) -> None:
    answer = await read_me(service, key=key, Origin="https://any.example")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "https://any.example"
    assert answer.headers["cache-control"] == "private, no-store"


async def test_a_source_s_origins_are_enforced_and_browsers_are_answered(service: Service) -> None:
    allowed = await read_me(service, key=SHOP_KEY, Origin="https://shop.example")
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert allowed.headers["vary"] == "origin"
    for origin in ("https://other.example", "null", "http://shop.example"):
        refused = await read_me(service, key=SHOP_KEY, Origin=origin)
        assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert (await read_me(service, key=SHOP_KEY)).status_code == 200
    asked = await service.client.options("/v1/me", headers={"Origin": "https://shop.example"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "*")
    assert "x-write-key" in asked.headers["access-control-allow-headers"]
    assert "GET" in asked.headers["access-control-allow-methods"]
    assert (await service.client.post("/v1/me")).status_code == 405
