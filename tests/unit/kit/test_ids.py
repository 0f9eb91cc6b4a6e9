from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kit.clock import FakeClock
from libs.kit.ids import build_id_factory, compute_uuid7

instants = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
entropy = st.binary(min_size=10, max_size=10)


@given(instants, entropy)
def test_an_id_is_a_uuid_of_version_7_and_holds_the_millisecond(now: datetime, random: bytes) -> None:
    made = compute_uuid7(now, random)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_the_example_of_the_rfc() -> None:
    # RFC 9562, appendix A.6: rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F, in our layout 74 bits and 6 unused ones.
    random = ((0xCC3 << 62 | 0x18C4DC0C0C07398F) << 6).to_bytes(10, "big")
    assert str(compute_uuid7(datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC), random)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(instants, entropy, entropy)
def test_ids_sort_by_time(now: datetime, first: bytes, second: bytes) -> None:
    assert compute_uuid7(now, first) < compute_uuid7(now + timedelta(milliseconds=1), second) or now.year == 9999


@given(instants, entropy, entropy)
def test_other_entropy_makes_another_id(now: datetime, first: bytes, second: bytes) -> None:
    same = int.from_bytes(first, "big") >> 6 == int.from_bytes(second, "big") >> 6
    assert (compute_uuid7(now, first) == compute_uuid7(now, second)) is same


def test_entropy_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        compute_uuid7(datetime(2026, 1, 1, tzinfo=UTC), b"short")


def test_a_factory_gives_a_new_id_each_time() -> None:
    new_id = build_id_factory(FakeClock())
    assert len({new_id() for _ in range(1000)}) == 1000
