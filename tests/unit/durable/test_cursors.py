import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.durable.cursors import InvalidCursor, Page, cut_page, decode_cursor, encode_cursor
from libs.kit.times import parse_utc

ID = UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
values = st.lists(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)


@given(values)
def test_a_cursor_gives_back_what_went_in(given_values: list[object]) -> None:
    assert decode_cursor(encode_cursor(given_values)) == tuple(given_values)  # type: ignore[arg-type]


def test_a_cursor_is_safe_in_a_url() -> None:
    assert set(encode_cursor(["ü>?/ +" * 9])) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_types_are_given_back_where_they_are_named() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert decode_cursor(encode_cursor((at, ID, 7)), parse_utc, UUID, int) == (at, ID, 7)


@given(st.text(max_size=60))
def test_no_text_whatever_breaks_the_decoder(text: str) -> None:
    with suppress(InvalidCursor):
        assert isinstance(decode_cursor(text, UUID)[0], UUID)


def test_the_answer_points_at_the_parameter() -> None:
    assert (InvalidCursor().status, InvalidCursor().errors[0].pointer) == (422, "#/query/cursor")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "é",
        "!!!!",
        "A",
        base64.urlsafe_b64encode(b"not json").decode(),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        base64.urlsafe_b64encode(b"[[1]]").decode(),
        encode_cursor(["not-a-uuid"]),
        encode_cursor([str(ID), "one too many"]),
        encode_cursor([None]),
        encode_cursor([7]),
        encode_cursor(["x" * 3000]),
    ],
)
def test_a_cursor_of_somebody_else_is_invalid(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, UUID)


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 1 << 200, 1e30, str(1 << 63)])
def test_an_integer_beyond_64_bits_sorts_nothing(number: float | str) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([number]).encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, int)


@pytest.mark.parametrize("number", [(1 << 63) - 1, -(1 << 63)])
def test_the_largest_integers_sort(number: int) -> None:
    assert decode_cursor(encode_cursor([number]), int) == decode_cursor(encode_cursor([number])) == (number,)


def test_a_page_that_is_not_full_is_the_last() -> None:
    assert cut_page([1, 2], 3, lambda row: [row]) == Page([1, 2], None)
    assert cut_page([1, 2], 2, lambda row: [row]) == Page([1, 2], None)
    assert cut_page(list[int](), 2, lambda row: [row]) == Page([], None)


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(1, 7))
def test_paging_shows_every_row_once_and_misses_none_while_rows_are_added(first: set[int], added: set[int], limit: int) -> None:
    rows, seen, cursor, late = set(first), list[int](), None, sorted(added - first)
    while True:
        after = decode_cursor(cursor, int)[0] if cursor else -1
        page = cut_page(sorted(row for row in rows if row > after)[: limit + 1], limit, lambda row: [row])
        seen.extend(page.items)
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        if late:
            rows.add(late.pop())
    assert seen == sorted(set(seen))
    assert first <= set(seen)
