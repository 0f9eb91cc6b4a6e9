"""What a record does, one rule a test."""

from datetime import timedelta
from uuid import UUID

from msgspec import Raw
from msgspec.structs import replace

from libs.events.profiles import Member, ProfileChanged, TouchpointDismissed
from libs.kit.db import Database
from libs.messaging.outcomes import DUPLICATE, HANDLED
from libs.subscriber import apply_changes
from libs.subscriber.store import load_members, lock_profiles, mark_dead
from libs.subscriber.waiting import find_outcomes

from .conftest import Follower, read_levels
from .worlds import AT, make_applied, make_incoming

PROFILE, OTHER = UUID(int=101), UUID(int=102)
FRAGMENT, MOVED, TOUCHPOINT = UUID(int=1), UUID(int=2), UUID(int=1000)


def make_changed(profile: UUID = PROFILE, version: int = 1, **changes: object) -> ProfileChanged:
    base = ProfileChanged(
        profile_id=profile,
        version=version,
        changed_at=AT,
        founding=FRAGMENT,
        parts=("web",),
        causes=("touchpoint",),
        members=(Member(FRAGMENT, 1, "email", FRAGMENT),),
        snapshot=Raw(b"{}"),
    )
    return replace(base, **changes)


async def apply(database: Database, follower: Follower, *events: ProfileChanged | TouchpointDismissed) -> list[object]:
    follower.judged.clear()
    async with database.transaction() as tx:
        result = await follower.handle(tx, [make_incoming(event, key=PROFILE) for event in events])
    return list(result.outcomes)


async def test_a_record_that_comes_again_changes_nothing_and_is_not_judged(database: Database, follower: Follower) -> None:
    changed = make_changed(touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),))
    assert await apply(database, follower, changed) == [HANDLED]
    assert await apply(database, follower, changed) == [DUPLICATE]
    assert follower.judged == []


async def test_the_judge_sees_version_view_members_and_new_touchpoints(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(version=3, touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),)))
    [affected] = follower.judged
    assert (affected.version, affected.snapshot, affected.fragments) == (3, b"{}", (FRAGMENT,))
    assert [fact.body.id for fact in affected.changes[0].touchpoints] == [TOUCHPOINT]
    assert affected.membership_changed
    assert affected.changes[0].is_latest


async def test_a_probe_is_judged_although_nothing_changed(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(version=3, snapshot=Raw(b'{"v":3}')))
    assert await apply(database, follower, make_changed(version=2, probe=True)) == [HANDLED]
    [affected] = follower.judged
    assert (affected.probe, affected.version, affected.snapshot) == (True, 3, b'{"v":3}')
    assert not affected.membership_changed


async def test_an_old_record_brings_its_touchpoints_and_leaves_the_view(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(version=2, snapshot=Raw(b'{"v":2}')))
    old = make_changed(version=1, snapshot=Raw(b'{"v":1}'), touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),))
    assert await apply(database, follower, old) == [HANDLED]
    assert follower.judged[0].snapshot == b'{"v":2}'
    assert (await read_levels(database))[PROFILE] == (2, (FRAGMENT,), 1)


async def test_a_fragment_that_moves_gets_both_profiles_judged(database: Database, follower: Follower) -> None:
    two = (Member(FRAGMENT, 1, "email"), Member(MOVED, 1, "user_id"))
    await apply(database, follower, make_changed(members=two))
    await apply(database, follower, make_changed(OTHER, members=(Member(MOVED, 2, "user_id"),), founding=MOVED))
    assert [(a.profile_id, a.fragments, a.membership_changed) for a in follower.judged] == [
        (PROFILE, (FRAGMENT,), True),
        (OTHER, (MOVED,), True),
    ]


async def test_a_touchpoint_goes_to_its_fragment_and_whoever_owns_that_is_judged(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed())
    foreign = make_changed(OTHER, members=(), touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),), founding=MOVED)
    await apply(database, follower, foreign)
    assert (await read_levels(database))[PROFILE] == (1, (FRAGMENT,), 1)
    assert (await read_levels(database))[OTHER] == (1, (), 0)


async def test_an_absorbed_profile_has_no_fragments_and_no_view(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(OTHER, members=(Member(MOVED, 1, "email"),), founding=MOVED))
    both = (Member(FRAGMENT, 1, "email"), Member(MOVED, 2, "email"))
    absorbed = make_changed(OTHER, version=2, members=(), absorbed_into=PROFILE, founding=MOVED, snapshot=Raw(b"null"))
    await apply(database, follower, make_changed(members=both), absorbed)
    assert {a.profile_id: (a.fragments, a.snapshot) for a in follower.judged} == {
        PROFILE: ((FRAGMENT, MOVED), b"{}"),
        OTHER: ((), None),
    }


