"""Merge, split and bans by command on real PostgreSQL: what is written, told, refused, and undone."""

import asyncio
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from libs.events import codec
from libs.events.profiles import ProfileChanged
from services.profile.domain.rules import KindRules
from services.profile.errors import (
    BanNotFound,
    IdentifierNotHeld,
    IdentifiersBanned,
    MergeRefused,
    OnlyIdentifier,
    ProfileNotFound,
    SameProfile,
)
from services.profile.handlers.tell_profiles import build_present
from services.profile.main import load_current
from services.profile.store.views import load_present
from tests.integration.profile.driving import (
    Profiles,
    make_identifier,
    make_identify,
    make_order,
    make_touchpoint,
    to_incoming,
)
from tests.integration.profile.running import make_balance, make_edge, make_judged
from tests.integration.profile.test_delivery import NAMES, SCORE, make_history
from tests.support.profile_reference import ProfileReference


async def view_of(profiles: Profiles, name: Any) -> dict[str, Any]:
    view = await profiles.view(name)
    assert view is not None
    return view


def figures(view: dict[str, Any]) -> dict[str, Any]:
    """What is folded: all that doesn't say which profile it is, and as of when."""
    return {name: value for name, value in view.items() if name not in ("id", "version")}


async def two_customers(profiles: Profiles) -> None:
    await profiles.apply(make_identify(1, "u1", firstName="Ada"), make_order(2, "u1", order_id="o1", amount="10"))
    await profiles.apply(make_order(3, "e1", order_id="o2", amount="20", minute=900))
    await profiles.apply(make_touchpoint(4, "e1", kind="page", name="Home"))


async def test_a_merge_by_command_joins_everything_and_says_why(profiles: Profiles) -> None:
    await two_customers(profiles)
    one, other = await view_of(profiles, "u1"), await view_of(profiles, "e1")
    profiles.log.clear()
    made = await profiles.merge("e1", "u1", reason="same person, says the shop")
    merged = await view_of(profiles, "u1")
    assert (merged["id"], made.other_id) == (one["id"], other["id"])
    assert merged["aggregates"]["orders"]["gross_minor"] == {"EUR": 3000}
    assert merged["aggregates"]["web"]["page_views"] == 1
    assert figures(await view_of(profiles, other["id"])) == figures(merged)
    assert {"id": str(merged["id"]), "version": 2} == {
        name: msgspec.json.decode(made.profile)[name] for name in ("id", "version")
    }
    root, gone = sorted(profiles.told(), key=lambda told: not told.members)
    assert (root.causes, gone.causes, gone.absorbed_into) == (("merge",), ("merge",), one["id"])
    assert {member.fragment: member.membership for member in root.members} == {
        make_identifier("u1").fragment: 1,
        make_identifier("e1").fragment: 2,
    }
    links = await profiles.fetch("SELECT touchpoint_id, command_id IS NOT NULL AS by_command FROM links")
    assert [tuple(row) for row in links] == [(None, True)]
    # It survives as any link does: later touchpoints of either side are the one profile's.
    await profiles.apply(make_order(5, "e1", order_id="o3", amount="5"))
    assert (await view_of(profiles, one["id"]))["aggregates"]["orders"]["count"] == 3


