"""Limits, windows, browsers' claims: what the rules make of touchpoints, and how much a profile may hold at all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from libs.events.envelope import Incoming
from services.profile.domain.graph import Applied, Group
from services.profile.domain.identity import MAX_IDENTIFIERS, MAX_VALUE_BYTES
from services.profile.domain.nodes import Node, compute_profile_id
from services.profile.domain.rules import INSTALLED, KindRules, Rules
from services.profile.handlers.open_graph import POSITIONS_PER_TOUCHPOINT
from services.profile.handlers.tell_profiles import Told, make_moment, tell_version
from tests.unit.profile.identity_book import Book
from tests.unit.profile.plain_identity import START, Named, Touch, fragment_of, make_touch

BROKERS_MAX_BYTES = 1_048_588  # Kafka's message.max.bytes where nobody sets it
TIME = "2026-01-01T00:00:00.000Z"


def make_rules(**kinds: KindRules) -> Rules:
    return Rules({**INSTALLED, **kinds})


def test_the_sixth_address_gives_way_and_the_rest_of_the_touchpoint_stands() -> None:
    book = Book().apply(*(make_touch(number, "u1", f"e{number}") for number in range(1, 6)))
    book.apply(make_touch(6, "u1", "e6", "d1"))
    assert book.reasons() == ["email_limit"]
    assert book.profile_of("u1") == {"u1", "e1", "e2", "e3", "e4", "e5", "d1"}
    assert book.profile_of("e6") == set()


def test_a_window_forgets_what_joined_before_it_and_not_what_joined_in_it() -> None:
    rules = make_rules(anonymous_id=KindRules(description="", limit=2, window=timedelta(minutes=10)))
    book = Book(rules).apply(make_touch(1, "u1", "d1"), make_touch(2, "u1", "d2"), make_touch(3, "u1", "d3", minutes=10))
    assert book.reasons() == ["anonymous_id_limit"]
    book.apply(make_touch(4, "u1", "d3", minutes=11))
    assert (book.reasons(), book.profile_of("d3")) == ([], {"u1", "d1", "d2", "d3"})
    # A device that was known by itself for long joins when it is first named with somebody.
    book.apply(make_touch(5, "d4")).apply(make_touch(6, "u1", "d4", minutes=11))
    assert book.reasons() == ["anonymous_id_limit"]


def test_what_comes_late_does_not_get_round_a_limit() -> None:
    rules = make_rules(email=KindRules(description="", limit=1, window=timedelta(minutes=10)))
    book = Book(rules).apply(make_touch(1, "u1", "e1", minutes=50)).apply(make_touch(2, "u1", "e2", minutes=45))
    assert book.reasons() == ["email_limit"]


def test_lowering_a_limit_splits_nobody_and_binds_what_comes() -> None:
    book = Book().apply(*(make_touch(number, "u1", f"e{number}") for number in range(1, 4)))
    book.rules = make_rules(email=KindRules(description="", limit=1))
    book.apply(make_touch(4, "u1", "e2", "d1"))
    assert (book.reasons(), book.profile_of("u1")) == ([], {"u1", "e1", "e2", "e3", "d1"})
    book.apply(make_touch(5, "u1", "e4"))
    assert book.reasons() == ["email_limit"]
    assert not book.apply(make_touch(6, "e5")).merge("u1", "e5", 6)


def test_without_a_limit_as_many_as_there_are() -> None:
    rules = make_rules(email=KindRules(description="", limit=None))
    book = Book(rules).apply(*(make_touch(number, "u1", f"e{number}") for number in range(20)))
    assert len(book.profile_of("u1")) == 21


def test_a_kind_nobody_declared_has_the_limit_of_all_others() -> None:
    touches = [make_touch(number, "u1") for number in range(6)]
    cards = [Named("till_id", f"t{number}") for number in range(6)]
    book = Book().apply(*(replace(one, identifiers=(*one.identifiers, card)) for one, card in zip(touches, cards, strict=True)))
    assert book.reasons() == ["till_id_limit"]


def test_a_second_user_shows_a_shared_device_whatever_other_limit_is_reached() -> None:
    rules = make_rules(email=KindRules(description="", limit=1))
    book = Book(rules).apply(make_touch(1, "u1", "e1", "d1")).apply(make_touch(2, "u2", "e2"), make_touch(3, "u2", "d1"))
    assert book.reasons() == ["shared_device"]


def test_a_passed_epoch_is_nobodys_identifier_and_counts_for_no_limit() -> None:
    rules = make_rules(anonymous_id=KindRules(description="", limit=1))
    book = Book(rules).apply(make_touch(1, "u1", "d1")).apply(make_touch(2, "u2", "d1")).apply(make_touch(3, "u1", "d2"))
    assert book.reasons() == []


def test_a_browsers_word_of_a_kind_may_be_made_worth_nothing() -> None:
    rules = make_rules(email=KindRules(description="", browser_claim=False))
    book = Book(rules).apply(make_touch(1, "?e1", "d1"))
    assert book.reasons() == ["unverified_claim"]
    book.apply(make_touch(2, "e1", "d1")).apply(make_touch(3, "?e1", "d1"))
    assert (book.reasons(), book.profile_of("d1")) == ([], {"e1", "d1"})


def test_a_card_with_a_wrong_check_digit_is_nobodys_where_cards_have_one() -> None:
    rules = make_rules(loyalty_card=KindRules(description="", check_digit="ean"))
    cards = [Named("loyalty_card", value) for value in ("4006381333931", "4006381333932", "4006-3813-3393-1", "GOLD 7")]
    assert rules.sort_out(cards) == ((cards[0], cards[2], cards[3]), (cards[1],))
    assert Rules().sort_out(cards) == (tuple(cards), ())
    assert (rules.drops, Rules().drops) == (True, False)


def make_crowd(count: int, value: str = "") -> list[Touch]:
    """A user with so many ids of other systems, each of a kind of its own, every second one by an alias of another account."""
    crowd = []
    for number in range(count):
        touch = make_touch(number, "u0") if number % 2 else make_touch(number, "u0", previous=[f"u{number + 1}"])
        other = (Named(f"system_{number}", f"{value}{number}"),) if number % 2 else ()
        crowd.append(replace(touch, identifiers=(*touch.identifiers, *other)))
    return crowd


def test_a_profile_holds_a_thousand_identifiers_of_whatever_kind_and_not_one_more() -> None:
    book = Book().apply(*make_crowd(MAX_IDENTIFIERS - 1))
    assert book.reasons() == []
    [crowd] = [group for group in book.groups() if ("u0", 0) in group]
    assert len(crowd) == MAX_IDENTIFIERS
    book.apply(make_touch(5000, "u0", "e1"))
    assert book.reasons() == ["too_many_identifiers"]
    book.apply(make_touch(5001, "u0", previous=["u9999"]))
    assert book.reasons() == ["too_many_identifiers"]
    book.apply(make_touch(5002, "e2"), make_touch(5003, "d2", "u0"))
    assert book.reasons() == ["too_many_identifiers"]
    assert not book.merge("u0", "e2", 6000)


def test_long_values_fill_a_profile_sooner() -> None:
    value = "\x01" * 500
    book = Book().apply(*make_crowd(200, value))
    assert set(book.reasons()) == {"too_many_identifiers"}
    [crowd] = [group for group in book.profiles.values() if len(group.nodes) > 1]
    assert 0 <= MAX_VALUE_BYTES - crowd.weigh() < 2 * len(value) * 6


def make_fullest() -> Group[Any]:
    """As many identifiers as may be, of the longest kinds, with values as long as they may be together."""
    value = "v" * (MAX_VALUE_BYTES // MAX_IDENTIFIERS - 5)
    nodes = {}
    for number in range(MAX_IDENTIFIERS):
        fragment = fragment_of("any", str(number))
        node = nodes[fragment] = Node(fragment, f"{number:_<64}", f"{number:03}{value}", fragment, membership=99)
        node.see(verified=True, received_at=TIME, occurred_at=TIME)
    founding = next(iter(nodes))
    crowd = Group[Any](compute_profile_id(founding), founding, 0, nodes)
    assert 0 <= MAX_VALUE_BYTES - crowd.weigh() < 2 * MAX_IDENTIFIERS
    return crowd


def test_the_fullest_profile_fits_into_a_record_with_room_for_its_view() -> None:
    [record] = tell_version(make_fullest(), make_moment(START, 0), ("touchpoint",))[1]
    assert len(record.value or b"") < BROKERS_MAX_BYTES * 2 // 3


def test_many_touchpoints_of_the_fullest_profile_make_a_few_records_and_not_one_each() -> None:
    crowd, body = make_fullest(), b'{"a":"%b"}' % (b"x" * 590)
    messages = [Incoming("touchpoints", 0, number, b"", body, {}, 0) for number in range(500)]
    touch = make_touch(1, "u1")
    crowd.applied = [Applied(number * POSITIONS_PER_TOUCHPOINT, crowd.founding, touch) for number in range(500)]
    records = tell_version(crowd, make_moment(START, 0), ("touchpoint",), Told(messages, 0))[1]
    assert len(records) <= 6
    assert max(len(record.value or b"") for record in records) < BROKERS_MAX_BYTES * 3 // 4
    assert sum((record.value or b"").count(body) for record in records) == 500
