"""Settings come from the environment, are refused with every problem at once, and never show a secret."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.errors import SettingsRefused
from worker.settings import Settings, describe, markdown_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "settings.md"
DESIGN_NAMES = [
    "BROKERS",
    "SECURITY_PROTOCOL",
    "SASL_MECHANISM",
    "SASL_USERNAME",
    "SASL_PASSWORD",
    "TLS_CA_FILE",
    "GROUP",
    "POSTS_TOPIC",
    "ENTITIES_TOPIC",
    "DEAD_TOPIC",
    "REDIS_URL",
    "CHECKPOINT",
    "DEVICE",
    "HTTP_HOST",
    "HTTP_PORT",
    "BATCH_MAX_POSTS",
    "BATCH_MAX_TOKENS",
    "BATCH_MAX_WAIT_S",
    "SESSION_TIMEOUT_S",
    "HEARTBEAT_S",
    "REBALANCE_TIMEOUT_S",
    "IMAGE_TIMEOUT_S",
    "IMAGE_MAX_BYTES",
    "IMAGE_MAX_PIXELS",
    "IMAGE_ALLOW_HOSTS",
    "IMAGE_ALLOW_PORTS",
    "LANGUAGES",
]
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUHl376iX7hxER4DkF4B1TEn/5bh0wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIyMDIwMzU5WhgPMjEy
NjEwMjkwMjAzNTlaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAE2QxFv0Ex65JrQ9fAMqgzK+i4h8xGtz4xlqaci8QM
WnI4nIlHEgJRTOFDgRkOQPOPTfEvxGKpvOWUySfsWfRZvaNTMFEwHQYDVR0OBBYE
FKez+EiKWburdXGkztcW7W/Ua3tkMB8GA1UdIwQYMBaAFKez+EiKWburdXGkztcW
7W/Ua3tkMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgOo4YPLiE
6PlvKlqO0rpbuVo77fy7vqa4RXFenZ6kyNoCIQDejBoBq9NDG9/nkV1KDHUIpdHP
k1BHPYXrdY3urIK3Bg==
-----END CERTIFICATE-----
"""
SASL = {
    "MNER_SECURITY_PROTOCOL": "SASL_SSL",
    "MNER_SASL_MECHANISM": "SCRAM-SHA-512",
    "MNER_SASL_USERNAME": "tagger",
    "MNER_SASL_PASSWORD": "https://hunter2",
    "MNER_REDIS_URL": "rediss://worker:hunter2@cache:6380/1?password=hunter2",
}


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsRefused) as refused:
        Settings.load(environ)
    return refused.value.problems


def test_an_empty_environment_gives_the_defaults_of_a_bare_start() -> None:
    settings = Settings.load({})
    assert settings.brokers == ("127.0.0.1:9092",)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert (settings.posts_topic, settings.entities_topic, settings.dead_topic) == ("posts", "entities", "posts.dead")
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)
    assert (settings.session_timeout_s, settings.heartbeat_s, settings.rebalance_timeout_s) == (45, 3, 60)
    assert settings.image_allow_ports == (80, 443)
    assert settings.image_allow_hosts == ()
    assert settings.languages == ()


def test_every_name_people_script_against_exists() -> None:
    assert {name.lower() for name in DESIGN_NAMES} <= Settings.model_fields.keys()


def test_lists_are_separated_by_commas() -> None:
    settings = Settings.load(
        {
            "MNER_BROKERS": "kafka-1:9092, kafka-2:9092,[::1]:9092",
            "MNER_IMAGE_ALLOW_HOSTS": "Media.internal:8443,10.0.0.0/24,[::1]:80",
            "MNER_IMAGE_ALLOW_PORTS": "443,8443",
            "MNER_LANGUAGES": " en , ES,pt,en,",
        }
    )
    assert settings.brokers == ("kafka-1:9092", "kafka-2:9092", "[::1]:9092")
    assert settings.image_allow_hosts == ("media.internal:8443", "10.0.0.0/24", "[::1]:80")
    assert settings.image_allow_ports == (443, 8443)
    assert settings.languages == ("en", "es", "pt")


def test_an_empty_value_means_none_where_none_is_possible() -> None:
    settings = Settings.load({"MNER_REDIS_URL": "", "MNER_SASL_PASSWORD": "", "MNER_CHECKPOINT": ""})
    assert (settings.redis_url, settings.sasl_password, settings.checkpoint) == (None, None, None)


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load({}).http_port = 1


