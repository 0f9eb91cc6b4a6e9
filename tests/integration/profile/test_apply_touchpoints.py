"""The consumer of touchpoints on real PostgreSQL: what it writes, and what it tells."""

import asyncio
from datetime import timedelta

import msgspec

from libs.events.envelope import Outgoing
from libs.messaging.outcomes import Duplicate, Handled, Reject
from tests.integration.profile.driving import (
    Profiles,
    encode_touchpoint,
    make_consent,
    make_identifier,
    make_identify,
    make_order,
    make_touchpoint,
    to_incoming,
)


async def test_a_first_touchpoint_makes_a_profile_and_tells_it_once(profiles: Profiles) -> None:
    await profiles.apply(make_identify(1, "u1", "e1", "d1", firstName="Ada"))
    view = await profiles.view("e1")
    assert view is not None
    assert view["traits"] == {"first_name": "Ada", "email": "e1"}
    assert [one["kind"] for one in view["identifiers"]] == ["user_id", "email", "anonymous_id"]
    [told] = profiles.told()
    assert (told.version, told.causes, told.absorbed_into) == (1, ("touchpoint",), None)
    assert {member.fragment for member in told.members} == {make_identifier(name).fragment for name in ("u1", "e1", "d1")}
    assert [member.address for member in told.members] == [member.fragment for member in told.members]
    snapshot = msgspec.json.decode(told.snapshot)
    assert snapshot["version"] == 1
    assert snapshot["traits"] == view["traits"]
    assert snapshot["loyalty"] == {"program": "default", "balance": 0, "pending": 0, "lifetime": 0, "tier": None}
    assert [applied.fragment for applied in told.touchpoints] == [make_identifier("u1").fragment]


async def test_the_same_touchpoint_again_changes_nothing_alone_or_within_a_poll(profiles: Profiles) -> None:
    order = make_order(1, "u1", order_id="o1", amount="19.99")
    first = await profiles.apply(order, order)
    again = await profiles.apply(order)
    assert [type(outcome) for outcome in first.outcomes] == [Handled, Duplicate]
    assert [type(outcome) for outcome in again.outcomes] == [Duplicate]
    view = await profiles.view("u1")
    assert view is not None
    assert view["aggregates"]["orders"]["gross_minor"] == {"EUR": 1999}
    assert len(profiles.log) == 1


async def test_a_merge_brings_both_together_and_says_so_to_the_followers_of_both(profiles: Profiles) -> None:
    await profiles.apply(make_order(1, "d1", order_id="o1", amount="10"))
    await profiles.apply(make_order(2, "u1", order_id="o2", amount="20"))
    anonymous, known = await profiles.view("d1"), await profiles.view("u1")
    assert anonymous is not None
    assert known is not None
    profiles.log.clear()
    await profiles.apply(make_identify(3, "u1", "d1"))
    merged = await profiles.view("u1")
    assert merged is not None
    assert merged["id"] == anonymous["id"]
    assert merged["aggregates"]["orders"]["gross_minor"] == {"EUR": 3000}
    assert (await profiles.view(known["id"]) or {})["id"] == anonymous["id"]
    root, gone = sorted(profiles.told(), key=lambda told: not told.members)
    assert (root.causes, root.profile_id, root.version) == (("merge", "touchpoint"), anonymous["id"], 2)
    assert {member.fragment: member.membership for member in root.members} == {
        make_identifier("d1").fragment: 1,
        make_identifier("u1").fragment: 2,
    }
    assert (gone.profile_id, gone.version, gone.members, gone.absorbed_into) == (known["id"], 2, (), anonymous["id"])
    assert await profiles.fetch("SELECT profile_id, other_id FROM history") == [(anonymous["id"], known["id"])]


async def test_an_absorbed_id_leads_to_the_root_after_any_number_of_merges(profiles: Profiles) -> None:
    for number, name in enumerate(("e1", "e2", "e3", "e4"), 1):
        await profiles.apply(make_touchpoint(number, name))
    ids = [(await profiles.view(name) or {})["id"] for name in ("e1", "e2", "e3", "e4")]
    await profiles.apply(make_touchpoint(5, "e3", "e4"), make_touchpoint(6, "e2", "e3"), make_touchpoint(7, "e1", "e2"))
    assert {(await profiles.view(id_) or {})["id"] for id_ in ids} == {ids[0]}
    assert await profiles.members("e4") == {"e1", "e2", "e3", "e4"}


async def test_the_shared_device_goes_on_as_nobodys_and_both_users_are_told(profiles: Profiles) -> None:
    await profiles.apply(make_touchpoint(1, "u1", "d1"))
    await profiles.apply(make_touchpoint(2, "u2", "d1"))
    assert await profiles.members("u1") == {"u1"}
    assert await profiles.view("d1") is None
    first = await profiles.view("u1")
    assert first is not None
    told = [told for told in profiles.told() if told.profile_id == first["id"]][-1]
    device = next(member for member in told.members if member.kind == "anonymous_id")
    assert (device.address, device.membership, told.version) == (None, 2, 2)
    await profiles.apply(make_touchpoint(3, "d1"), make_touchpoint(4, "u1", "d1"))
    assert await profiles.members("d1") == {"d1"}
    nobodys = await profiles.view("d1")
    assert nobodys is not None
    assert nobodys["id"] not in (first["id"], (await profiles.view("u2") or {})["id"])
    assert await profiles.fetch("SELECT reason, touchpoint_id FROM refusals") == [("shared_device", make_touchpoint(2, "u2").id)]


