from hypothesis import given
from hypothesis import strategies as st

from libs.durable.outbox import decode_records, encode_records, highest_versions
from libs.events.envelope import Outgoing

headers = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=3).map(tuple)
records = st.builds(
    Outgoing,
    topic=st.text(max_size=8),
    key=st.binary(max_size=8),
    value=st.none() | st.binary(),
    headers=headers,
    timestamp_ms=st.none() | st.integers(0, 2**50),
)


@given(st.lists(records, max_size=5))
def test_what_is_stored_is_what_was_staged(given_records: list[Outgoing]) -> None:
    assert decode_records(encode_records(given_records)) == given_records


def make_versioned(key: bytes, version: int | None) -> Outgoing:
    return Outgoing("t", key, b"", () if version is None else (("rapport_version", b"%d" % version),))


def test_the_highest_version_of_each_key_counts() -> None:
    given_records = [
        make_versioned(b"a", 2),
        make_versioned(b"b", 1),
        make_versioned(b"a", 10),
        make_versioned(b"a", 9),
        make_versioned(b"c", None),
    ]
    assert highest_versions(given_records) == {b"a": 10, b"b": 1}


def test_repetition_is_stored_once() -> None:
    many = [Outgoing("profile-changes", b"%d" % n, b'{"traits": {"plan": "gold"}}' * 40, (), n) for n in range(500)]
    assert len(encode_records(many)) < sum(len(one.value or b"") for one in many) / 10
