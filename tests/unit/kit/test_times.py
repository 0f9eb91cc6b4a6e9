from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kit.times import format_duration, format_utc, from_micros, parse_duration, parse_utc, to_micros

instants = st.datetimes(timezones=st.just(UTC))
durations = st.timedeltas(min_value=timedelta(0))


@given(instants)
def test_micros_keep_every_instant_exactly(instant: datetime) -> None:
    assert from_micros(to_micros(instant)) == instant


@given(instants)
def test_what_we_print_we_read_to_the_millisecond(instant: datetime) -> None:
    assert parse_utc(format_utc(instant)) == instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def test_milliseconds_are_cut_not_rounded() -> None:
    assert format_utc(datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)) == "2026-01-02T03:04:05.999Z"


def test_an_instant_of_another_zone_is_printed_in_utc() -> None:
    assert format_utc(parse_utc("2026-01-02T03:04:05+02:00")) == "2026-01-02T01:04:05.000Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02t03:04:05z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T03:04", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        ("2026-01-02T03:04:05,5Z", datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05-0800", datetime(2026, 1, 2, 11, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+05", datetime(2026, 1, 1, 22, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05 +0000", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60.250Z", datetime(2017, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("  2026-01-02T03:04:05Z ", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_the_forms_clients_send_are_read(text: str, expected: datetime) -> None:
    assert parse_utc(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-30",
        "2026-01-02T25:00:00Z",
        "1767322800",
        "2026-W01-1",
        "20260102",
        "2026-W01-1T03:04:05.000Z",
        "9999-12-31T23:59:60Z",
        "0001-01-01T00:00:00+01:00",
        "2026-01-02T03:04:05Zjunk",
        "٢٠٢٦-01-02",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_utc(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P30D", timedelta(days=30)),
        ("P1W", timedelta(days=7)),
        ("PT2H30M", timedelta(hours=2, minutes=30)),
        ("P1DT1S", timedelta(days=1, seconds=1)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("PT0S", timedelta(0)),
    ],
)
def test_durations_are_read(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["P", "PT", "P1M", "P1Y", "30D", "P-1D", "PT1", "P1DT", "p1d", "P99999999999D", "P1D "])
def test_what_has_no_fixed_length_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(durations)
def test_a_duration_is_read_back_as_printed(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration
