"""The view put together, versions, exact search, edits, the last message."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from services.profile.domain.edits import choose_identifier, compute_consent_time, compute_edit_time
from services.profile.domain.messages import LastMessage, choose_last, render_last_message
from services.profile.domain.nodes import Node
from services.profile.domain.search import compute_trait_key, compute_trait_keys, has_trait
from services.profile.domain.views import (
    NO_FACETS,
    FacetRow,
    compare_facets,
    next_version,
    render_facets,
    render_identifiers,
    render_view,
)

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def make_node(fragment: UUID, kind: str, value: str, *, carried: bool = True, address: bool = True) -> Node:
    at = "2026-01-01T00:00:00.000Z"
    return Node(fragment, kind, value, fragment if address else None, carried=carried, verified=True, since=at, first=at, last=at)


def test_versions_grow_by_one_and_a_generation_lifts_them() -> None:
    assert next_version(0, 0) == 1
    assert next_version(41, 0) == 42
    assert next_version(41, 1) == (1 << 40) + 1
    assert next_version((1 << 40) + 1, 1) == (1 << 40) + 2


def test_identifiers_are_the_live_ones_strongest_first_whatever_the_order() -> None:
    nodes = [
        make_node(A, "email", "a@example.com"),
        make_node(B, "user_id", "u1"),
        make_node(C, "anonymous_id", "d1", address=False),
        make_node(UUID(int=4), "user_id", "old", carried=False),
    ]
    shown = msgspec.json.decode(render_identifiers(nodes))
    assert [(one["kind"], one["value"]) for one in shown] == [("user_id", "u1"), ("email", "a@example.com")]
    assert render_identifiers(nodes) == render_identifiers(reversed(nodes))


def test_facets_show_entered_segments_by_id_and_the_default_program() -> None:
    rows = [
        FacetRow("segments", "vip", b'{"id":"vip"}'),
        FacetRow("segments", "a", b'{"id":"a"}'),
        FacetRow("segments", "left", b""),
        FacetRow("loyalty", "default", b'{"balance":5}'),
        FacetRow("loyalty", "club", b'{"balance":9}'),
    ]
    facets = render_facets(rows)
    shown = msgspec.json.decode(b"{%b}" % facets)
    assert [one["id"] for one in shown["segments"]] == ["a", "vip"]
    assert shown["loyalty"] == {"balance": 5}
    assert compare_facets(b"", facets) == {"segments", "loyalty"}
    assert compare_facets(b"", NO_FACETS) == set()


def test_a_view_without_facets_has_zeros_in_their_place() -> None:
    view = msgspec.json.decode(render_view(A, 7, "2026-01-01T00:00:00.000Z", b"[]", b'"traits":{}', b""))
    assert view["version"] == 7
    assert view["loyalty"]["balance"] == 0
    assert (view["segments"], view["computed"], view["scores"]) == ([], {}, {})


def test_search_compares_texts_numbers_and_booleans_and_leaves_out_the_rest() -> None:
    core = b'"traits":{"a":"x","n":5,"b":true,"o":{"k":1},"l":[1],"z":null,"long":"%b"}' % (b"y" * 300)
    assert compute_trait_keys(core).traits == sorted(compute_trait_key(*pair) for pair in (("a", "x"), ("n", "5"), ("b", "true")))
    view = b"{%b}" % core
    assert has_trait(view, "n", "5")
    assert not has_trait(view, "n", "5.0")
    assert not has_trait(view, "o", '{"k":1}')
    assert not has_trait(view, "missing", "x")


def test_an_edit_belongs_to_the_identifier_it_names_else_to_the_founding_one_else_to_the_strongest() -> None:
    shown = render_identifiers([make_node(A, "user_id", "u1"), make_node(B, "email", "e1")])
    assert (named := choose_identifier(shown, A, ("email", "e1"))) is not None
    assert named.fragment == B
    assert (founding := choose_identifier(shown, B, None)) is not None
    assert founding.fragment == B
    assert (strongest := choose_identifier(shown, C, None)) is not None
    assert strongest.fragment == A
    assert choose_identifier(shown, A, ("phone", "1")) is None
    assert choose_identifier(b"[]", A, None) is None


def test_a_command_is_later_than_all_that_is_known() -> None:
    ahead = '"last_seen_at":"2026-05-01T00:03:00.000Z","consent":[{"purpose":"m","channel":"*","at":"2026-05-01T00:01:00.000Z"}]'
    core = ahead.encode()
    assert compute_edit_time(NOW, core) == NOW + timedelta(minutes=3, milliseconds=1)
    assert compute_consent_time(NOW, core, "m") == NOW + timedelta(minutes=1, milliseconds=1)
    assert compute_consent_time(NOW, core, "other") == NOW
    assert compute_edit_time(NOW + timedelta(hours=1), core) == NOW + timedelta(hours=1)


def test_the_last_message_is_the_latest_by_time_then_id() -> None:
    early, late = LastMessage(1, B, "Email Sent", "email", "c1"), LastMessage(2_000, A, "SMS Sent", "sms")
    assert choose_last([early, None, late]) == late
    assert choose_last([LastMessage(1, A, "x", "x"), early]) == early
    assert choose_last([None]) is None
    assert msgspec.json.decode(b"{%b}" % render_last_message(late))["last_message"]["at"] == "1970-01-01T00:00:00.002Z"
    assert render_last_message(None) == b'"last_message":null'
