"""Every service, port, variable, volume and health command of docker-compose.yml is there in the code that it names."""

import re
import shutil
import subprocess
import sys
from typing import Any

import click
import pytest
import yaml
from compose_file import (
    COMPOSE_FILE,
    ROOT,
    VERSION,
    compose,
    container_environ,
    interpolated_variables,
    stages,
)

from worker.app import HARD_EXIT_MARGIN_S
from worker.cli import main
from worker.settings import Settings, describe

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = {"topics", "worker", "worker-gpu", "feeder"}
WORKERS = {"worker", "worker-gpu"}
BUILDERS = [name for name, service in SERVICES.items() if "build" in service]
# set by the file itself: a container's own addresses, and who has which device
FIXED_SETTINGS = {"MNER_BROKERS", "MNER_REDIS_URL", "MNER_HTTP_HOST", "MNER_HTTP_PORT", "MNER_DEVICE"}

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", sorted(OURS))


def seconds(duration: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


# What starts


def test_without_a_profile_all_starts_but_the_feeder_and_the_workers_on_a_gpu() -> None:
    assert {name: service.get("profiles", []) for name, service in SERVICES.items()} == {
        **{name: [] for name in ("kafka", "redis", "topics", "worker", "prometheus", "grafana")},
        "worker-gpu": ["gpu"],
        "feeder": ["demo"],
    }
    assert compose(STACK_WORKERS="0")["services"]["worker"]["deploy"]["replicas"] == "0"


@each_service
def test_images_are_pinned_and_ours_to_the_projects_version(name: str) -> None:
    tag = re.sub("@sha256:[0-9a-f]{64}$", "", SERVICES[name]["image"]).partition(":")[2]
    expected = re.escape(VERSION) + "(-cuda)?" if name in OURS else r"v?\d+\.\d+\.\d+(-bookworm)?"
    assert re.fullmatch(expected, tag), SERVICES[name]["image"]


@pytest.mark.parametrize("name", BUILDERS)
def test_what_is_built_is_a_target_of_the_dockerfile_with_its_arguments(name: str) -> None:
    build = SERVICES[name]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    target = build["target"]
    assert target == ("cuda" if name == "worker-gpu" else "cpu")
    assert SERVICES[name]["image"].endswith("-cuda") == (target == "cuda")
    for argument, default in build["args"].items():
        assert f"ARG {argument}={default}\n" in stages()[f"dependencies-{target}"]


def test_one_service_builds_each_tag_where_two_would_be_in_each_others_way() -> None:
    built = [SERVICES[name]["image"] for name in BUILDERS]
    assert len(set(built)) == len(built), "Compose builds them side by side, and the later one finds its tag taken"
    assert set(built) == {SERVICES[name]["image"] for name in OURS}


@each_of_ours
def test_whoever_names_a_tag_brings_the_service_that_builds_it(name: str) -> None:
    [builder] = [builder for builder in BUILDERS if SERVICES[builder]["image"] == SERVICES[name]["image"]]
    brought = {name}
    while needed := {other for each in brought for other in SERVICES[each].get("depends_on", {})} - brought:
        brought |= needed
    assert builder in brought
    assert builder == name or not SERVICES[builder].get("profiles"), "it is not there unless its profile is"


@each_of_ours
def test_no_registry_is_asked_for_an_image_of_ours(name: str) -> None:
    assert SERVICES[name]["pull_policy"] == "never"


@each_service
def test_each_waits_for_what_can_come_to_pass(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        needed_service = SERVICES[needed]
        assert not needed_service.get("profiles"), f"{needed} is not there unless its profile is"
        if how["condition"] == "service_healthy":
            assert "test" in needed_service["healthcheck"]
        else:
            assert (how["condition"], needed_service["restart"]) == ("service_completed_successfully", "no")


@pytest.mark.parametrize("name", ["topics", "feeder"])
def test_commands_of_ours_are_ones_that_mner_worker_has(name: str) -> None:
    command, *arguments = SERVICES[name]["command"]
    assert main.commands[command].make_context(command, list(arguments), parent=click.Context(main))


def test_workers_run_what_the_image_runs_by_itself() -> None:
    assert not any(key in SERVICES[name] for name in WORKERS for key in ("command", "entrypoint"))
    assert 'ENTRYPOINT ["mner-worker"]\nCMD ["run"]\n' in stages()["runtime"]
    assert "run" in main.commands


# Settings


@each_of_ours
def test_settings_that_containers_get_are_known_and_accepted(name: str) -> None:
    settings = Settings.load(container_environ(SERVICES[name]))
    assert settings.brokers == ("kafka:9092",)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://redis:6379/0"
    assert (settings.http_host, settings.http_port) == ("0.0.0.0", 8080)
    assert settings.device == {"worker": "cpu", "worker-gpu": "cuda"}.get(name, "auto")


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_every_setting_can_be_set_from_outside_but_those_that_the_file_decides(name: str) -> None:
    wanted = {row.name: f"value of {row.name}" for row in describe(Settings()) if row.name not in FIXED_SETTINGS}
    given = container_environ(compose(**wanted)["services"][name], **wanted)
    assert {setting: given.get(setting) for setting in wanted} == wanted


def test_the_hosts_own_address_of_kafka_does_not_lead_containers_astray() -> None:
    outside = {"MNER_BROKERS": "127.0.0.1:29092", "MNER_HTTP_PORT": "9999"}
    given = container_environ(compose(**outside)["services"]["worker"], **outside)
    assert (given["MNER_BROKERS"], given["MNER_HTTP_PORT"]) == ("kafka:9092", "8080")


def example_variables() -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z]\w+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))


