"""References to profiles, and readers who wait for their own write."""

import asyncio
from uuid import UUID

import pytest
from msgspec import Raw

from libs.events.profiles import Member, TouchpointDismissed
from libs.identity import IdentityKey
from libs.kit.clock import SystemClock
from libs.kit.db import Database
from libs.kit.errors import NotYetVisible
from libs.subscriber import Arrivals, ProfileNotFound, Resolved, resolve_ref, wait_for

from .conftest import Follower
from .test_apply_changes import OTHER, PROFILE, TOUCHPOINT, apply, make_changed

KEY = IdentityKey(b"k" * 32)
ADA = KEY.fragment_id("email", "ada@example.com")
CARD = KEY.fragment_id("loyalty_card", "9900")
NEXT_EPOCH = KEY.fragment_id("email", "ada@example.com", 1)


async def resolve(database: Database, ref: str) -> Resolved:
    async with database.connection() as connection:
        return await resolve_ref(connection, ref, KEY)


async def test_an_identifier_and_an_id_lead_to_the_profile(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(members=(Member(ADA, 1, "email", ADA),), founding=ADA))
    assert await resolve(database, "email:Ada@Example.com ") == Resolved(PROFILE)
    assert await resolve(database, str(PROFILE)) == Resolved(PROFILE)


async def test_an_absorbed_id_leads_to_whoever_owns_its_founding_fragment(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(OTHER, members=(Member(CARD, 1, "loyalty_card", CARD),), founding=CARD))
    members = (Member(ADA, 1, "email", ADA), Member(CARD, 2, "loyalty_card", CARD))
    await apply(database, follower, make_changed(members=members, founding=ADA))
    absorbed = make_changed(OTHER, version=2, members=(), absorbed_into=PROFILE, founding=CARD, snapshot=Raw(b"null"))
    await apply(database, follower, absorbed)
    assert await resolve(database, str(OTHER)) == Resolved(PROFILE, asked_id=OTHER)


async def test_the_next_epoch_has_the_address(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(members=(Member(ADA, 1, "email", ADA),), founding=ADA))
    await apply(
        database,
        follower,
        make_changed(version=2, members=(Member(ADA, 2, "email", None),), founding=ADA),
        make_changed(OTHER, members=(Member(NEXT_EPOCH, 1, "email", ADA),), founding=NEXT_EPOCH),
    )
    assert await resolve(database, "email:ada@example.com") == Resolved(OTHER)
    assert await resolve(database, str(PROFILE)) == Resolved(PROFILE)


@pytest.mark.parametrize("ref", ["email:nobody@example.com", "nonsense", "email:", str(UUID(int=5))])
async def test_what_names_nobody_is_not_found(database: Database, ref: str) -> None:
    with pytest.raises(ProfileNotFound):
        await resolve(database, ref)


async def test_a_touchpoint_that_is_in_does_not_wait(database: Database, follower: Follower) -> None:
    await apply(database, follower, TouchpointDismissed(touchpoint_id=TOUCHPOINT, outcome="ignored", reason="x"))
    assert await wait_for(database, TOUCHPOINT, 0, SystemClock()) == "ignored"


async def test_a_touchpoint_that_does_not_come_is_not_yet_visible(database: Database) -> None:
    with pytest.raises(NotYetVisible):
        await wait_for(database, TOUCHPOINT, 20, SystemClock())


async def test_all_who_wait_are_answered_when_it_comes(database: Database, follower: Follower) -> None:
    arrivals = Arrivals(database, SystemClock())
    waiting = [asyncio.create_task(arrivals.wait_for(TOUCHPOINT, 5000)) for _ in range(50)]
    await asyncio.sleep(0)
    await apply(database, follower, TouchpointDismissed(touchpoint_id=TOUCHPOINT, outcome="dead_lettered", reason="x"))
    arrivals.announce()
    assert await asyncio.gather(*waiting) == ["dead_lettered"] * 50
    await arrivals.close()
