"""Which anonymous ids open anything, and when what they open may be shown."""

import base64
from uuid import UUID, uuid3, uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.touchpoints import Identifier
from services.profile.domain.visitors import NOBODY, find_vouched, is_unguessable, may_see, show_visitor


@given(st.uuids(version=4).filter(lambda drawn: len(set(drawn.hex)) >= 10))
def test_a_uuid_of_version_4_can_not_be_guessed(drawn: UUID) -> None:
    assert is_unguessable(str(drawn))
    assert is_unguessable(str(drawn).upper())


@pytest.mark.parametrize(
    "text",
    [
        base64.urlsafe_b64encode(bytes(range(7, 24))).decode().rstrip("=")[:22],
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789ABCDEF",
        "V1StGXR8_Z5jdHi6B-myTv",
    ],
)
def test_so_many_digits_or_letters_of_a_draw_can_not_be_guessed(text: str) -> None:
    assert is_unguessable(text)
    assert not is_unguessable(text[:21])


@pytest.mark.parametrize(
    "text",
    [
        "b1b5c9a0-ca7e-11f0-8de9-0242ac120002",  # version 1: a time and a machine
        str(uuid3(UUID(int=0), "ada")),
        str(uuid5(UUID(int=0), "ada")),
        "01890a5d-ac96-774b-bcce-b302099a8057",  # version 7: a time and 74 bits
        "00000000-0000-4000-8000-000000000001",
        "8f14e45f-ceea-467f-1575-2d4b0e6e1a3c",  # another variant
        "00000000000000000000000000000042",
        "0123456789abcdef0123456789abcde",
        "user-0000000000000000000000000042",
        "ada-lovelace-of-london-1815",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAb",
        "V1StGXR8_Z5jdHi6B-myT",
        "ada@example.com",
        "V1StGXR8_Z5jdHi6B-myTv ",
        "V1StGXR8_Z5jdHi6B-myTv\n",
        "V1StGXR8/Z5jdHi6B+myTv",
        "Ab1" * 43,
        "d1",
        "",
    ],
)
def test_what_holds_a_time_a_name_or_a_counter_is_refused(text: str) -> None:
    assert not is_unguessable(text)


def make_named(kind: str, number: int, *, verified: bool = True) -> Identifier:
    return Identifier(kind, f"{kind}{number}", UUID(int=number), verified)


def test_only_a_verified_word_about_somebody_known_vouches_for_an_anonymous_id() -> None:
    visitor = make_named("anonymous_id", 2)
    assert find_vouched([make_named("user_id", 1), visitor], ()) == [UUID(int=2)]
    assert find_vouched([make_named("email", 1), visitor, make_named("anonymous_id", 3)], ()) == [UUID(int=2), UUID(int=3)]
    assert find_vouched([make_named("user_id", 1, verified=False), visitor], ()) == []
    assert find_vouched([make_named("anonymous_id", 1), visitor], ()) == []
    assert find_vouched([make_named("user_id", 1), make_named("device_id", 2)], ()) == []
    assert find_vouched([make_named("user_id", 1), visitor], (("anonymous_id", "anonymous_id2"),)) == []
    assert find_vouched([make_named("user_id", 1)], ()) == []


def render(*named: Identifier) -> bytes:
    return msgspec.json.encode([{"kind": one.kind, "fragment": one.fragment, "verified": one.verified} for one in named])


def test_a_profile_opens_where_no_claim_can_have_tied_the_id_to_it() -> None:
    visitor, other = make_named("anonymous_id", 1), make_named("anonymous_id", 2)
    device, known, claimed = make_named("device_id", 3), make_named("user_id", 4), make_named("email", 5, verified=False)
    assert may_see(render(visitor, other), visitor.fragment, is_vouched=False)
    assert not may_see(render(visitor, device), visitor.fragment, is_vouched=False)
    assert not may_see(render(visitor, known), visitor.fragment, is_vouched=False)
    assert not may_see(render(visitor, claimed), visitor.fragment, is_vouched=False)
    assert may_see(render(visitor, known, device), visitor.fragment, is_vouched=True)
    assert not may_see(render(visitor, known, claimed), visitor.fragment, is_vouched=True)


def test_what_a_server_said_of_an_id_ends_when_it_leads_elsewhere() -> None:
    visitor, known = make_named("anonymous_id", 1), make_named("user_id", 4)
    moved = msgspec.structs.replace(visitor, fragment=UUID(int=9))
    assert not may_see(render(moved, known), visitor.fragment, is_vouched=True)
    assert may_see(render(moved), visitor.fragment, is_vouched=True)


def test_segments_tier_and_points_are_shown_and_nothing_else() -> None:
    facets = (
        b'"segments":[{"id":"vip","name":"Vip","since":"2026-03-01T12:00:00.000Z"}],'
        b'"loyalty":{"program":"default","balance":12,"pending":3,"lifetime":40,"tier":"gold"},"computed":{"x":1},"scores":{}'
    )
    shown = msgspec.json.decode(msgspec.json.encode(show_visitor(facets)))
    assert shown == {"segments": [{"id": "vip", "name": "Vip"}], "tier": "gold", "points": 12}
    assert show_visitor(b"") == NOBODY