async def test_a_refused_email_is_no_trait_and_no_identifier_of_the_one_who_named_it(profiles: Profiles) -> None:
    await profiles.apply(make_identify(1, "u1", "e1"))
    await profiles.apply(make_identify(2, "u2", "e1", email="e1", plan="gold"))
    second = await profiles.view("u2")
    assert second is not None
    assert second["traits"] == {"plan": "gold"}
    assert await profiles.members("u2") == {"u2"}


async def test_a_node_named_only_by_alias_is_not_found_until_a_touchpoint_carries_it(profiles: Profiles) -> None:
    await profiles.apply(make_touchpoint(1, "u2", previous=["u1", "d1"]))
    assert await profiles.view("d1") is None
    assert await profiles.members("u2") == {"u2"}
    await profiles.apply(make_touchpoint(2, "d1"))
    assert await profiles.members("d1") == {"u2", "d1"}


async def test_a_card_presented_before_registration_brings_its_purchases_along_and_stays_with_its_holder(
    profiles: Profiles,
) -> None:
    await profiles.apply(make_order(1, "c1", order_id="o1", amount="12"))
    assert await profiles.members("c1") == {"c1"}
    await profiles.apply(make_identify(2, "u1", "e1", "c1"))
    assert await profiles.members("u1") == {"u1", "e1", "c1"}
    view = await profiles.view("u1")
    assert view is not None
    assert view["aggregates"]["orders"]["gross_minor"] == {"EUR": 1200}
    await profiles.apply(make_identify(3, "u2", "c1"))
    assert await profiles.members("u2") == {"u2"}
    assert await profiles.members("c1") == {"u1", "e1", "c1"}
    [refusal] = await profiles.fetch("SELECT reason FROM refusals")
    assert refusal["reason"] == "user_id_limit"


async def test_an_identify_with_another_email_adds_it_and_the_latest_is_shown(profiles: Profiles) -> None:
    await profiles.apply(make_identify(1, "u1", "e1"), make_identify(2, "u1", "e2"))
    assert await profiles.members("e1") == await profiles.members("e2") == {"u1", "e1", "e2"}
    view = await profiles.view("u1")
    assert view is not None
    assert view["traits"]["email"] == "e2"


async def test_many_touchpoints_of_one_customer_make_several_versions_of_at_most_200(profiles: Profiles) -> None:
    await profiles.apply(*[make_touchpoint(number, "u1") for number in range(450)])
    told = profiles.told()
    assert [(record.version, len(record.touchpoints)) for record in told] == [(1, 200), (2, 200), (3, 50)]
    assert [msgspec.json.decode(record.snapshot)["version"] for record in told] == [1, 2, 3]


async def test_a_record_stays_under_256_kb(profiles: Profiles) -> None:
    properties = msgspec.Raw(msgspec.json.encode({"text": "x" * 30_000}))
    await profiles.apply(*[make_touchpoint(number, "u1", properties=properties) for number in range(20)])
    assert [len(record.touchpoints) for record in profiles.told()] == [8, 8, 4]
    assert all(len(outgoing.value or b"") < 256 * 1024 for outgoing in profiles.log)


async def test_a_malformed_record_is_rejected_and_the_rest_applied(profiles: Profiles) -> None:
    good = encode_touchpoint(make_touchpoint(1, "u1"))
    bad = Outgoing(good.topic, good.key, b"{}", good.headers)
    async with profiles.database.transaction() as tx:
        result = await profiles.handle(tx, [to_incoming(bad), to_incoming(good, offset=1)])
    assert [type(outcome) for outcome in result.outcomes] == [Reject, Handled]
    assert await profiles.members("u1") == {"u1"}


async def test_consent_and_lead_and_figures_are_in_the_view(profiles: Profiles) -> None:
    await profiles.apply(make_consent(1, "u1"), make_order(2, "u1", order_id="o1", amount="5.00"))
    view = await profiles.view("u1")
    assert view is not None
    assert [(one["channel"], one["status"]) for one in view["consent"]] == [("email", "granted")]
    assert view["aggregates"]["orders"]["count"] == 1


async def test_two_workers_that_merge_the_same_profiles_at_once_end_with_one(profiles: Profiles) -> None:
    for turn in range(12):
        names = [f"u{turn}", f"e{turn}", f"d{turn}", f"c{turn}"]
        await profiles.apply(*[make_touchpoint(f"{turn}-{name}", name, minute=turn) for name in names])
        pairs = [(0, 1), (1, 2), (2, 3), (3, 0), (1, 3)]
        await asyncio.gather(
            *(profiles.apply(make_touchpoint(f"{turn}-{a}{b}", names[a], names[b], minute=turn)) for a, b in pairs)
        )
        assert await profiles.members(names[0]) == set(names)
    assert await profiles.fetch("SELECT count(*) FROM profiles WHERE absorbed_into IS NULL") == [(12,)]
    rows = await profiles.fetch(
        "SELECT count(*) FROM fragments f JOIN profiles p ON p.id = f.profile_id WHERE NOT f.id = ANY (p.members)"
    )
    assert rows == [(0,)]


async def test_two_workers_that_meet_at_a_new_customer_make_one_profile(profiles: Profiles) -> None:
    for turn in range(12):
        at = timedelta(minutes=turn).seconds / 60
        touchpoints = [
            make_order(f"{turn}-{n}", f"u{turn}", f"e{turn}", order_id=f"o{n}", amount="1", minute=at) for n in range(4)
        ]
        await asyncio.gather(*map(profiles.apply, touchpoints))
        view = await profiles.view(f"e{turn}")
        assert view is not None
        assert view["aggregates"]["orders"]["count"] == 4
    assert await profiles.fetch("SELECT count(*) FROM profiles") == [(12,)]
