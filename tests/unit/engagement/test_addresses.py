"""A message goes to exactly one address, or to nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.engagement.domain.addresses import is_sender, to_mailbox


@pytest.mark.parametrize("address", ["ada@example.com", "o'x+tag.b@d-1.example", "A_b@x.y.z"])
def test_an_ordinary_address_is_given_as_it_is(address: str) -> None:
    assert to_mailbox(address) == address


def test_an_international_domain_is_given_in_ascii() -> None:
    assert to_mailbox("ada@m\u00fcnchen.example") == "ada@xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a@b.c,d@e.f",
        "a@b.c d@e.f",
        "a@exam ple.com",
        "<a@b.c>",
        "Ada <a@b.c>",
        "a@b\x07.c",
        "a@b.c\r\nBcc: z@z.z",
        "a@b@c.d",
        ".a@b.c",
        "a..b@c.d",
        "a@-b.c",
        "a@" + "b" * 300 + ".c",
        "a" * 65 + "@b.c",
        "\u00e4@b.c",
        "a@\ud800.c",
        "a@b..c",
    ],
)
def test_what_is_no_address_or_more_than_one_is_nobody(text: str) -> None:
    assert to_mailbox(text) is None


@given(st.text(max_size=40).map(lambda text: f"a{text}@example.com"))
def test_whatever_is_taken_can_break_no_header_and_no_command(text: str) -> None:
    mailbox = to_mailbox(text)
    assert mailbox is None or (mailbox.isascii() and mailbox.isprintable() and not set(mailbox) & set(' ,;<>"()[]:\\'))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop@example.com", True),
        ("Shop <shop@example.com>", True),
        ("not an address", False),
        ("a@b.c\r\nBcc: z@z.z", False),
        ("Shop <a@b.c, d@e.f>", False),
        ("", False),
    ],
)
def test_a_sender_is_one_address_with_or_without_a_name(text: str, expected: bool) -> None:
    assert is_sender(text) is expected
