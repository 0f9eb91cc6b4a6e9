"""Accounts: what all group calls said, whoever sent them, and who belongs."""

import asyncio
import itertools
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
import pytest

from libs.events.touchpoints import TouchpointRecorded
from services.profile.domain.accounts import MOST_CLAIMED, Grouped, collect_grouped, compute_account_key, show_account
from services.profile.store.accounts import PostgresAccounts, load_account, load_members
from tests.integration.profile.driving import Profiles, encode_touchpoint, make_touchpoint, to_incoming
from tests.integration.profile.running import OTHER_KEY, READ_KEY, Service
from tests.support.eventually import eventually

FIRST = UUID(int=0)


def make_group(number: int | str, *names: str, account: str = "acme", **fields: Any) -> TouchpointRecorded:
    traits = fields.pop("traits", {})
    raw = msgspec.Raw(msgspec.json.encode(traits))
    return make_touchpoint(number, *names, kind="group", name="Grouped", group_id=account, traits=raw, **fields)


async def read(profiles: Profiles, account: str = "acme") -> tuple[dict[str, Any], list[Any]]:
    async with profiles.database.connection() as connection:
        stored = await load_account(connection, account)
        members = [tuple(row) for row in await load_members(connection, account, FIRST, 500)]
    assert stored is not None
    return msgspec.json.decode(msgspec.json.encode(show_account(account, stored))), members