async def test_dead_ids_are_ignored_for_ever(database: Database, follower: Follower) -> None:
    async with database.transaction() as tx:
        await mark_dead(tx, [OTHER, MOVED])
    members = (Member(FRAGMENT, 1, "email"), Member(MOVED, 1, "email"))
    touchpoints = (make_applied(MOVED, TOUCHPOINT), make_applied(FRAGMENT, UUID(int=1001)))
    outcomes = await apply(database, follower, make_changed(OTHER), make_changed(members=members, touchpoints=touchpoints))
    assert outcomes == [DUPLICATE, HANDLED]
    assert await read_levels(database) == {PROFILE: (1, (FRAGMENT,), 1)}
    # Nor does the map remember whom they would have belonged to: it is asked when a record names other fragments.
    newer = make_changed(version=2, members=(Member(UUID(int=3), 1, "email"),))
    assert await apply(database, follower, newer) == [HANDLED]
    assert follower.judged[0].fragments == (FRAGMENT, UUID(int=3))


async def test_who_judges_by_some_touchpoints_only_is_asked_for_those(database: Database, follower: Follower) -> None:
    follower.bears = lambda fact: fact.body.id == TOUCHPOINT
    joined = (Member(FRAGMENT, 1, "email"), Member(MOVED, 1, "user_id"))
    other = (make_applied(FRAGMENT, UUID(int=1001)),)
    assert await apply(database, follower, make_changed(touchpoints=other)) == [HANDLED]
    await apply(database, follower, make_changed(OTHER, version=1, members=(Member(MOVED, 1, "user_id"),)))
    assert follower.judged == []
    await apply(database, follower, make_changed(version=2, probe=True))
    assert [one.profile_id for one in follower.judged] == [PROFILE]
    await apply(database, follower, make_changed(version=3, touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),)))
    assert [one.profile_id for one in follower.judged] == [PROFILE]
    moved = (joined[0], Member(MOVED, 2, "user_id"))
    await apply(database, follower, make_changed(version=4, members=moved))
    assert [one.profile_id for one in follower.judged] == [PROFILE, OTHER], "an older fragment may bring what bears"


async def test_who_judges_nothing_still_keeps_views_and_who_belongs_to_whom(database: Database) -> None:
    changed = make_changed(touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),))
    async with database.transaction() as tx:
        result = await apply_changes(tx, [make_incoming(changed, key=PROFILE)], facts=None, judge=None, keep_snapshots=True)
    assert list(result.outcomes) == [HANDLED]
    async with database.transaction() as tx:
        assert await find_outcomes(tx, [TOUCHPOINT]) == {TOUCHPOINT: "applied"}
        assert (await lock_profiles(tx, [PROFILE]))[PROFILE].snapshot == b"{}"
        assert await load_members(tx, [PROFILE]) == {PROFILE: [FRAGMENT]}


async def test_a_dismissed_touchpoint_counts_as_in_and_may_still_be_applied(database: Database, follower: Follower) -> None:
    dismissed = TouchpointDismissed(touchpoint_id=TOUCHPOINT, outcome="dead_lettered", reason="bug")
    assert await apply(database, follower, dismissed, dismissed) == [HANDLED, HANDLED]
    assert await apply(database, follower, dismissed) == [DUPLICATE]
    async with database.connection() as connection:
        assert await find_outcomes(connection, [TOUCHPOINT]) == {TOUCHPOINT: "dead_lettered"}
    await apply(database, follower, make_changed(touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),)))
    await apply(database, follower, dismissed)
    async with database.connection() as connection:
        assert await find_outcomes(connection, [TOUCHPOINT]) == {TOUCHPOINT: "applied"}
    assert (await read_levels(database))[PROFILE] == (1, (FRAGMENT,), 1)


async def test_gaps_between_versions_can_be_seen(database: Database, follower: Follower) -> None:
    await apply(database, follower, make_changed(version=2))
    assert follower.judged[0].previous_version is None
    await apply(database, follower, make_changed(version=5), make_changed(version=4))
    [affected] = follower.judged
    assert affected.previous_version == 2
    assert sorted(change.record.version for change in affected.changes) == [4, 5]
    assert [change.is_latest for change in affected.changes] == [True, False]


async def test_the_instant_of_judgement_never_runs_backwards(database: Database, follower: Follower) -> None:
    early, late = AT - timedelta(hours=1), AT + timedelta(hours=1)
    received_at_noon = make_changed(touchpoints=(make_applied(FRAGMENT, TOUCHPOINT),))
    seen = []
    for now, event in (
        (early, received_at_noon),
        (late, make_changed(version=2)),
        (AT, make_changed(version=3)),
        (late + timedelta(hours=1), make_changed(version=3, probe=True)),
        (late, make_changed(version=3, probe=True)),
    ):
        follower.judged.clear()
        async with database.transaction() as tx:
            await follower.handle(tx, [make_incoming(event, key=PROFILE)], now=now)
        seen.append((follower.judged[0].judged_at, follower.judged[0].instant))
    assert seen == [
        (None, AT),
        (AT, late),
        (late, late),
        (late, late + timedelta(hours=1)),
        (late + timedelta(hours=1), late + timedelta(hours=1)),
    ]
