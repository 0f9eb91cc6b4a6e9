"""What the debugger shows to those who may not see whom it is about."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.masking import mask, mask_body

SECRET = "ada-lovelace"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(SECRET) | st.just(f"{SECRET}@x.example"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", f"{SECRET}@x.example"]), inner, max_size=2),
)


@given(values)
def test_no_text_survives_not_even_as_a_members_name(value: object) -> None:
    assert SECRET not in repr(mask(value))


def test_names_and_shapes_stay() -> None:
    given_value = {"email": "a@b.c", "age": 7, "vip": True, "none": None, "tags": ["x"]}
    assert mask(given_value) == {"email": "<text of 5>", "age": "<number>", "vip": True, "none": None, "tags": ["<text of 1>"]}


def test_a_refused_body_says_what_happened_and_not_to_whom() -> None:
    body = b'{"batch":[{"type":"track","event":"E","userId":"u1","properties":{"event":"x"}}],"sentAt":"2026"}'
    call = {"type": "track", "event": "E", "userId": "<text of 2>", "properties": {"event": "<text of 1>"}}
    assert mask_body(body) == {"batch": [call], "sentAt": "2026"}


def test_what_is_no_json_is_shown_by_its_size() -> None:
    assert mask_body(b"\x00ada") == "<4 bytes>"
    assert mask_body(b"[1]") == ["<number>"]
