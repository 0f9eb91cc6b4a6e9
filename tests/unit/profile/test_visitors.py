"""Which anonymous ids open anything, and when what they open may be shown."""

import base64
from collections.abc import Sequence
from uuid import UUID, uuid3, uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.domain.visitors import NOBODY, Seen, is_only_anonymous, is_unguessable, may_see, show_visitor


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


def make_seen(kind: str, number: int, *, verified: bool = True) -> Seen:
    return Seen(kind, UUID(int=number), verified)


VISITOR, OTHER = make_seen("anonymous_id", 1), make_seen("anonymous_id", 2)
DEVICE, ADA, CARD = make_seen("device_id", 3), make_seen("user_id", 4), make_seen("loyalty_card", 5)


def opens(seen: Sequence[Seen], *vouched: tuple[Seen, Seen]) -> bool:
    return may_see(seen, VISITOR.fragment, [(a.fragment, b.fragment) for a, b in vouched])


def test_only_a_profile_of_nothing_but_anonymous_ids_opens_by_each_of_them() -> None:
    assert is_only_anonymous([VISITOR, OTHER])
    assert not is_only_anonymous([VISITOR, DEVICE])
    assert not opens([VISITOR, DEVICE])
    assert not opens([VISITOR, DEVICE], (VISITOR, DEVICE))


def test_all_that_is_known_of_the_person_hangs_together_with_the_id_by_a_server_s_word() -> None:
    assert opens([VISITOR, ADA], (ADA, VISITOR))
    assert opens([VISITOR, ADA, CARD], (ADA, VISITOR), (CARD, ADA))
    assert opens([VISITOR, ADA, DEVICE, OTHER], (ADA, VISITOR))
    assert not opens([VISITOR, ADA])
    assert not opens([VISITOR, ADA, CARD], (ADA, VISITOR))
    assert not opens([VISITOR, ADA, CARD], (ADA, CARD))
    assert not opens([VISITOR, ADA, make_seen("email", 6, verified=False)], (ADA, VISITOR), (ADA, make_seen("email", 6)))


def test_an_id_that_leads_elsewhere_opens_nobody() -> None:
    assert not opens([make_seen("anonymous_id", 9), ADA], (ADA, make_seen("anonymous_id", 9)))


def test_segments_tier_and_points_are_shown_and_nothing_else() -> None:
    facets = (
        b'"segments":[{"id":"vip","name":"Vip","since":"2026-03-01T12:00:00.000Z"}],'
        b'"loyalty":{"program":"default","balance":12,"pending":3,"lifetime":40,"tier":"gold"},"computed":{"x":1},"scores":{}'
    )
    shown = msgspec.json.decode(msgspec.json.encode(show_visitor(facets)))
    assert shown == {"segments": [{"id": "vip", "name": "Vip"}], "tier": "gold", "points": 12}
    assert show_visitor(b"") == NOBODY
