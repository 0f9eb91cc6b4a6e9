"""Whatever a sender writes folds without error into a view that is JSON, and what a batch costs stays the same for ever."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from libs.events.touchpoints import TouchpointRecorded
from libs.orders.statements import OrderStatement
from services.profile.domain.facts import MESSAGE_NAMES, TICKET_NAMES
from services.profile.domain.values import read_number, read_text
from tests.builders.touchpoints import make_fragment, make_touchpoint
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook

ME = make_fragment("user_id", "u1")
NAMES = [*TICKET_NAMES, *MESSAGE_NAMES, "Product Reviewed", "Social Mention Posted", "Survey Answered", "Lead Stage Changed"]
FIELDS = [
    "ticket_id",
    "review_id",
    "mention_id",
    "email_id",
    "rating",
    "text",
    "survey_type",
    "score",
    "stage",
    "traits",
    "email",
]
NUMBERS = ["1e400", "-1e400", "1e-400", "9" * 5000, "0." + "3" * 5000, "-0", "-0.0", "1E3", "123456789012345678901234567890.5"]


def to_object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}: {value}" for name, value in members) + "}"


SCALARS = st.one_of(
    st.sampled_from(
        [*NUMBERS, "null", "true", "[]", "{}", '""', '" "', '"\\u0000"', '"1_0"', '"٣"', '"NaN"', '"Infinity"', '"+5"']
    ),
    st.text(max_size=5).map(json.dumps),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(FIELDS), inner), max_size=4).map(to_object),
    ),
    max_leaves=6,
)


OBJECTS = st.lists(st.tuples(st.sampled_from(FIELDS), JSON), max_size=6).map(to_object)


def view_of(*touchpoints: TouchpointRecorded) -> dict[str, Raw]:
    book = FoldingBook(FakeFactRows(), sentiment=lambda text: "0.1234")
    for touchpoint in touchpoints:
        asyncio.run(book.apply([(ME, touchpoint)]))
    # Trait values pass through as sent, numbers included that Python's own reader refuses.
    core = book.profiles[book.owner[ME]].core
    return msgspec.json.decode(b"{%b}" % core, type=dict[str, Raw])


@given(
    name=st.sampled_from(NAMES),
    kind=st.sampled_from(["track", "identify", "group"]),
    properties=OBJECTS,
    traits=OBJECTS,
    context=OBJECTS,
)
def test_any_json_folds(name: str, kind: Any, properties: str, traits: str, context: str) -> None:
    touchpoint = make_touchpoint(1, name=name, kind=kind, group_id="g" if kind == "group" else None)
    touchpoint = replace(
        touchpoint, properties=Raw(properties.encode()), traits=Raw(traits.encode()), context=Raw(context.encode())
    )
    view = view_of(touchpoint, make_touchpoint(2))
    assert bytes(view["first_seen_at"]) == b'"2026-03-01T12:00:00.000Z"'


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("5", "5"),
        ('"5"', "5"),
        ('" 4.50 "', "4.50"),
        ("1e2", "1E+2"),
        ('"1_0"', None),
        ('"٣"', None),
        ('"NaN"', None),
        ("1e400", None),
        ("1e-400", None),
        ("1" + "0" * 12, None),
        ("null", None),
        ("[5]", None),
    ],
)
def test_a_number_is_one_however_it_is_sent(sent: str, number: str | None) -> None:
    found = read_number(Raw(sent.encode()))
    assert (None if found is None else str(found)) == number


@pytest.mark.parametrize(
    ("sent", "text"), [('"a"', "a"), ("5", "5"), ("5.0", "5"), ("1e400", None), ("true", None), ("{}", None)]
)
def test_a_text_may_be_a_number(sent: str, text: str | None) -> None:
    assert read_text(Raw(sent.encode())) == text


def ordered(number: int, order_id: str, *, at: float, step: Any = "completed") -> TouchpointRecorded:
    return make_touchpoint(number, name="Order", at=at, order=OrderStatement(step=step, order_id=order_id, amount="1"))


async def live_long(days: int) -> FoldingBook:
    book = FoldingBook(FakeFactRows())
    for day in range(days):
        at = day * 24 * 60
        batch = [ordered(4 * day, f"o{day}", at=at), ordered(4 * day + 1, f"o{day}", at=at + 1, step="refunded")]
        batch += [make_touchpoint(4 * day + 2, kind="page", channel="web", at=at)]
        batch += [make_touchpoint(4 * day + 3, name="Support Ticket Opened", at=at, properties={"ticket_id": day})]
        await book.apply([(ME, touchpoint) for touchpoint in batch])
    return book


@pytest.mark.parametrize(
    "touchpoint",
    [
        ordered(9001, "o3", at=9 * 24 * 60, step="updated"),
        ordered(9001, "new", at=-5),
        ordered(9001, "o2", at=99_999, step="refunded"),
        ordered(9001, "o3", at=99_999, step="cancelled"),
        make_touchpoint(9001, kind="page", channel="web", at=5 * 24 * 60 + 700),
        make_touchpoint(9001, name="Support Ticket Solved", properties={"ticket_id": 3}, at=99_999),
    ],
)
def test_one_more_touchpoint_reads_as_many_rows_whatever_came_before(touchpoint: TouchpointRecorded) -> None:
    async def count_reads(days: int) -> tuple[int, int]:
        book = await live_long(days)
        rows = book.rows
        assert isinstance(rows, FakeFactRows)
        rows.reads = 0
        await book.apply([(ME, touchpoint)])
        return rows.reads, len(book.states[ME]) + len(book.profiles[book.owner[ME]].totals)

    (few, small), (many, large) = asyncio.run(count_reads(12)), asyncio.run(count_reads(120))
    assert many == few <= 4
    assert large - small <= 12  # only the digits of counters grow