def test_the_example_names_every_variable_with_its_default_and_no_other() -> None:
    example = example_variables()
    defaults = {row.name: row.value for row in describe(Settings(), {}) if row.name not in FIXED_SETTINGS}
    passed_on = {
        name: defaults.get(name, "") for name, given in SERVICES["worker"]["environment"].items() if given is None
    }
    interpolated = {name: default for name, (default,) in interpolated_variables().items()}
    assert example == passed_on | interpolated


def test_the_example_changes_nothing_by_being_copied() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    assert all(not line or line.startswith("#") for line in lines)


def test_the_example_changes_nothing_by_being_uncommented() -> None:
    example = example_variables()
    assert compose(**example) == compose()
    for name in OURS:
        given = container_environ(compose(**example)["services"][name], **example)
        assert Settings.load(given) == Settings.load(container_environ(SERVICES[name]))


# Who can reach it


def test_nothing_listens_beyond_loopback_unless_a_variable_says_so() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "kafka": ["127.0.0.1:29092:29092"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert not any("network_mode" in service for service in SERVICES.values())
    opened = compose(STACK_BIND="10.1.2.3", STACK_GRAFANA_PORT="80")["services"]
    assert opened["kafka"]["ports"] == ["10.1.2.3:29092:29092"]
    assert opened["grafana"]["ports"] == ["10.1.2.3:80:3000"]


def test_workers_can_be_many() -> None:
    assert not any(key in SERVICES[name] for name in WORKERS for key in ("container_name", "hostname", "ports"))


def test_kafka_tells_subscribers_outside_the_port_that_is_published() -> None:
    kafka = compose(STACK_KAFKA_HOST="kafka.example.org", STACK_KAFKA_PORT="9192")["services"]["kafka"]
    assert kafka["ports"] == ["127.0.0.1:9192:29092"]
    assert "OUTSIDE://kafka.example.org:9192" in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert "OUTSIDE://:29092" in kafka["environment"]["KAFKA_LISTENERS"].split(",")


def test_the_workers_may_fetch_what_the_feeder_serves() -> None:
    options = dict(option.removeprefix("--").split("=") for option in SERVICES["feeder"]["command"][1:])
    host = options["pictures-host"]
    assert host in SERVICES["feeder"]["networks"]["default"]["aliases"]
    assert host.endswith(".internal"), "no network outside has a host of that name"
    for name in WORKERS:
        settings = Settings.load(container_environ(SERVICES[name]))
        assert settings.image_allow_hosts == (f"{host}:{options['pictures-port']}",)


# What it may do


@each_service
def test_no_service_has_rights_that_it_does_not_need_or_fills_memory_and_disk(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "userns_mode", "devices"} & service.keys()
    assert re.fullmatch(r"\d+[mg]", service["deploy"]["resources"]["limits"]["memory"])
    assert service["restart"] == ("no" if name == "topics" else "unless-stopped")
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "kafka"])
def test_roots_are_read_only_but_kafkas_which_writes_its_configuration_there(name: str) -> None:
    assert SERVICES[name]["read_only"] is True


@each_of_ours
def test_ours_run_as_the_images_user_with_memory_for_temporary_files(name: str) -> None:
    user = SERVICES[name]["user"]
    assert f"USER {user}\n" in stages()["runtime"]
    assert [entry.partition(":")[0] for entry in SERVICES[name]["tmpfs"]] == ["/tmp"]
    assert SERVICES[name]["init"] is True


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_has_the_time_to_drain(name: str) -> None:
    needed_s = Settings().drain_timeout_s + HARD_EXIT_MARGIN_S
    assert seconds(SERVICES[name]["stop_grace_period"]) > needed_s, "else it is killed as its own hard exit comes"
    assert compose(STACK_STOP_GRACE="5m")["services"][name]["stop_grace_period"] == "5m"


def test_a_gpu_is_asked_for_by_those_who_use_it() -> None:
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "1", "capabilities": ["gpu"]}
    assert all(
        "reservations" not in service["deploy"]["resources"]
        for name, service in SERVICES.items()
        if name != "worker-gpu"
    )


# Volumes and mounts


def test_volumes_are_declared_used_and_there_for_all_that_keeps_something() -> None:
    used = {
        name: volume.split(":")[0] for name, service in SERVICES.items() for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }  # fmt: skip
    assert set(compose()["volumes"]) == set(used.values())
    assert {name: used[name] for name in ("kafka", "redis", "prometheus", "grafana")} == {
        name: name for name in ("kafka", "redis", "prometheus", "grafana")
    }
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] == SERVICES["kafka"]["volumes"][0].split(":")[1]


# By another reader of compose files


@pytest.mark.skipif(shutil.which("podman") is None, reason="podman-compose asks podman for its version")
def test_podman_compose_understands_the_file_as_these_tests_do() -> None:
    pytest.importorskip("podman_compose")
    command = [
        sys.executable,
        "-m",
        "podman_compose",
        "--profile",
        "gpu",
        "--profile",
        "demo",
        "-f",
        COMPOSE_FILE,
        "config",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    theirs = yaml.safe_load(done.stdout)["services"]
    assert theirs.keys() == SERVICES.keys()
    for name, service in SERVICES.items():
        for key in ("image", "pull_policy", "ports", "read_only", "cap_drop", "profiles"):
            assert theirs[name].get(key) == service.get(key), (name, key)
