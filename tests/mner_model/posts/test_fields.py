"""Timestamps, languages, addresses, image bytes: what is accepted, what is refused, and the one form they leave in."""

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mner_model.posts.fields import (
    IMAGE_MAX_BYTES,
    ImageBytes,
    ImageUrl,
    Language,
    Timestamp,
    format_timestamp,
    from_milliseconds,
)

TIMESTAMP = TypeAdapter[datetime](Timestamp)
LANGUAGE = TypeAdapter[str](Language)
URL = TypeAdapter[str](ImageUrl)
IMAGE = TypeAdapter[bytes](ImageBytes)


def written(received: str) -> str:
    return format_timestamp(TIMESTAMP.validate_python(received))


@pytest.mark.parametrize(
    ("received", "canonical"),
    [
        ("2026-11-22T01:02:03Z", "2026-11-22T01:02:03.000Z"),
        ("2026-11-22t01:02:03z", "2026-11-22T01:02:03.000Z"),
        ("2026-11-22T01:02:03.4Z", "2026-11-22T01:02:03.400Z"),
        ("2026-11-22T01:02:03.123999999999+05:30", "2026-11-21T19:32:03.123Z"),
        ("2026-11-22T01:02:03-00:00", "2026-11-22T01:02:03.000Z"),
        ("0001-01-01T00:00:00-23:59", "0001-01-01T23:59:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2016-12-31T18:59:60.5-05:00", "2017-01-01T00:00:00.500Z"),
    ],
)
def test_rfc_3339_is_read_and_written_in_utc_with_milliseconds(received: str, canonical: str) -> None:
    assert written(received) == canonical


@pytest.mark.parametrize(
    "received",
    [
        "",
        "yesterday",
        "2026-11-22",
        "2026-11-22T01:02:03",
        "2026-11-22 01:02:03Z",
        "2026-11-22T01:02Z",
        "20261122T010203Z",
        "2026-W47-7T01:02:03Z",
        "2026-02-30T01:02:03Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T01:02:61Z",
        "2026-11-22T01:02:03,5Z",
        "2026-11-22T01:02:03+25:00",
        "2026-11-22T01:02:03+01:60",
        "2026-11-22T01:02:03-00:99",
        "2026-11-22T01:02:03Z\n",
        "٢٠٢٦-11-22T01:02:03Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:60Z",
        1763773323,
        None,
        datetime(2026, 11, 22),
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(received: object) -> None:
    with pytest.raises(ValidationError, match="RFC 3339"):
        TIMESTAMP.validate_python(received)


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=45))), min_value=datetime(2, 1, 1)))
def test_a_timestamp_is_the_same_moment_to_the_millisecond(moment: datetime) -> None:
    parsed = TIMESTAMP.validate_python(moment.isoformat())
    assert timedelta(0) <= moment - parsed < timedelta(milliseconds=1)
    assert TIMESTAMP.validate_python(format_timestamp(parsed)) == parsed


@given(st.integers(0, 4_102_444_800_000))
def test_a_brokers_milliseconds_are_kept_exactly(timestamp_ms: int) -> None:
    moment = from_milliseconds(timestamp_ms)
    assert moment.tzinfo is UTC
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == timestamp_ms


@pytest.mark.parametrize(
    "tag",
    [
        "en",
        "de-AT",
        "pt-BR",
        "EN-us",
        "es-419",
        "root",
        "zh-Hant-TW",
        "zh-cmn-Hans-CN",
        "sl-rozaj-biske-1994",
        "de-CH-1901",
        "de-a-value",
        "en-US-u-islamcal",
        "az-Arab-x-AZE-derbend",
        "qaa-Qaaa-QM-x-southern",
        "x-whatever",
        "i-klingon",
        "en-GB-oed",
        "sgn-BE-FR",
    ],
)
def test_a_bcp_47_tag_is_kept_as_it_came(tag: str) -> None:
    assert LANGUAGE.validate_python(tag) == tag


@pytest.mark.parametrize(
    "tag", ["", "e", "english language", "en_US", "en-", "-en", "de-419-DE", "a-DE", "en-a", "en\n", "日本語", "en-x"]
)
def test_what_is_no_bcp_47_tag_is_refused(tag: str) -> None:
    with pytest.raises(ValidationError, match="BCP 47"):
        LANGUAGE.validate_python(tag)


@pytest.mark.parametrize(
    "url", ["http://a", "HTTPS://example.org/a?b#c", "http://[::1]:80/", "https://пример.рф/картина.png"]
)
def test_an_http_url_is_kept_as_it_came(url: str) -> None:
    assert URL.validate_python(url) == url


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "//a/b", "http://", "http:///a", "http://?a", "http://a b", "http://a/\n", "javascript:1"]
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="http or https URL"):
        URL.validate_python(url)


def test_an_url_is_at_most_2048_characters() -> None:
    longest = "http://a/".ljust(2048, "a")
    assert URL.validate_python(longest) == longest
    with pytest.raises(ValidationError, match="at most 2,048 characters"):
        URL.validate_python(longest + "a")


@given(st.binary(min_size=1))
def test_image_bytes_survive_the_wire(image: bytes) -> None:
    assert IMAGE.validate_json(IMAGE.dump_json(image)) == image


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ("data:image/png;base64,AAAA", "without a data: prefix"),
        ("AAAA\nAAAA", "without white space"),
        ("AAA", "padded"),
        ("AAA=A", "padded"),
        ("AA-_", "standard alphabet"),
        ("ÄÄÄÄ", "standard alphabet"),
        ("", "at least one byte"),
        (b"", "at least one byte"),
        (7, "a string of base64"),
    ],
)
def test_what_is_no_strict_base64_is_refused_with_what_was_expected(received: object, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        IMAGE.validate_python(received)


@pytest.mark.parametrize("size", [IMAGE_MAX_BYTES, IMAGE_MAX_BYTES - 1])
def test_the_largest_image_is_accepted(size: int) -> None:
    assert len(IMAGE.validate_python(base64.b64encode(bytes(size)).decode())) == size


def test_a_larger_image_is_refused() -> None:
    for received in (bytes(IMAGE_MAX_BYTES + 1), base64.b64encode(bytes(IMAGE_MAX_BYTES + 1)).decode()):
        with pytest.raises(ValidationError, match="at most 10,485,760 bytes once decoded"):
            IMAGE.validate_python(received)


@pytest.mark.parametrize(("timestamp_ms", "year"), [(-1, 1970), (-(10**15), 1970), (2**63 - 1, 9999)])
def test_a_brokers_timestamp_beyond_the_calendar_is_the_nearest_moment_within(timestamp_ms: int, year: int) -> None:
    assert from_milliseconds(timestamp_ms).year == year
