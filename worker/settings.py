"""Every setting of the worker: name, type, default, unit and one sentence, once, in one field each.

They come from the environment and nowhere else. `Settings.load` reports all problems at once; the table in
docs/settings.md and what `mner-worker settings` prints are made from the same fields.
"""

import difflib
import importlib.util
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from worker.errors import SettingsRefused
from worker.setting_types import (
    TOPIC_MAX_CHARACTERS,
    Brokers,
    Device,
    EmptyIsNone,
    Hosts,
    Languages,
    Ports,
    RedisUrl,
    Seconds,
    Topic,
)

PREFIX = "MNER_"
MENTION_TOPIC_SUFFIXES = (".per", ".loc", ".org", ".misc")


def _setting(default: Any, unit: str, description: str, **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class Settings(BaseModel):
    """The worker's configuration. Made by `load`, from environment variables of these names in capitals after MNER_."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    brokers: Brokers = _setting("127.0.0.1:9092", "host:port, …", "Kafka brokers to ask first, separated by commas.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _setting(
        "PLAINTEXT", "", "How to talk to the brokers."
    )
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None, EmptyIsNone] = _setting(
        None, "", "How to log in, with a SASL protocol."
    )
    sasl_username: Annotated[str | None, EmptyIsNone] = _setting(None, "", "The name to log in with.")
    sasl_password: Annotated[SecretStr | None, EmptyIsNone] = _setting(None, "", "The password to log in with.")
    tls_ca_file: Annotated[Path | None, EmptyIsNone] = _setting(
        None, "path", "Certificates (PEM) that the brokers' own must be signed by; if not set, those of the system."
    )
    group: str = _setting(
        "mner", "", "Consumer group; workers of one group share the posts.", min_length=1, max_length=255
    )
    posts_topic: Topic = _setting("posts", "", "Topic that posts are read from.")
    entities_topic: Topic = _setting(
        "entities", "", "Topic of entity records; mentions go to those named after it: .per, .loc, .org, .misc."
    )
    dead_topic: Topic = _setting("posts.dead", "", "Topic of posts that could not be answered.")
    languages: Languages = _setting(
        "",
        "code, …",
        "Languages whose posts are tagged, as two-letter codes (ISO 639-1) separated by commas; empty: all. A post "
        "that names no language is always tagged.",
    )
    include_text: bool = _setting(True, "", "Whether entity records carry the post's text.")
    image_effect: bool = _setting(
        False, "", "Whether mentions say what the image did to their confidence; costs a second pass of the model."
    )

    redis_url: Annotated[RedisUrl | None, EmptyIsNone] = _setting(
        "redis://127.0.0.1:6379/0", "URL", "Redis that shares image embeddings among workers; empty: none."
    )
    cache_ttl_s: Seconds = _setting(7 * 86400.0, "s", "How long Redis keeps an embedding after its last use.")
    cache_url_ttl_s: Seconds = _setting(3600.0, "s", "How long Redis remembers which image a URL led to.")
    cache_memory_bytes: int = _setting(64 * 2**20, "bytes", "Embeddings kept in the worker's own memory.", ge=0)

    checkpoint: Annotated[Path | None, EmptyIsNone] = _setting(
        None, "path", "The tagger's checkpoint; none: the one that comes with the package."
    )
    checkpoint_watch_s: float = _setting(
        10.0,
        "s",
        "How often to look at the checkpoints. A change is seen within this time. It is taken when the next look finds "
        "it unchanged, so that no half-written one is read. 0: only on SIGHUP, which takes it at once.",
        ge=0,
        allow_inf_nan=False,
    )
    shadow_checkpoint: Annotated[Path | None, EmptyIsNone] = _setting(
        None,
        "path",
        "A second checkpoint, which tags a sample of the posts without publishing; compared in the metrics.",
    )
    shadow_share: float = _setting(
        0.1,
        "",
        "Share of the posts that the second checkpoint tags too, above 0, up to 1.",
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    device: Device = _setting("auto", "", "Where the model runs: auto, cpu, cuda or cuda:N.")
    batch_max_posts: int = _setting(64, "posts", "Most posts in one call of the model.", ge=1)
    batch_max_tokens: int = _setting(
        8192, "tokens", "Most tokens in one call of the model, padding counted: posts times the longest.", ge=1
    )
    batch_max_wait_s: float = _setting(
        0.02, "s", "Longest that a post waits for others to share its batch.", ge=0, allow_inf_nan=False
    )
    open_posts_max: int = _setting(2048, "posts", "Most posts taken and not yet answered.", ge=1)

    session_timeout_s: Seconds = _setting(45.0, "s", "Silence after which the group counts a worker as dead.")
    heartbeat_s: Seconds = _setting(3.0, "s", "Time between two heartbeats to the group.")
    rebalance_timeout_s: Seconds = _setting(60.0, "s", "Time the group gives its workers to join a rebalance.")
    drain_timeout_s: Seconds = _setting(30.0, "s", "Longest that a leaving worker finishes the posts it holds.")

    image_timeout_s: Seconds = _setting(
        5.0, "s", "Deadline of one image's download, redirects included; at most 15.", le=15
    )
    image_max_bytes: int = _setting(10 * 2**20, "bytes", "Largest image that is downloaded.", ge=1)
    image_max_pixels: int = _setting(40_000_000, "pixels", "Largest image that is decoded.", ge=1)
    image_allow_hosts: Hosts = _setting(
        "",
        "host, …",
        "Internal hosts that images may come from, as host, host:port, address or network; none by default.",
    )
    image_allow_ports: Ports = _setting("80,443", "port, …", "Ports that images may come from, separated by commas.")

    http_host: str = _setting(
        "127.0.0.1",
        "",
        "Address of /live, /ready and /metrics; 0.0.0.0 for all addresses of the machine.",
        min_length=1,
    )
    http_port: int = _setting(8080, "port", "Port of the same; 0: any free one.", ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting("INFO", "", "Least severity that is logged.")
    log_format: Literal["text", "json"] = _setting("text", "", "Log lines for people, or one JSON object each.")
    traces: bool = _setting(
        False, "", "Whether to send OpenTelemetry traces by OTLP, as OTEL_ variables have it; needs the extra traces."
    )

    @property
    def mention_topics(self) -> tuple[str, ...]:
        """The topics of mentions, one for each type."""
        return tuple(self.entities_topic + suffix for suffix in MENTION_TOPIC_SUFFIXES)

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The settings of this environment. Raises SettingsRefused with every problem there is, each in one line."""
        given = {name: environ[_variable(name)] for name in cls.model_fields if _variable(name) in environ}
        problems = list(_unknown_names(environ))
        try:
            settings, refused = cls.model_validate(given), set[str]()
        except ValidationError as error:
            problems += [_problem(detail, given) for detail in error.errors(include_url=False)]
            refused = {str(detail["loc"][0]) for detail in error.errors()}
            settings = cls.model_validate({name: value for name, value in given.items() if name not in refused})
        # A rule about several settings says nothing new while one of them is itself refused.
        problems += [sentence for names, sentence in _conflicts(settings) if refused.isdisjoint(names)]
        if problems:
            raise SettingsRefused(problems)
        return settings


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _unknown_names(environ: Mapping[str, str]) -> Iterator[str]:
    known = {name.upper(): _variable(name) for name in Settings.model_fields}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known.values():
            # without the prefix: any two names have that in common
            near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
            yield f"{name}: no such setting" + (f"; did you mean {known[near[0]]}?" if near else "")


def _problem(problem: ErrorDetails, given: Mapping[str, str]) -> str:
    name = str(problem["loc"][0])
    received = "a value not shown here" if _is_secret(name) else repr(given[name])
    message = re.sub(r"^[A-Z]\w* should (be|have)", "expected", problem["msg"])
    return f"{_variable(name)}: received {received}, {message}"


def _conflicts(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Rules about several settings, or about the world outside: the fields concerned, and what is wrong."""
    protocol = settings.security_protocol
    for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
        is_set = getattr(settings, name) is not None
        if is_set != protocol.startswith("SASL_"):
            wrong = "set, but used only" if is_set else "not set, but needed"
            yield (name, "security_protocol"), f"{_variable(name)}: {wrong} with a SASL_… MNER_SECURITY_PROTOCOL"
    if (authority := settings.tls_ca_file) is not None:
        if not protocol.endswith("SSL"):
            yield (
                ("tls_ca_file", "security_protocol"),
                "MNER_TLS_CA_FILE: set, but used only with MNER_SECURITY_PROTOCOL SSL or SASL_SSL",
            )
        try:
            ssl.create_default_context(cafile=authority)
        except (OSError, ValueError) as error:
            yield (
                ("tls_ca_file",),
                f"MNER_TLS_CA_FILE: received {str(authority)!r}, expected a file of PEM certificates: {error}",
            )
    # Not Path.exists: it raises where a folder on the way is closed to us, or a name is too long.
    for name in ("checkpoint", "shadow_checkpoint"):
        if (checkpoint := getattr(settings, name)) is not None and not os.path.exists(checkpoint):
            yield (name,), f"{_variable(name)}: received {str(checkpoint)!r}, expected a path that exists"
    if settings.heartbeat_s >= settings.session_timeout_s:
        yield (
            ("heartbeat_s", "session_timeout_s"),
            f"MNER_HEARTBEAT_S: received {settings.heartbeat_s:g}, expected less than MNER_SESSION_TIMEOUT_S, "
            f"{settings.session_timeout_s:g}; a third of it or less is usual",
        )
    for name in ("batch_max_tokens", "open_posts_max"):
        if (received := getattr(settings, name)) < settings.batch_max_posts:
            yield (
                (name, "batch_max_posts"),
                f"{_variable(name)}: received {received}, expected at least MNER_BATCH_MAX_POSTS, "
                f"{settings.batch_max_posts}",
            )
    if settings.traces and (why := _why_no_traces()):
        yield ("traces",), f"MNER_TRACES: received 'true', but {why}"
    yield from _topic_conflicts(settings)


def _why_no_traces() -> str | None:
    """What is missing for traces, and how to get it; None when nothing is."""
    try:
        missing = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is None
    except ModuleNotFoundError:
        missing = True
    return "OpenTelemetry is not installed: pip install 'mner-stream[traces]'" if missing else None


def _topic_conflicts(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    outgoing = [settings.entities_topic, *settings.mention_topics]
    topics = [settings.posts_topic, settings.dead_topic, *outgoing]
    if len(set(topics)) < len(topics):
        yield (
            ("posts_topic", "entities_topic", "dead_topic"),
            f"MNER_POSTS_TOPIC, MNER_ENTITIES_TOPIC, MNER_DEAD_TOPIC: received {', '.join(topics)}, "
            "expected each of these topics to have a name of its own",
        )
    if (longest := max(map(len, outgoing))) > TOPIC_MAX_CHARACTERS:
        yield (
            ("entities_topic",),
            f"MNER_ENTITIES_TOPIC: received a name that is {longest} characters long with .misc after it, "
            f"expected at most {TOPIC_MAX_CHARACTERS}",
        )


# Showing settings


class SettingRow(NamedTuple):
    """One setting as people read it; secrets are masked."""

    name: str
    value: str
    source: Literal["default", "environment"]
    unit: str
    description: str


def describe(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[SettingRow]:
    """Each setting's variable, effective value with secrets masked, where it came from, unit and sentence."""
    return [
        SettingRow(
            name=_variable(name),
            value=_shown(name, getattr(settings, name)),
            source="environment" if _variable(name) in environ else "default",
            unit=_unit(name),
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def markdown_table() -> str:
    """The settings with their defaults, as docs/settings.md shows them."""
    lines = ["| Variable | Default | Unit | What it is |", "|---|---|---|---|"]
    for row in describe(Settings(), {}):
        default = f"`{row.value}`" if row.value else ""
        lines.append(f"| `{row.name}` | {default} | {row.unit} | {row.description} |")
    return "\n".join(lines) + "\n"


def _unit(name: str) -> str:
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def _is_secret(name: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[name].annotation)


def _shown(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return _masked_url(value.get_secret_value()) if name.endswith("_url") else "***"
        case tuple():
            return ",".join(map(str, value))
        case bool():
            return str(value).lower()
        case float():
            return repr(value).removesuffix(".0")
        case _:
            return str(value)


def _masked_url(secret: str) -> str:
    """The URL without what may name or be its password."""
    url = urlsplit(secret)
    netloc = "***@" + url.netloc.rpartition("@")[2] if "@" in url.netloc else url.netloc
    return urlunsplit((url.scheme, netloc, url.path, "***" if url.query else "", ""))
