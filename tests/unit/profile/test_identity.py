"""Identity resolution touchpoint by touchpoint, as the documents tell it, and against a plain reference over random histories."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.profile.domain.nodes import compute_profile_id
from services.profile.domain.rules import INSTALLED, KindRules, Rules
from tests.unit.profile.identity_book import KINDS, Book
from tests.unit.profile.plain_identity import START, PlainIdentity, Touch, fragment_of, make_touch


def test_a_first_touchpoint_makes_one_profile_of_all_it_names() -> None:
    book = Book().apply(make_touch(1, "u1", "e1", "d1"))
    assert book.profile_of("e1") == {"u1", "e1", "d1"}
    assert not book.graph.merges


def test_an_identify_joins_what_was_anonymous_to_the_customer_and_the_older_profile_survives() -> None:
    book = Book().apply(make_touch(1, "d1")).apply(make_touch(2, "u1"))
    first = book.pointers[fragment_of("anonymous_id", "d1")]
    book.apply(make_touch(3, "u1", "d1"))
    assert book.profile_of("u1") == {"u1", "d1"}
    assert book.pointers[fragment_of("user_id", "u1")] == first
    assert [merge.survivor for merge in book.graph.merges] == [first]


def test_the_email_of_another_user_gives_way_and_the_touchpoint_stays_with_its_user() -> None:
    book = Book().apply(make_touch(1, "u1", "e1")).apply(make_touch(2, "u2", "e1", "d2"))
    assert book.profile_of("u2") == {"u2", "d2"}
    assert book.profile_of("e1") == {"u1", "e1"}
    assert book.reasons() == ["user_id_limit"]


def test_the_second_users_identify_shows_that_the_device_is_shared_and_only_once() -> None:
    book = Book().apply(make_touch(1, "u1", "d1")).apply(make_touch(2, "u2", "d1"))
    assert book.reasons() == ["shared_device"]
    assert book.profile_of("u1") == {"u1"}
    assert book.profile_of("d1") == set()
    book.apply(make_touch(3, "d1"))
    assert book.profile_of("d1") == {"d1"}
    book.apply(make_touch(4, "u1", "d1")).apply(make_touch(5, "u3", "d1"))
    assert book.reasons() == []
    assert book.profile_of("d1") == {"d1"}
    assert book.profile_of("u3") == {"u3"}


def test_what_comes_after_in_the_same_batch_goes_to_the_next_epoch() -> None:
    book = Book().apply(make_touch(1, "u1", "d1"), make_touch(2, "u2", "d1"), make_touch(3, "d1"))
    assert book.profile_of("d1") == {"d1"}
    assert book.groups() == {frozenset({("u1", 0), ("d1", 0)}), frozenset({("u2", 0)}), frozenset({("d1", 1)})}


def test_a_touchpoint_without_a_user_shows_no_shared_device() -> None:
    book = Book().apply(make_touch(1, "u1", "d1")).apply(make_touch(2, "u2", "e2")).apply(make_touch(3, "e2", "d1"))
    assert book.reasons() == ["user_id_limit"]
    assert book.profile_of("d1") == {"u1", "d1"}


def test_a_browsers_claim_never_merges_two_customers_known_by_verified_identifiers() -> None:
    book = Book().apply(make_touch(1, "u1"), make_touch(2, "e1")).apply(make_touch(3, "?u1", "?e1", "d1"))
    assert book.reasons() == ["unverified_claim"]
    assert book.profile_of("u1") == {"u1", "d1"}
    book.apply(make_touch(4, "u1", "e1"))
    assert book.profile_of("d1") == {"u1", "e1", "d1"}


def test_a_browsers_claim_is_enough_where_one_side_is_nobody_known() -> None:
    book = Book().apply(make_touch(1, "u1"), make_touch(2, "d1")).apply(make_touch(3, "?u1", "d1"))
    assert book.profile_of("u1") == {"u1", "d1"}


def test_users_joined_by_alias_count_as_one() -> None:
    book = Book().apply(make_touch(1, "u1", "e1"), make_touch(2, "u2")).apply(make_touch(3, "u2", previous=["u1", "d1"]))
    assert book.profile_of("u1") == {"u1", "u2", "e1"}
    assert book.profile_of("d1") == set()
    book.apply(make_touch(4, "u2", "u3"))
    assert book.reasons() == ["user_id_limit"]
    book.apply(make_touch(5, "d1"))
    assert book.profile_of("d1") == {"u1", "u2", "e1", "d1"}


def test_the_device_on_which_an_alias_is_told_isnt_taken_for_a_shared_one() -> None:
    book = Book().apply(make_touch(1, "u1", "d1")).apply(make_touch(2, "u2", "d1", previous=["u1"]))
    assert book.reasons() == []
    assert book.profile_of("d1") == {"u1", "u2", "d1"}


def test_an_alias_of_an_id_with_itself_changes_nothing() -> None:
    book = Book().apply(make_touch(1, "u1")).apply(make_touch(2, "u1", previous=["u1"]))
    assert not book.graph.links
    assert book.profile_of("u1") == {"u1"}


def test_membership_grows_with_every_change_of_profile_or_address() -> None:
    book = Book().apply(make_touch(1, "u1", "d1")).apply(make_touch(2, "u2", "d1"))
    device = book.profiles[book.pointers[fragment_of("anonymous_id", "d1")]].nodes[fragment_of("anonymous_id", "d1")]
    assert (device.membership, device.address) == (2, None)


def test_an_identifier_is_seen_from_its_first_to_its_last_time_whatever_the_arrival() -> None:
    book = (
        Book()
        .apply(make_touch(1, "u1", "e1", minutes=50), make_touch(2, "u1", "e1", minutes=10))
        .apply(make_touch(3, "u1", minutes=30))
    )
    email = book.profiles[book.pointers[fragment_of("email", "e1")]].nodes[fragment_of("email", "e1")]
    assert (email.since, email.first, email.last) == (
        "2026-01-01T00:10:00.000Z",
        "2026-01-01T00:10:00.000Z",
        "2026-01-01T00:50:00.000Z",
    )


names = st.sampled_from(["u1", "u2", "u3", "e1", "e2", "e3", "d1", "d2", "d3", "x1", "x2"])
claims = st.builds(lambda name, claimed: ("?" if claimed and name[0] in "ue" else "") + name, names, st.booleans())
histories = st.lists(
    st.tuples(
        st.lists(claims, min_size=1, max_size=4, unique_by=lambda name: name.lstrip("?")),
        st.one_of(st.just([]), st.lists(st.sampled_from(["u1", "u2", "d1", "d2"]), max_size=2, unique=True)),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=14,
)


def _batches(history: Sequence[tuple[list[str], list[str], int]]) -> list[list[Touch]]:
    batches: list[list[Touch]] = [[]]
    for number, (named, previous, cut) in enumerate(history, 1):
        batches[-1].append(make_touch(number, *named, previous=previous))
        if cut == 0:
            batches.append([])
    return [batch for batch in batches if batch]


@given(histories)
def test_groups_and_refusals_are_those_of_the_plain_reference(history: list[tuple[list[str], list[str], int]]) -> None:
    book, plain = Book(), PlainIdentity()
    for batch in _batches(history):
        book.apply(*batch)
        for touch in batch:
            plain.apply(touch)
        refused = [(one.touchpoint_id, refuse.claim.fragment) for one in book.graph.refusals for refuse in one.refused]
        assert len(refused) == len(plain.refused)
        plain.refused.clear()
    assert book.groups() == plain.groups()
    live = {(node.value, node.epoch) for group in book.profiles.values() for node in group.nodes.values() if node.is_live}
    assert live == {node for node in plain.carried if plain.epoch.get(node[0], 0) == node[1]}


@given(st.data())
def test_where_nothing_is_refused_every_order_and_grouping_into_batches_ends_the_same(data: st.DataObject) -> None:
    harmless = st.lists(st.sampled_from(["e1", "e2", "e3", "d1", "d2", "d3", "x1", "x2"]), min_size=1, max_size=3, unique=True)
    touches = [
        make_touch(number, *named) for number, named in enumerate(data.draw(st.lists(harmless, min_size=1, max_size=10)), 1)
    ]
    ends = []
    for order in (touches, data.draw(st.permutations(touches))):
        book, cut = Book(), data.draw(st.integers(1, 4))
        for begin in range(0, len(order), cut):
            book.apply(*order[begin : begin + cut])
        nodes = [
            (node.value, node.verified, node.since, node.first, node.last)
            for one in book.profiles.values()
            for node in one.nodes.values()
        ]
        ends.append((book.groups(), sorted(nodes)))
    assert ends[0] == ends[1]


def test_the_part_without_the_founding_identifier_gets_the_id_that_one_of_its_own_founded_once() -> None:
    book = (
        Book().apply(make_touch(1, "u1")).apply(make_touch(2, "e1")).apply(make_touch(3, "d1")).apply(make_touch(4, "u1", "e1"))
    )
    ids = {name: compute_profile_id(fragment_of(KINDS[name[0]], name)) for name in ("u1", "e1")}
    book.apply(make_touch(5, "u1", "d1"))
    parted = book.split("u1")
    assert parted is not None
    assert (parted.departed.id, parted.remaining.id) == (ids["u1"], ids["e1"])
    assert (parted.remaining.version, parted.remaining.absorbed_into) == (2, None)
    assert book.profile_of("d1") == {"e1", "d1"}
    assert [node.membership for node in parted.remaining.nodes.values()] == [3, 3]


def test_a_link_received_before_the_ban_was_lifted_stays_void_and_a_later_one_counts() -> None:
    book = Book().apply(make_touch(1, "u1", "e1"))
    assert book.split("e1")
    book.apply(make_touch(2, "u1", "e1"))
    assert book.reasons() == ["banned"]
    book.lift(0, 10)
    book.apply(make_touch(3, "u1", "e1", minutes=10))
    assert book.reasons() == ["banned"]
    book.apply(make_touch(4, "u1", "e1", minutes=11))
    assert book.profile_of("e1") == {"u1", "e1"}


def test_a_split_of_a_split_comes_back_together_once_every_ban_is_lifted() -> None:
    book = Book().apply(make_touch(1, "e1", "d1", "x1"))
    assert book.split("d1")
    assert book.split("x1")
    assert not book.merge("x1", "d1", 2)
    book.lift(0, 3)
    assert not book.merge("x1", "e1", 4)
    book.lift(1, 5)
    assert book.merge("x1", "e1", 6)
    assert book.merge("d1", "x1", 6)
    assert book.profile_of("e1") == {"e1", "d1", "x1"}


few = st.sampled_from(["u1", "u2", "e1", "e2", "d1", "d2", "x1"])
steps = st.one_of(
    st.tuples(st.just("touch"), st.lists(few, min_size=2, max_size=3, unique=True), st.just(())),
    st.tuples(st.just("touch"), st.lists(few, min_size=1, max_size=2, unique=True), st.lists(st.just("u1"), max_size=1)),
    st.tuples(st.just("touch"), st.sampled_from([("?u1", "d1"), ("?u1", "?e1"), ("?e2", "d2")]), st.just(())),
    st.tuples(st.just("merge"), few, few),
    st.tuples(st.just("split"), few, st.just("")),
    st.tuples(st.just("lift"), st.integers(0, 2), st.just("")),
)


@st.composite
def draw_rules(draw: st.DrawFn) -> tuple[Rules, PlainIdentity]:
    """Rules as installed or tight ones, for the code and for the reference."""
    plain, kinds = PlainIdentity(), dict(INSTALLED)
    tight = draw(st.lists(st.sampled_from(["user_id", "email", "anonymous_id", "device_id"]), unique=True))
    plain.limits |= {"email": 5, "anonymous_id": 5, "device_id": 5}
    plain.windows = {kind: rules.window for kind, rules in INSTALLED.items() if rules.window is not None}
    for kind in tight:
        limit, window = draw(st.integers(1, 2)), draw(st.sampled_from([None, 2, 6]))
        blocked = draw(st.sampled_from(["", "e1", "d1"]))
        browser_claim = kind != "user_id" or draw(st.booleans())
        kinds[kind] = KindRules(
            description="tight",
            limit=limit,
            window=None if window is None else timedelta(minutes=window),
            blocked=frozenset({blocked} if KINDS.get(blocked[:1]) == kind else ()),
            browser_claim=browser_claim,
        )
        plain.limits[kind] = limit
        plain.windows.pop(kind, None)
        if window is not None:
            plain.windows[kind] = timedelta(minutes=window)
        plain.blocked |= kinds[kind].blocked
        plain.proof_wanted |= set() if browser_claim else {kind}
    return Rules(kinds), plain


@given(draw_rules(), st.lists(st.tuples(steps, st.integers(0, 6)), min_size=4, max_size=30))
def test_commands_and_touchpoints_do_what_the_plain_reference_does(
    ruled: tuple[Rules, PlainIdentity], history: list[tuple[tuple[str, ...], int]]
) -> None:
    rules, plain = ruled
    book = Book(rules)
    for number, ((what, one, other), late) in enumerate(history, 10):
        match what:
            case "touch":
                touch = make_touch(number, *one, previous=other, minutes=number - late)
                book.apply(touch)
                plain.apply(touch)
                refused = {refuse.claim.fragment for seen in book.graph.refusals for refuse in seen.refused}
                assert len(refused) + book.blocked == len(plain.refused)
                plain.refused.clear()
            case "merge":
                assert book.merge(one, other, number) == plain.merge(one, other, START + timedelta(minutes=number))
            case "split":
                assert (book.split(one) is not None) == plain.split(one)
            case _ if int(one) < len(plain.splits):
                book.lift(int(one), number)
                plain.lift(int(one), START + timedelta(minutes=number))
        assert book.groups() == plain.groups()
    for profile_id, group in book.profiles.items():
        assert not group.nodes or (group.founding in group.nodes and group.id == profile_id)


@given(st.data())
def test_where_nothing_is_refused_merges_and_touchpoints_may_come_in_any_order(data: st.DataObject) -> None:
    plain_names = ["e1", "e2", "e3", "d1", "d2", "x1"]
    pairs = st.lists(st.sampled_from(plain_names), min_size=2, max_size=2, unique=True)
    moves = data.draw(st.lists(st.tuples(st.booleans(), pairs), min_size=1, max_size=8))
    ends = []
    for order in (range(len(moves)), data.draw(st.permutations(range(len(moves))))):
        book = Book()
        for number, name in enumerate(plain_names):
            book.apply(make_touch(100 + number, name))
        for number in order:
            by_command, (one, other) = moves[number]
            if by_command:
                book.merge(one, other, number)
            else:
                book.apply(make_touch(number, one, other))
        ends.append((book.groups(), {name: book.pointers[fragment_of(KINDS[name[0]], name)] for name in plain_names}))
    assert ends[0] == ends[1]
