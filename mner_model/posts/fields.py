"""Field types of the messages that JSON has no type for: timestamps, languages, addresses, bytes.

Each checks what came in, says what it expected, and writes itself back in one canonical form.
"""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

IMAGE_MAX_BYTES = 10 * 1024 * 1024
IMAGE_MAX_CHARACTERS = (IMAGE_MAX_BYTES + 2) // 3 * 4
URL_MAX_CHARACTERS = 2048

_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:[0-5]\d)", re.ASCII)
_URL = re.compile(r"https?://[^\s/?#\\\x00-\x1f\x7f]+[^\s\x00-\x1f\x7f]*", re.IGNORECASE)
# RFC 5646, section 2.1: langtag, privateuse and the irregular grandfathered tags; case does not matter.
_LANGUAGE = re.compile(
    r"""
    (?: (?: [a-z]{2,3} (?:-[a-z]{3}){0,3} | [a-z]{4} | [a-z]{5,8} )    # language, extended language
        (?: -[a-z]{4} )?                                               # script
        (?: -(?: [a-z]{2} | [0-9]{3} ) )?                              # region
        (?: -(?: [a-z0-9]{5,8} | [0-9][a-z0-9]{3} ) )*                 # variants
        (?: -[0-9a-wy-z] (?: -[a-z0-9]{2,8} )+ )*                      # extensions
        (?: -x (?: -[a-z0-9]{1,8} )+ )?                                # private use
    | x (?: -[a-z0-9]{1,8} )+
    | en-gb-oed | i-(?: ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu )
    | sgn-(?: be-fr|be-nl|ch-de ) )
    """,
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-22T01:02:03.004Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def from_milliseconds(timestamp_ms: int) -> datetime:
    """The moment of a broker's timestamp, milliseconds since 1970 in UTC.

    Producers set it as they like: what lies before 1970 or after the year 9999 is taken for the nearest moment within.
    """
    within = max(0, min(timestamp_ms, _LATEST_MS))
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=within)


def _timestamp(received: Any) -> datetime:
    try:
        if isinstance(received, str) and _RFC_3339.fullmatch(received):
            return _to_utc_milliseconds(_parse(received.upper()))
        if isinstance(received, datetime) and received.tzinfo is not None:
            return _to_utc_milliseconds(received)
    except (ValueError, OverflowError):  # a day that the calendar lacks, or a year outside 1 to 9999 once in UTC
        pass
    raise PydanticCustomError("timestamp", "expected an RFC 3339 time with offset, such as 2026-11-22T01:02:03Z")


def _parse(text: str) -> datetime:
    # RFC 3339 has leap seconds, `datetime` has not: one is read as the second that follows it.
    if text[17:19] == "60":
        return datetime.fromisoformat(text[:17] + "59" + text[19:]) + timedelta(seconds=1)
    return datetime.fromisoformat(text)


def _to_utc_milliseconds(moment: datetime) -> datetime:
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    finer = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - finer) if finer else moment


def _language(received: str) -> str:
    if _LANGUAGE.fullmatch(received) is None:
        raise PydanticCustomError("language", "expected a BCP 47 language tag, such as en or pt-BR")
    return received


def _url(received: str) -> str:
    if len(received) > URL_MAX_CHARACTERS:
        raise PydanticCustomError("too_large", f"expected at most {URL_MAX_CHARACTERS:,} characters")
    if _URL.fullmatch(received) is None:
        raise PydanticCustomError("url", "expected an http or https URL with a host and no white space")
    return received


def _image(received: Any) -> bytes:
    if isinstance(received, bytes):
        decoded = received
    elif not isinstance(received, str):
        raise PydanticCustomError("base64", "expected a string of base64")
    elif received[:5].lower() == "data:":
        raise PydanticCustomError("base64", "expected bare base64, without a data: prefix")
    elif len(received) > IMAGE_MAX_CHARACTERS:
        raise PydanticCustomError("too_large", f"expected at most {IMAGE_MAX_BYTES:,} bytes once decoded")
    else:
        try:
            decoded = binascii.a2b_base64(received, strict_mode=True)
        except ValueError:
            raise PydanticCustomError(
                "base64", "expected base64 of the standard alphabet (A-Z a-z 0-9 + /), padded, without white space"
            ) from None
    if not decoded:
        raise PydanticCustomError("base64", "expected at least one byte")
    if len(decoded) > IMAGE_MAX_BYTES:
        raise PydanticCustomError("too_large", f"expected at most {IMAGE_MAX_BYTES:,} bytes once decoded")
    return decoded


def _to_base64(image: bytes) -> str:
    return base64.b64encode(image).decode("ascii")


Timestamp = Annotated[
    datetime,
    PlainValidator(_timestamp),
    PlainSerializer(format_timestamp, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware datetime in UTC, whole milliseconds; finer ones are cut off."""

Language = Annotated[str, AfterValidator(_language)]
"""A well-formed BCP 47 tag (RFC 5646), as received."""

# `not` in place of one whole pattern: `$` lets Python's validators pass a line feed at the end, and a pattern of groups
# of four characters has Node's run out of stack in a large image.
_URL_SCHEMA = {
    "type": "string",
    "format": "uri",
    "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#\\]",
    "not": {"pattern": r"[\s\x00-\x1f\x7f\x85]"},
    "maxLength": URL_MAX_CHARACTERS,
}
_IMAGE_SCHEMA = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^[^=]+={0,2}$",
    "not": {"pattern": "[^A-Za-z0-9+/=]"},
    "minLength": 4,
    "maxLength": IMAGE_MAX_CHARACTERS,
}

ImageUrl = Annotated[str, AfterValidator(_url), WithJsonSchema(_URL_SCHEMA)]
"""An http or https URL, as received; whether it may be fetched is the image fetcher's to judge."""

ImageBytes = Annotated[
    bytes,
    PlainValidator(_image),
    PlainSerializer(_to_base64, return_type=str, when_used="json"),
    WithJsonSchema(_IMAGE_SCHEMA),
]
"""An image's bytes, on the wire as padded standard base64 without white space."""