SAID = (
    make_group(1, "u1", traits={"name": "Acme", "plan": "free", "size": 4}),
    make_group(2, "u2", traits={"plan": "gold", "size": None}),
    make_group(3, "u3", traits={"plan": "lead"}, minute=0),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_every_order_and_batching_of_group_calls_says_the_same(profiles: Profiles, order: tuple[int, ...]) -> None:
    await profiles.apply(SAID[order[0]], SAID[order[1]])
    await profiles.apply(SAID[order[2]])
    await profiles.apply(*SAID)
    account, members = await read(profiles)
    assert account == {
        "id": "acme",
        "name": "Acme",
        "since": "2026-03-01T12:00:00.000Z",
        "traits": {"name": "Acme", "plan": "gold"},
    }
    assert len(members) == 3


async def test_what_browsers_claim_of_an_account_fills_in_where_no_server_has_a_word(profiles: Profiles) -> None:
    """A website's key is no secret: whoever has it neither rewrites nor deletes, nor fills the account without end."""
    claims = {"name": "Evil", "plan": None, "city": "Bonn", **{f"x{number:03}": number for number in range(300)}}
    said = (make_group(9, "?u9", traits=claims), make_group(1, "u1", traits={"name": "Acme", "plan": "gold"}))
    for order in (said, said[::-1]):
        await profiles.apply(*order)
    account, members = await read(profiles)
    assert (account["traits"]["name"], account["traits"]["plan"]) == ("Acme", "gold")
    assert MOST_CLAIMED - 1 <= len(account["traits"]) <= MOST_CLAIMED + 2
    assert len(members) == 2


async def test_a_member_is_counted_once_and_moves_with_a_merge(profiles: Profiles) -> None:
    await profiles.apply(make_group(1, "e1"), make_group(2, "u1"), make_group(3, "u2"))
    _, before = await read(profiles)
    await profiles.apply(make_touchpoint(4, "u1", "e1"))
    _, after = await read(profiles)
    view = await profiles.view("u1")
    assert (len(before), len(after)) == (3, 2)
    assert view is not None
    assert dict(after)[view["id"]] == min(since for _, since in before)


async def test_two_who_belong_to_one_account_stay_two(profiles: Profiles) -> None:
    await profiles.apply(make_group(1, "u1", traits={"name": "Acme"}), make_group(2, "u2", traits={"name": "ACME"}))
    first, second = await profiles.view("u1"), await profiles.view("u2")
    assert first is not None
    assert second is not None
    assert first["id"] != second["id"]
    assert [account["name"] for account in first["accounts"]] == ["Acme"]
    assert (await read(profiles))[0]["name"] == "ACME"


async def test_a_batch_that_is_rolled_back_leaves_no_account(profiles: Profiles) -> None:
    async def fail() -> None:
        async with profiles.database.transaction() as tx:
            await profiles.handle(tx, [to_incoming(encode_touchpoint(make_group(1, "u1")))])
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await fail()
    assert await profiles.fetch("SELECT FROM accounts UNION ALL SELECT FROM account_members") == []


async def test_workers_that_name_the_same_accounts_at_once_lose_nothing(profiles: Profiles) -> None:
    accounts = [f"a{number}" for number in range(12)]
    await profiles.apply(*(make_group(f"before-{one}", "e1", account=one, minute=0) for one in accounts))
    batches = []
    for worker in range(6):
        named = accounts if worker % 2 else accounts[::-1]
        batches.append(
            [make_group(f"{worker}-{one}", f"u{worker}", account=one, traits={f"t{worker}": 1}, minute=worker) for one in named]
        )
    await asyncio.gather(*(profiles.apply(*batch) for batch in batches))
    for one in accounts:
        account, members = await read(profiles, one)
        assert account["traits"] == {f"t{worker}": 1 for worker in range(6)}
        assert len(members) == 7


async def test_accounts_are_locked_in_one_order_whichever_is_named_first(profiles: Profiles) -> None:
    first, last = sorted(("acme", "bolt"), key=compute_account_key)
    await profiles.apply(make_group(1, "u1", account=last))
    await profiles.apply(make_group(2, "u1", account=first))
    store = PostgresAccounts()

    def say(*accounts: str) -> Grouped:
        return collect_grouped((FIRST, make_group(3, "u2", account=one)) for one in accounts)

    async def follow() -> None:
        async with profiles.database.transaction() as tx:
            await store.save_grouped(tx, say(last, first))

    async def count_waiting() -> int:
        [row] = await profiles.fetch(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return row["count"]  # type: ignore[no-any-return]

    async with profiles.database.transaction() as tx:
        await store.save_grouped(tx, say(first))
        following = asyncio.create_task(follow())
        await eventually(count_waiting, until=lambda waiting: waiting == 1)
        async with profiles.database.transaction() as other:
            await other.fetch("SELECT FROM accounts WHERE key = $1 FOR UPDATE NOWAIT", compute_account_key(last))
    await following


async def test_an_account_and_its_members_are_read_page_by_page(service: Service) -> None:
    odd = "Acme/Ünited " + "x" * 9000
    sent = [make_group(number, f"u{number}", account=odd, traits={"name": "Acme"}) for number in range(5)]
    await service.send(*sent, make_touchpoint(9, "u9"))
    await service.view("user_id:u9", make_touchpoint(9, "u9"))
    path = f"/v1/accounts/{quote(odd, safe='')}"
    found: list[str] = []
    cursor: dict[str, str] = {}
    for one in sent:
        assert (await service.get(path, wait_for=str(one.id))).status_code == 200
    while True:
        answer = await service.get(path, limit=2, **cursor)
        assert (answer.status_code, answer.json()["name"]) == (200, "Acme")
        members = answer.json()["members"]
        found += [member["profile_id"] for member in members["items"]]
        if members["next_cursor"] is None:
            break
        cursor = {"cursor": members["next_cursor"]}
    expected = [(await service.view(f"user_id:u{number}"))["id"] for number in range(5)]
    assert found == sorted(expected)


async def test_an_account_nobody_named_a_key_without_the_scope_and_a_strange_cursor_are_problems(service: Service) -> None:
    unknown = await service.get("/v1/accounts/nobody")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "account_not_found")
    forbidden = await service.client.get("/v1/accounts/a", headers={"Authorization": f"Bearer {OTHER_KEY}"})
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    allowed = await service.client.get("/v1/accounts/a", headers={"Authorization": f"Bearer {READ_KEY}"})
    assert allowed.status_code == 404
    strange = await service.get("/v1/accounts/a", cursor="nonsense")
    assert (strange.status_code, strange.json()["code"]) == (422, "invalid_cursor")