def test_names_of_others_in_the_environment_are_none_of_ours() -> None:
    assert Settings.load({"HTTP_PORT": "x", "mner_http_port": "x", "PATH": "/bin"}) == Settings.load({})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MNER_BROKERS", "kafka", "host:port"),
        ("MNER_BROKERS", "", "host:port"),
        ("MNER_BROKERS", "kafka:99999", "host:port"),
        ("MNER_SECURITY_PROTOCOL", "ssl", "'SSL'"),
        ("MNER_GROUP", "", "at least 1 character"),
        ("MNER_POSTS_TOPIC", "the posts", "letters, digits"),
        ("MNER_POSTS_TOPIC", "..", "letters, digits"),
        ("MNER_INCLUDE_TEXT", "perhaps", "a valid boolean"),
        ("MNER_DEVICE", "gpu", "cuda:N"),
        ("MNER_HTTP_PORT", "eighty", "a valid integer"),
        ("MNER_HTTP_PORT", "65536", "65535"),
        ("MNER_BATCH_MAX_POSTS", "0", "greater than or equal to 1"),
        ("MNER_BATCH_MAX_WAIT_S", "nan", "a finite number"),
        ("MNER_IMAGE_TIMEOUT_S", "0", "greater than 0"),
        ("MNER_IMAGE_ALLOW_PORTS", "80,0", "greater than or equal to 1"),
        ("MNER_IMAGE_ALLOW_HOSTS", "http://media.internal", "without scheme"),
        ("MNER_IMAGE_ALLOW_HOSTS", "media.internal:0", "without scheme"),
        ("MNER_IMAGE_ALLOW_HOSTS", "10.0.0.300", "without scheme"),
        ("MNER_LANGUAGES", "english", "no such code: 'english'"),
        ("MNER_LANGUAGES", "en,xx,pt-BR", "no such code: 'xx', 'pt-BR'"),
        ("MNER_LANGUAGES", "en;es", "with commas between"),
        ("MNER_LOG_LEVEL", "loud", "'INFO'"),
        ("MNER_CHECKPOINT", "/no/such/checkpoint", "a path that exists"),
    ],
)
def test_a_bad_value_is_one_problem_that_names_the_variable_what_came_and_what_was_expected(
    name: str, value: str, expected: str
) -> None:
    (problem,) = problems({name: value})
    assert problem.startswith(f"{name}: received '{value}', ")
    assert "expected" in problem
    assert expected in problem


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        {
            "MNER_HTTP_PORT": "eighty",
            "MNER_DEVICE": "gpu",
            "MNER_LANGUAGES": "en,english",
            "MNER_HEARTBEAT_S": "50",
            "MNER_SASL_USERNAME": "tagger",
            "MNER_BATCH_MAX_POST": "8",
        }
    )
    assert sorted(problem.partition(":")[0] for problem in found) == [
        "MNER_BATCH_MAX_POST",
        "MNER_DEVICE",
        "MNER_HEARTBEAT_S",
        "MNER_HTTP_PORT",
        "MNER_LANGUAGES",
        "MNER_SASL_USERNAME",
    ]


def test_an_unknown_name_is_a_problem_with_the_nearest_known_one() -> None:
    assert problems({"MNER_HTTP_POTR": "1"}) == ["MNER_HTTP_POTR: no such setting; did you mean MNER_HTTP_PORT?"]


@pytest.mark.parametrize("name", ["MNER_BOGUS", "MNER_QQQQQQQQQQQQQ", "MNER_", "MNER_VERBOSE"])
def test_of_an_unknown_name_that_is_near_no_other_it_is_only_said_that_there_is_no_such(name: str) -> None:
    assert problems({name: "1"}) == [f"{name}: no such setting"]


def test_a_share_of_nothing_is_refused_as_its_description_says() -> None:
    (problem,) = problems({"MNER_SHADOW_SHARE": "0"})
    assert "greater than 0" in problem
    assert "above 0, up to 1" in (Settings.model_fields["shadow_share"].description or "")


