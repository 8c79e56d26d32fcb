"""Says in one line what is wrong with the bytes of a post: the field, what was received, what was expected.

A line never holds a post's text, the address of its image or image bytes: it goes into headers and logs.
"""

from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

SHORT_CHARACTERS = 64
_UNSHOWN_FIELDS = ("text", "image_url", "image_data")
_TOO_LARGE_TYPES = ("string_too_long", "too_large")


class PostRefused(ValueError):
    """The bytes are no post; `kind` says in which way and `detail` in a sentence."""

    def __init__(self, kind: Literal["not_utf8", "not_json", "schema", "too_large"], detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def oversized(value: bytes, max_bytes: int) -> PostRefused:
    """The refusal of a value that is not even parsed."""
    return PostRefused("too_large", f"value: received {len(value):,} bytes, expected at most {max_bytes:,}")


def unreadable(value: bytes, error: ValueError) -> PostRefused:
    """The refusal of a value in which the JSON parser found this error."""
    try:
        value.decode()
    except UnicodeDecodeError as undecodable:
        at = undecodable.start
        return PostRefused("not_utf8", f"value: received byte 0x{value[at]:02x} at {at}, expected UTF-8")
    if value.startswith(b"\xef\xbb\xbf"):
        return PostRefused("not_json", "value: received a byte order mark, expected JSON without one")
    return PostRefused("not_json", f"value: expected JSON, received {len(value):,} bytes with an error: {error}")


def invalid(error: ValidationError) -> PostRefused:
    """The refusal of a value that is JSON but no post: `too_large` if nothing but its size is wrong, else `schema`."""
    problems = error.errors(include_url=False)
    too_large = all(problem["type"] in _TOO_LARGE_TYPES for problem in problems)
    return PostRefused("too_large" if too_large else "schema", "; ".join(map(_sentence, problems)))


def _sentence(problem: ErrorDetails) -> str:
    if not problem["loc"]:
        is_rule_of_post = problem["type"] in ("image", "text")
        return problem["msg"] if is_rule_of_post else f"value: received {_kind(problem['input'])}, expected an object"
    field = str(problem["loc"][0])
    if problem["type"] == "missing":
        return f"{field}: received nothing, expected a string"
    received = _kind(problem["input"]) if field in _UNSHOWN_FIELDS else shown(problem["input"])
    return f"{field}: received {received}, {_expected(problem)}"


def _expected(problem: ErrorDetails) -> str:
    match problem["type"]:
        case "string_type":
            return "expected a string"
        case "string_too_short":
            return f"expected at least {problem['ctx']['min_length']:,} character"
        case "string_too_long":
            return f"expected at most {problem['ctx']['max_length']:,} characters"
        case _:
            return problem["msg"]


def shown(received: Any) -> str:
    """The value itself where it is a short scalar, printable on one line, else its beginning and its kind."""
    match received:
        case str() | bytes():
            text = repr(received)  # unlike JSON it escapes all that does not print
        case list() | dict():
            return _kind(received)
        case _:
            text = to_json(received).decode()
    return text if len(text) <= SHORT_CHARACTERS else f"{text[: SHORT_CHARACTERS - 1]}… ({_kind(received)})"


def _kind(received: Any) -> str:
    match received:
        case None | bool():
            return to_json(received).decode()
        case int() | float():
            return "a number"
        case str():
            return f"a string of {len(received):,} characters" if received else "an empty string"
        case bytes():
            return f"{len(received):,} bytes"
        case list():
            return f"an array of {len(received):,}"
        case _:
            return "an object"