async def test_a_split_undoes_a_merge_to_the_last_figure_and_the_old_id_goes_on(profiles: Profiles) -> None:
    await two_customers(profiles)
    one, other = await view_of(profiles, "u1"), await view_of(profiles, "e1")
    await profiles.merge("u1", "e1")
    profiles.log.clear()
    made, _ = await profiles.split("u1", "e1")
    assert figures(await view_of(profiles, "u1")) == figures(one)
    assert figures(await view_of(profiles, "e1")) == figures(other)
    assert (await view_of(profiles, "u1"))["id"] == one["id"]
    again = await view_of(profiles, "e1")
    assert (again["id"], again["version"]) == (other["id"], 4)
    assert msgspec.json.decode(made.other or b"")["version"] == 4
    told = {record.profile_id: record for record in profiles.told()}
    assert {record.causes for record in told.values()} == {("split",)}
    assert [member.membership for member in told[other["id"]].members] == [3]
    assert [member.fragment for member in told[one["id"]].members] == [make_identifier("u1").fragment]
    owners = await profiles.fetch("SELECT id, profile_id FROM fragments")
    assert {row["id"]: row["profile_id"] for row in owners} == {
        make_identifier("u1").fragment: one["id"],
        make_identifier("e1").fragment: other["id"],
    }
    rows = await profiles.fetch("SELECT id, members, absorbed_into FROM profiles")
    assert {(row["id"], *row["members"], row["absorbed_into"]) for row in rows} == {
        (one["id"], make_identifier("u1").fragment, None),
        (other["id"], make_identifier("e1").fragment, None),
    }


async def test_the_founding_identifier_takes_the_id_along_and_the_rest_stays_one_profile(profiles: Profiles) -> None:
    await profiles.apply(make_order(1, "u1", "e1", "d1", order_id="o1", amount="10"))
    await profiles.apply(make_order(2, "e1", order_id="o2", amount="20"), make_touchpoint(3, "d1", kind="page", name="Home"))
    before = await view_of(profiles, "u1")
    made, _ = await profiles.split("d1", "u1")
    departed, rest = await view_of(profiles, "u1"), await view_of(profiles, "e1")
    assert (departed["id"], made.other_id) == (before["id"], before["id"])
    assert await profiles.members("u1") == {"u1"}
    assert await profiles.members("d1") == {"e1", "d1"}
    assert rest["version"] == 1
    assert (departed["aggregates"]["orders"]["gross_minor"], rest["aggregates"]["orders"]["gross_minor"]) == (
        {"EUR": 1000},
        {"EUR": 2000},
    )
    await profiles.apply(make_touchpoint(4, "e1", "d1"))
    assert (await view_of(profiles, "d1"))["id"] == rest["id"]


async def test_an_identifier_without_a_touchpoint_of_its_own_leaves_with_nothing(profiles: Profiles) -> None:
    await profiles.apply(make_order(1, "u1", "e1", order_id="o1", amount="10"))
    await profiles.split("u1", "e1")
    alone = await view_of(profiles, "e1")
    assert (alone["aggregates"]["orders"]["count"], alone["first_seen_at"], alone["version"]) == (0, None, 1)


async def test_a_banned_link_is_refused_even_through_others_and_counts_after_lifting_if_received_later(
    profiles: Profiles,
) -> None:
    await profiles.apply(make_touchpoint(1, "u1", "e1"), make_touchpoint(2, "x1"))
    _, ban = await profiles.split("u1", "e1")
    await profiles.apply(make_touchpoint(3, "u1", "e1"))
    await profiles.apply(make_touchpoint(4, "x1", "e1"))
    await profiles.apply(make_touchpoint(5, "u1", "x1"))
    assert await profiles.members("u1") == {"u1"}
    assert await profiles.members("e1") == {"e1", "x1"}
    refusals = await profiles.fetch("SELECT touchpoint_id, reason FROM refusals ORDER BY applied")
    assert [tuple(row) for row in refusals] == [(make_touchpoint(3, "u1").id, "banned"), (make_touchpoint(5, "u1").id, "banned")]
    with pytest.raises(IdentifiersBanned):
        await profiles.merge("u1", "x1")
    profiles.clock.advance(timedelta(hours=1))
    await profiles.lift(ban)
    with pytest.raises(BanNotFound):
        await profiles.lift(ban)
    await profiles.apply(make_touchpoint(6, "u1", "e1"))  # received before the lifting
    assert await profiles.members("u1") == {"u1"}
    await profiles.apply(make_touchpoint(7, "u1", "e1", minute=61))
    assert await profiles.members("u1") == {"u1", "e1", "x1"}


