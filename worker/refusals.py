"""Says in one line what is wrong with the bytes of a post: the field, what was received, what was expected.

A line never holds a post's text, the address of its image or image bytes: it goes into headers and logs.
"""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

from worker.errors import DeadReason, Rejected

SHORT_CHARACTERS = 64
_UNSHOWN_FIELDS = ("text", "image_url", "image_data")
_TOO_LARGE_TYPES = ("string_too_long", "too_large")


def unreadable(value: bytes, error: ValueError) -> Rejected:
    """The refusal of a value in which the JSON parser found this error."""
    try:
        value.decode()
    except UnicodeDecodeError as undecodable:
        at = undecodable.start
        return Rejected(DeadReason.NOT_UTF8, f"value: received byte 0x{value[at]:02x} at {at}, expected UTF-8")
    if value.startswith(b"\xef\xbb\xbf"):
        return Rejected(DeadReason.NOT_JSON, "value: received a byte order mark, expected JSON without one")
    return Rejected(DeadReason.NOT_JSON, f"value: expected JSON, received {len(value):,} bytes with an error: {error}")


def invalid(error: ValidationError) -> Rejected:
    """The refusal of a value that is JSON but no post: `too_large` if nothing but its size is wrong, else `schema`."""
    problems = error.errors(include_url=False)
    too_large = all(problem["type"] in _TOO_LARGE_TYPES for problem in problems)
    return Rejected(DeadReason.TOO_LARGE if too_large else DeadReason.SCHEMA, "; ".join(map(_sentence, problems)))


def mismatched(key: bytes, post_id: str) -> Rejected:
    """The refusal of a post whose key names another post."""
    expected = _shown(post_id.encode())
    return Rejected(DeadReason.KEY_MISMATCH, f"key: received {_shown(key)}, expected the post's id, {expected}")


def _sentence(problem: ErrorDetails) -> str:
    if not problem["loc"]:
        is_rule_of_post = problem["type"] in ("image", "text")
        return problem["msg"] if is_rule_of_post else f"value: received {_kind(problem['input'])}, expected an object"
    field = str(problem["loc"][0])
    if problem["type"] == "missing":
        return f"{field}: received nothing, expected a string"
    received = _kind(problem["input"]) if field in _UNSHOWN_FIELDS else _shown(problem["input"])
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


def _shown(received: Any) -> str:
    """The value itself where it is a short scalar, printable on one line, else its beginning and its kind."""
    match received:
        case str() | bytes():
            shown = repr(received)  # unlike JSON it escapes all that does not print
        case list() | dict():
            return _kind(received)
        case _:
            shown = to_json(received).decode()
    return shown if len(shown) <= SHORT_CHARACTERS else f"{shown[: SHORT_CHARACTERS - 1]}… ({_kind(received)})"


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
