"""Files that name customers, however the bytes come."""

from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmentation.domain.ref_files import RefFile
from services.segmentation.errors import ListFileTooLarge
from tests.builders.changes import KEY

SOMEBODY = UUID("0b0c4c9e-3d55-8f6e-9a53-0d9f6f8d2f11")
ADA, U1 = KEY.fragment_id("email", "ada@example.com"), KEY.fragment_id("user_id", "u1")
FILE = (
    f'\ufeffref,note\r\nemail:Ada@Example.com,first\r\n\r\nnobody\n user_id:u1 \n"{SOMEBODY}",x\nemail:\n,y\nuser_id:u1'.encode()
)


def read(*chunks: bytes, most_refs: int = 1_000, most_bytes: int = 2_000_000) -> RefFile:
    file = RefFile(KEY.fragment_id, most_refs=most_refs, most_bytes=most_bytes)
    for chunk in chunks:
        file.feed(chunk)
    file.finish()
    return file


@given(st.lists(st.integers(0, len(FILE)), max_size=6))
def test_a_file_is_read_alike_wherever_it_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(FILE)]
    file = read(*(FILE[start:end] for start, end in pairwise(ends)))
    assert list(file.rows()) == [(ADA, 2), (U1, 5), (SOMEBODY, 6), (U1, 9)]
    assert file.unreadable_lines == [
        (4, "a profile is named by its id or as kind:value"),
        (7, "this value of email identifies nobody"),
        (8, "the first column is empty"),
    ]


def test_a_line_that_is_too_long_or_no_text_is_refused_alone() -> None:
    file = read(b"user_id:" + b"x" * 1_000_000, b"y" * 9_000, b"\nuser_id:u1\n\xff\n")
    assert [line for _, line in file.rows()] == [2]
    assert file.unreadable_lines == [(1, "the line is too long"), (3, "the line is no CSV in UTF-8")]


def test_only_the_first_mistakes_are_told_and_all_are_counted() -> None:
    file = read(b"nobody\n" * 500)
    assert (len(file), file.unreadable, len(file.unreadable_lines)) == (0, 500, 100)


def test_a_file_has_bounds() -> None:
    refs = [f"{uuid4()}\n".encode() for _ in range(3)]
    assert len(read(*refs, most_refs=3, most_bytes=3 * 37)) == 3
    with pytest.raises(ListFileTooLarge):
        read(*refs, most_refs=2)
    with pytest.raises(ListFileTooLarge):
        read(*refs, most_bytes=3 * 37 - 1)
