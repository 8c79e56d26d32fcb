from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.watch.reading_start import parse_start

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@pytest.mark.parametrize("word", ["beginning", "now"])
def test_the_ends_of_the_topic_have_names(word: str) -> None:
    assert parse_start(word, NOW) == word


@given(st.integers(0, 10_000), st.sampled_from("smhd"))
def test_a_span_is_counted_back_from_now(count: int, unit: str) -> None:
    assert parse_start(f"{count}{unit}", NOW) == NOW - timedelta(seconds=count * SECONDS[unit])


def test_a_span_longer_than_time_itself_is_before_every_record() -> None:
    assert parse_start("9" * 30 + "d", NOW) == parse_start("2000000d", NOW)
    assert parse_start("2000000d", NOW) < datetime(1, 1, 2, tzinfo=UTC)  # type: ignore[operator]


@pytest.mark.parametrize(
    "text", ["2026-11-22T01:02:03Z", "2026-11-22t01:02:03z", "2026-11-22T02:02:03+01:00", "2026-11-22T01:02:03.000Z"]
)
def test_a_moment_is_rfc_3339_with_its_offset(text: str) -> None:
    assert parse_start(text, NOW) == datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-11-22T01:02:03", "2026-11-22 01:02:03", "2026-11-22t01:02:03", "2026-11-22 01:02:03Z"]
)
def test_a_time_without_a_zone_is_in_utc(text: str) -> None:
    assert parse_start(text, NOW) == datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
    assert parse_start("2026-11-22T01:02", NOW) == datetime(2026, 11, 22, 1, 2, tzinfo=UTC)


@given(
    st.datetimes(max_value=datetime(2026, 11, 22), timezones=st.just(UTC)),
    st.sampled_from("T "),
    st.sampled_from(["", "Z"]),
)
def test_a_time_as_it_is_written_anywhere_is_read_as_that_time(moment: datetime, between: str, zone: str) -> None:
    written = moment.replace(tzinfo=None).isoformat(between) + zone
    assert parse_start(written, NOW) == moment


def test_a_day_begins_at_midnight_utc() -> None:
    assert parse_start("2026-11-21", NOW) == datetime(2026, 11, 21, tzinfo=UTC)
    with pytest.raises(ValueError, match="expected a moment that has passed"):
        parse_start("2026-11-23", NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Now",
        "15",
        "-5m",
        "1.5h",
        "١٥m",
        "2026-11-22T",
        "01:02",
        "20261121T010203",
        "2026-11-22_01:02",
        "2026-13-01T00:00:00Z",
        "20261122",
    ],
)
def test_anything_else_is_refused_with_what_was_received_and_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^received .* expected beginning, now") as refused:
        parse_start(text, NOW)
    assert repr(text) in str(refused.value)


def test_a_moment_to_come_is_refused_for_nothing_is_there_yet() -> None:
    with pytest.raises(ValueError, match="expected a moment that has passed"):
        parse_start("2026-11-22T12:00:01Z", NOW)
