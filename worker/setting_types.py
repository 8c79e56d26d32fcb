"""The types of the settings: addresses, topic names, devices, lists, and None where a string is empty."""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from mner_model.text.languages import ISO_639_1
from worker.allowed_hosts import is_entry

TOPIC_MAX_CHARACTERS = 249

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_TOPIC = re.compile(r"[A-Za-z0-9._-]+")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def _split(received: Any) -> Any:
    if isinstance(received, str):
        return tuple(part.strip() for part in received.split(",") if part.strip())
    return received


def _none_if_empty(received: Any) -> Any:
    return None if received == "" else received


def _check(kind: str, expected: str, passes: bool) -> None:
    if not passes:
        raise PydanticCustomError(kind, "expected " + expected)


def _addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    matches = [_ADDRESS.fullmatch(address) for address in addresses]
    valid = all(match is not None and 0 < int(match[2]) < 65536 for match in matches)
    _check("addresses", "host:port, several with commas between", bool(matches) and valid)
    return addresses


def _topic(name: str) -> str:
    valid = _TOPIC.fullmatch(name) is not None and name not in (".", "..") and len(name) <= TOPIC_MAX_CHARACTERS
    _check("topic", f"1 to {TOPIC_MAX_CHARACTERS} letters, digits, dots, underscores and hyphens", valid)
    return name


def _device(name: str) -> str:
    _check("device", "auto, cpu, cuda or cuda:N", _DEVICE.fullmatch(name) is not None)
    return name


def _hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    lowered = tuple(name.lower() for name in names)
    _check(
        "hosts", "hosts, addresses or networks, with :port or without, but without scheme", all(map(is_entry, lowered))
    )
    return lowered


def _languages(codes: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [code for code in codes if code.lower() not in ISO_639_1]
    expected = "two-letter codes of ISO 639-1 such as en or pt, with commas between; no such code: "
    _check("languages", expected + ", ".join(map(repr, unknown)), not unknown)
    return tuple(dict.fromkeys(code.lower() for code in codes))


def _redis_url(secret: SecretStr) -> SecretStr:
    try:
        url = urlsplit(secret.get_secret_value())
        valid = bool(url.path) if url.scheme == "unix" else url.scheme in ("redis", "rediss") and url.port != 0
    except ValueError:
        valid = False
    _check("redis_url", "redis://[user:password@]host:port/database, rediss://… or unix://path", valid)
    return secret


Brokers = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_addresses)]
Topic = Annotated[str, AfterValidator(_topic)]
Device = Annotated[str, AfterValidator(_device)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_hosts)]
Languages = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_languages)]
Port = Annotated[int, Field(ge=1, le=65535)]
Ports = Annotated[tuple[Port, ...], BeforeValidator(_split)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
EmptyIsNone = BeforeValidator(_none_if_empty)