async def test_what_a_command_cannot_do_is_refused_and_changes_nothing(profiles: Profiles) -> None:
    await profiles.apply(make_touchpoint(1, "u1", "d1"), make_touchpoint(2, "u2", "d1"), make_touchpoint(3, "e1"))
    await profiles.apply(make_touchpoint(4, "d1"))  # the shared device's next epoch, nobody's
    before = await profiles.fetch("SELECT * FROM profiles ORDER BY id")
    for attempt, error in (
        (profiles.merge("u1", "u1"), SameProfile),
        (profiles.merge("u1", "u2"), MergeRefused),
        (profiles.merge("u1", "d1"), MergeRefused),
        (profiles.merge("u1", "u9"), ProfileNotFound),
        (profiles.split("u1", "e1"), IdentifierNotHeld),
        (profiles.split("e1", "e1"), OnlyIdentifier),
        (profiles.split("u1", "u1"), OnlyIdentifier),
    ):
        with pytest.raises(error):
            await attempt
    assert await profiles.fetch("SELECT * FROM profiles ORDER BY id") == before
    assert await profiles.fetch("SELECT * FROM history") == []


async def test_users_joined_by_the_alias_of_one_that_left_stay_one_person(profiles: Profiles) -> None:
    await profiles.apply(make_touchpoint(1, "u1"), make_touchpoint(2, "u2", previous=["u1"]))
    await profiles.apply(make_touchpoint(3, "u3", previous=["u2"]))
    await profiles.split("u1", "u2")
    assert await profiles.members("u3") == {"u1", "u3"}
    await profiles.apply(make_touchpoint(4, "u1", "e1"), make_touchpoint(5, "u3", "e1"))
    assert await profiles.members("e1") == {"u1", "u3", "e1"}


async def test_commands_and_touchpoints_at_once_leave_one_owner_for_every_fragment(profiles: Profiles) -> None:
    random = Random(7)
    names = ["e1", "e2", "e3", "d1", "d2", "x1"]
    profiles.decide_by(device_id=KindRules(description="", limit=None))
    await profiles.apply(*[make_touchpoint(number, name) for number, name in enumerate(names)])

    async def attempt(turn: int) -> None:
        one, other = random.sample(names, 2)
        try:
            if turn % 3 == 0:
                await profiles.merge(one, other)
            elif turn % 3 == 1:
                await profiles.split(one, other)
            else:
                await profiles.apply(make_touchpoint(1000 + turn, one, other, f"x{100 + turn}", minute=1000 + turn))
        except (SameProfile, IdentifiersBanned, IdentifierNotHeld, OnlyIdentifier):
            return

    for begin in range(0, 60, 6):
        await asyncio.gather(*(attempt(begin + index) for index in range(6)))
    rows = await profiles.fetch("SELECT id, version, members FROM profiles")
    members = {fragment: row["id"] for row in rows for fragment in row["members"]}
    assert members == {row["id"]: row["profile_id"] for row in await profiles.fetch("SELECT id, profile_id FROM fragments")}
    assert sum(len(row["members"]) for row in rows) == len(members)
    last = {record.profile_id: record for record in sorted(profiles.told(), key=lambda record: record.version)}
    assert {one.fragment: id_ for id_, record in last.items() for one in record.members} == members
    memberships: dict[Any, dict[int, Any]] = {}
    for record in profiles.told():
        for one in record.members:
            assert memberships.setdefault(one.fragment, {}).setdefault(one.membership, record.profile_id) == record.profile_id
    assert {fragment: said[max(said)] for fragment, said in memberships.items()} == members
    apart = await profiles.fetch("SELECT a, b FROM bans WHERE void_until = 'infinity'")
    assert apart
    assert all(members[row["a"]] != members[row["b"]] for row in apart)


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_merges_and_splits_each_view_is_what_its_own_identifiers_tell(profiles: Profiles, seed: int) -> None:
    random = Random(seed)
    history = {touchpoint.id: touchpoint for touchpoint in make_history(random, 60)}
    waiting, done = list(history.values()), Counter[str]()
    while waiting:
        await profiles.apply(waiting.pop())
        one, other = random.sample(NAMES, 2)
        try:
            if random.random() < 0.5:
                await profiles.merge(one, other)
                done["merge"] += 1
            else:
                _, ban = await profiles.split(one, one)
                done["split"] += 1
                if random.random() < 0.5:
                    await profiles.lift(ban)
        except (SameProfile, IdentifiersBanned, OnlyIdentifier, ProfileNotFound):
            done["refused"] += 1
    assert min(done["merge"], done["split"]) > 0
    folded: dict[Any, list[Any]] = {}
    for row in await profiles.fetch("SELECT t.id, f.profile_id FROM timeline t JOIN fragments f ON f.id = t.fragment"):
        folded.setdefault(row["profile_id"], []).append(row["id"])
    assert sum(map(len, folded.values())) == len(history)
    anybody = make_identifier("x9")
    for row in await profiles.fetch("SELECT id FROM profiles WHERE version > 0 AND absorbed_into IS NULL"):
        reference = ProfileReference(SCORE)
        for id_ in folded.get(row["id"], ()):
            reference.feed(replace(history[id_], identifiers=(anybody,)))
        wanted = reference.view(anybody.kind, anybody.value)
        found = await view_of(profiles, row["id"])
        if wanted is None:
            assert (found["first_seen_at"], found["aggregates"]["orders"]["count"]) == (None, 0)
        else:
            for member in ("aggregates", "first_seen_at", "last_seen_at"):
                assert found[member] == wanted[member]