@pytest.mark.parametrize(
    ("environ", "concerned"),
    [
        ({"MNER_SASL_PASSWORD": "x"}, ["MNER_SASL_PASSWORD"]),
        (
            {"MNER_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
            ["MNER_SASL_MECHANISM", "MNER_SASL_USERNAME", "MNER_SASL_PASSWORD"],
        ),
        ({"MNER_SECURITY_PROTOCOL": "SSL", "MNER_TLS_CA_FILE": "/no/such/ca.pem"}, ["MNER_TLS_CA_FILE"]),
        (
            {"MNER_SECURITY_PROTOCOL": "SSL", "MNER_TLS_CA_FILE": str(ROOT / "pyproject.toml")},
            ["MNER_TLS_CA_FILE"],
        ),
        ({"MNER_HEARTBEAT_S": "45"}, ["MNER_HEARTBEAT_S"]),
        ({"MNER_BATCH_MAX_TOKENS": "63"}, ["MNER_BATCH_MAX_TOKENS"]),
        ({"MNER_OPEN_POSTS_MAX": "63"}, ["MNER_OPEN_POSTS_MAX"]),
        ({"MNER_DEAD_TOPIC": "entities.org"}, ["MNER_POSTS_TOPIC, MNER_ENTITIES_TOPIC, MNER_DEAD_TOPIC"]),
        ({"MNER_ENTITIES_TOPIC": "e" * 245}, ["MNER_ENTITIES_TOPIC"]),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ: dict[str, str], concerned: list[str]) -> None:
    assert [problem.partition(":")[0] for problem in problems(environ)] == concerned


def test_certificates_without_tls_are_refused(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY)
    assert problems({"MNER_TLS_CA_FILE": str(authority)}) == [
        "MNER_TLS_CA_FILE: set, but used only with MNER_SECURITY_PROTOCOL SSL or SASL_SSL"
    ]


def test_settings_that_agree_are_accepted(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY)
    settings = Settings.load({**SASL, "MNER_TLS_CA_FILE": str(authority), "MNER_CHECKPOINT": str(tmp_path)})
    assert settings.tls_ca_file == authority
    assert settings.sasl_password is not None
    assert settings.sasl_password.get_secret_value() == "https://hunter2"


def test_a_secret_is_never_shown() -> None:
    settings = Settings.load(SASL)
    rows = describe(settings, SASL)
    assert "hunter2" not in f"{settings} {settings!r} {rows}"
    assert {row.name: row.value for row in rows}["MNER_REDIS_URL"] == "rediss://***@cache:6380/1?***"
    assert {row.name: row.value for row in rows}["MNER_SASL_PASSWORD"] == "***"


def test_a_refused_secret_is_not_shown_either() -> None:
    (problem,) = problems({"MNER_REDIS_URL": "hunter2@cache"})
    assert "hunter2" not in problem
    assert problem.startswith("MNER_REDIS_URL: received a value not shown here, expected redis://")


@given(st.dictionaries(st.sampled_from([f"MNER_{name}" for name in DESIGN_NAMES]), st.text(), max_size=6))
def test_any_environment_is_loaded_or_refused_with_problems(environ: dict[str, str]) -> None:
    answer = settings_or_problems(environ)
    if isinstance(answer, Settings):
        assert len(describe(answer, environ)) == len(Settings.model_fields)
    else:
        assert answer
        assert all("\n" not in problem for problem in answer)


def settings_or_problems(environ: dict[str, str]) -> Settings | list[str]:
    try:
        return Settings.load(environ)
    except SettingsRefused as refused:
        return refused.problems


def test_what_is_effective_says_where_it_came_from() -> None:
    environ = {"MNER_HTTP_PORT": "8080"}
    sources = {row.name: row.source for row in describe(Settings.load(environ), environ)}
    assert sources["MNER_HTTP_PORT"] == "environment"
    assert sources["MNER_HTTP_HOST"] == "default"


def test_what_is_shown_can_be_set_again() -> None:
    environ = {
        "MNER_BROKERS": "a:1,b:2",
        "MNER_INCLUDE_TEXT": "false",
        "MNER_CACHE_TTL_S": "1234567.5",
        "MNER_LANGUAGES": "EN, es",
        "MNER_BATCH_MAX_WAIT_S": "0.0000125",
    }
    settings = Settings.load(environ)
    assert Settings.load({row.name: row.value for row in describe(settings, environ)}) == settings


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_one_sentence_and_the_unit_in_its_name(name: str) -> None:
    row = {row.name: row for row in describe(Settings.load({}), {})}[f"MNER_{name.upper()}"]
    assert row.description.endswith(".")
    units = {"s": "s", "bytes": "bytes", "pixels": "pixels", "posts": "posts", "tokens": "tokens", "port": "port"}
    if (suffix := name.rsplit("_", 1)[-1]) in units:
        assert row.unit == units[suffix]


def test_the_page_shows_the_settings_as_they_are() -> None:
    shown = re.search(r"<!-- settings -->\n(.*)<!-- /settings -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None, "docs/settings.md has no table between <!-- settings --> and <!-- /settings -->"
    is_current = shown[1] == markdown_table()  # of two tables pytest would print a long difference
    assert is_current, "docs/settings.md: put there between its marks what `mner-worker settings --markdown` prints"