def shown_facets(view: dict[str, Any]) -> tuple[list[str], int]:
    """A profile of which nobody ever said anything has none stored."""
    return [one["id"] for one in view.get("segments", ())], view["loyalty"]["balance"] if "loyalty" in view else 0


async def test_what_is_said_of_an_absorbed_profile_shows_when_it_is_split_off_again(profiles: Profiles) -> None:
    await two_customers(profiles)
    one, other = await view_of(profiles, "u1"), await view_of(profiles, "e1")
    await profiles.apply_facets(make_edge(other["id"], "vip", 1), make_balance(other["id"], 1, 120))
    await profiles.flush()
    assert shown_facets(await view_of(profiles, "e1")) == (["vip"], 120)
    await profiles.merge("u1", "e1")
    await profiles.apply_facets(make_edge(other["id"], "vip", 2, entered=False), make_balance(other["id"], 2, 0))
    assert await profiles.flush() == []
    profiles.log.clear()
    made, _ = await profiles.split("u1", "e1")
    assert shown_facets(await view_of(profiles, "e1")) == ([], 0)
    assert shown_facets(msgspec.json.decode(made.other or b"")) == ([], 0)
    told = {record.profile_id: record for record in profiles.told()}
    assert shown_facets(msgspec.json.decode(told[other["id"]].snapshot)) == ([], 0)
    assert {"segments", "loyalty"} <= set(told[other["id"]].parts)
    assert not {"segments", "loyalty"} & set(told[one["id"]].parts)


async def test_ids_of_profiles_merged_before_lead_to_the_part_that_has_their_founder(profiles: Profiles) -> None:
    ids = {}
    for number, name in enumerate(("u1", "e1", "e2", "x1")):
        await profiles.apply(make_touchpoint(number, name))
        ids[name] = (await view_of(profiles, name))["id"]
    await profiles.merge("e2", "x1")
    for name in ("e1", "e2"):
        await profiles.merge("u1", name)
    profiles.log.clear()
    await profiles.split("u1", "u1")  # the founder takes the id along, and e1's leads what stays
    wanted = {ids["u1"]: None, ids["e1"]: None, ids["e2"]: ids["e1"], ids["x1"]: ids["e1"]}
    assert dict(await profiles.fetch("SELECT id, absorbed_into FROM profiles")) == wanted
    assert {record.profile_id: record.absorbed_into for record in profiles.told()} == wanted
    await profiles.split("e1", "e2")  # its own id comes back, and x1's, which was merged into it, stays with e1
    wanted[ids["e2"]] = None
    assert dict(await profiles.fetch("SELECT id, absorbed_into FROM profiles")) == wanted
    async with profiles.database.connection() as connection:
        present = [codec.decode(to_incoming(build_present(one))) for one in await load_present(connection, list(wanted))]
    last = {record.profile_id: record for record in sorted(profiles.told(), key=lambda record: record.version)}
    for record in present:
        assert isinstance(record, ProfileChanged)
        told = last[record.profile_id]
        assert (record.absorbed_into, record.version) == (wanted[record.profile_id], told.version)
        assert record.absorbed_into == told.absorbed_into
        assert record.causes == told.causes


async def test_who_leaves_with_the_id_shows_no_facet_that_was_judged_of_both(profiles: Profiles) -> None:
    await profiles.apply(make_touchpoint(1, "u1", "e1"))
    founder = await view_of(profiles, "u1")
    await profiles.apply_facets(make_edge(founder["id"], "vip", 1), make_balance(founder["id"], 1, 120))
    await profiles.apply_facets(make_judged(founder["id"], 1))
    await profiles.flush()
    profiles.log.clear()
    made, _ = await profiles.split("u1", "u1")
    left, rest = await view_of(profiles, "u1"), await view_of(profiles, "e1")
    assert made.other_id == left["id"] == founder["id"]
    assert (shown_facets(left), shown_facets(rest)) == (([], 0), ([], 0))
    # Whoever sees nothing to change stays silent, so they are asked; the rest is told as ever.
    assert {record.profile_id: record.probe for record in profiles.told()} == {left["id"]: True, rest["id"]: False}
    # What was judged before, however late it comes, is still of both.
    await profiles.apply_facets(make_balance(left["id"], 2, 130, profile_version=2), make_judged(left["id"], 2))
    await profiles.apply(make_touchpoint(2, "u1"))
    await profiles.flush()
    assert shown_facets(await view_of(profiles, "u1")) == ([], 0)
    # Each facet comes back when it has judged, though it says what it said before.
    await profiles.apply_facets(make_judged(left["id"], left["version"]))
    await profiles.flush()
    assert shown_facets(await view_of(profiles, "u1")) == (["vip"], 0)
    await profiles.apply_facets(make_balance(left["id"], 3, 130, profile_version=left["version"]))
    await profiles.flush()
    judged = await view_of(profiles, "u1")
    assert shown_facets(judged) == (["vip"], 130)
    await profiles.apply_facets(make_judged(left["id"], judged["version"]))
    assert await profiles.flush() == []


async def test_who_stays_with_the_id_keeps_its_facets(profiles: Profiles) -> None:
    await profiles.apply(make_touchpoint(1, "u1", "e1"))
    before = await view_of(profiles, "u1")
    await profiles.apply_facets(make_edge(before["id"], "vip", 1), make_balance(before["id"], 1, 120))
    await profiles.split("u1", "e1")
    assert shown_facets(await view_of(profiles, "u1")) == (["vip"], 120)
    assert shown_facets(await view_of(profiles, "e1")) == ([], 0)
    assert not any(record.probe for record in profiles.told())


async def test_a_split_told_late_asks_too(profiles: Profiles) -> None:
    await profiles.apply(make_touchpoint(1, "u1", "e1"))
    founder = (await view_of(profiles, "u1"))["id"]

    async def probes() -> list[bool]:
        async with profiles.database.connection() as connection:
            records = [codec.decode(to_incoming(one)) for one in await load_current(connection, [(str(founder).encode(), 1)])]
        return [isinstance(record, ProfileChanged) and record.probe for record in records]

    await profiles.split("u1", "u1")
    await profiles.apply(make_touchpoint(2, "u1"))
    version = (await view_of(profiles, "u1"))["version"]
    await profiles.apply_facets(make_judged(founder, version))
    assert await probes() == [True]
    await profiles.apply_facets(make_balance(founder, 1, 0, profile_version=version))
    assert await probes() == [False]
