"""The handbook names commands, settings, metrics and dead-letter reasons that there are, and leaves none out."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here

from compose_file import compose, container_environ
from exposed_metrics import exposed_labels
from kubernetes_objects import MANIFESTS, Objects, build, kubectl

from worker import cli
from worker.errors import DeadReason, ExitStatus
from worker.messages.topics import worker_topics
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_its_settings_are_settings():
    named = set(re.findall(r"\bMNER_([A-Z][A-Z_]+)\b", PAGE))
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_its_metrics_and_their_label_values_are_the_workers():
    exposed = exposed_labels()
    for name, matchers in re.findall(r"\b((?:mner|process)_\w+)(?:\{([^}]*)\})?", PAGE):
        assert name in exposed or f"{name}_sum" in exposed
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
            assert value in exposed[name][label]


def test_it_names_every_value_of_the_label_language() -> None:
    [sentence] = re.findall(r"^`language` is one of .*?\.$", PAGE, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([a-z]+)`", sentence)) - {"language"}
    assert named == exposed_labels()["mner_language_posts_total"]["language"]


def options_of(words: list[str]) -> set[str]:
    """All options of the command that these words begin with; fails where there is no such command."""
    command: click.Command = cli.main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return {option for parameter in command.params for option in parameter.opts}


COMMANDS = sorted(
    set(
        re.findall(r"^mner-worker (.*?)(?:  |$)", PAGE, re.MULTILINE)
        + re.findall(r"(?:`|-- |exec worker )mner-worker (.*?)`", PAGE)
    )
)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_the_workers(line):
    if line == "…":
        return
    words = line.split()
    given = {word for word in words if word.startswith("--")}
    assert given <= options_of([word for word in words if not word.startswith("--")])


def test_there_are_commands_in_it():
    assert len(COMMANDS) > 5


def test_a_topic_put_right_by_hand_is_as_the_command_makes_it() -> None:
    settings = Settings.load({})
    [entities] = [topic for topic in worker_topics(settings) if topic.name == settings.entities_topic]
    [line] = re.findall(r"^kafka-configs .* --alter .*$", PAGE, re.MULTILINE)
    given = re.findall(r"([a-z.]+)=(\w+)", line.split("--add-config ")[1])
    assert dict(given) == entities.configs()
    assert f" --entity-name {entities.name} " in line


# In containers


@pytest.fixture(scope="module")
def production() -> Objects:
    """What `kubectl apply -k` makes of the overlay that most will start from."""
    return build(MANIFESTS / "overlays" / "production")


def kubectl_lines(text: str) -> list[str]:
    """Each command of kubectl in a text, without what surrounds it; not what only names one, as `kubectl apply`."""
    found = re.findall(r"(?:^|`|\$\(|do )(kubectl [^\s`]+ \S.*?)(?=`|\);|; done|  +#|$)", text, re.MULTILINE)
    return sorted(set(found))


README = (MANIFESTS / "README.md").read_text("utf-8")
OF_KUBERNETES = kubectl_lines(PAGE) + [line for line in kubectl_lines(README) if "kustomize" not in line]


@pytest.mark.parametrize("line", OF_KUBERNETES)
def test_its_lines_for_kubernetes_say_the_namespace_and_name_what_the_manifests_have(
    line: str, production: Objects
) -> None:
    [namespace] = production.all("Namespace")
    whose = (namespace["metadata"]["name"], "monitoring")  # the other is not ours: Prometheus' and Grafana's
    assert any(f" -n {name} " in line for name in whose) or line.startswith("kubectl apply ")
    kinds = {"deploy": "Deployment", "deployment": "Deployment", "scaledobject": "ScaledObject", "job": "Job"}
    for kind, name in re.findall(r" (deploy|deployment|scaledobject|job)[/ ]([\w-]+)(?= |$)", line):
        production.named(kinds[kind], name)
    for label, value in re.findall(r" -l (\S+)=(\S+)", line):
        assert production.deployment["spec"]["template"]["metadata"]["labels"][label] == value
    for host, port in re.findall(r" --url (\S+):(\d+)", line):
        service = production.named("Service", host)["spec"]
        assert service["clusterIP"] == "None", "else it stands for one worker at a time"
        assert [offered["port"] for offered in service["ports"]] == [int(port)]


def test_the_rules_go_to_the_operator_as_they_are() -> None:
    [loop] = re.findall(r"^for rules in .*?^done(?= \| kubectl -n mner apply -f -$)", README, re.MULTILINE | re.DOTALL)
    made = subprocess.run(["sh", "-c", loop], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    objects = [one for one in yaml.safe_load_all(made) if one]
    assert [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects] == [
        ("monitoring.coreos.com/v1", "PrometheusRule", name) for name in ("mner-recording", "mner-alerts")
    ]
    files = [ROOT / "deploy" / "prometheus" / "rules" / name for name in ("recording.yml", "alerts.yml")]
    assert [one["spec"] for one in objects] == [yaml.safe_load(file.read_text("utf-8")) for file in files]


@pytest.mark.parametrize(
    "line", [line for line in OF_KUBERNETES if not re.search(r"…|FOLDER|CA\.pem|overlays/mine|\\$", line)]
)
def test_kubectl_understands_its_lines_and_only_misses_a_cluster(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "kubectl"
    environ = {"HOME": "/nonexistent", "KUBECONFIG": "/dev/null"}
    nobody = "http://127.0.0.1:1"
    done = subprocess.run(
        [kubectl(), "--server", nobody, *arguments],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "connection refused" in done.stderr or "was refused" in done.stderr, done.stderr


OF_COMPOSE = sorted(set(re.findall(r"(?:`|\$\()docker compose (.*?)[`)]", PAGE)))


def test_no_line_of_it_has_docker_send_a_signal_which_would_leave_the_container_down_after_dockers_next_start() -> None:
    assert [line for line in OF_COMPOSE if line.startswith("kill ")] == []
    assert compose()["services"]["worker"]["restart"] == "unless-stopped"


def test_process_1_of_a_worker_in_compose_passes_signals_on() -> None:
    assert compose()["services"]["worker"]["init"] is True


@pytest.mark.parametrize("line", OF_COMPOSE)
def test_its_lines_for_compose_name_services_and_the_workers_port(line: str) -> None:
    services = compose()["services"]
    for service in re.findall(r"^exec (?:-T |--index 1 )?(\S+)", line):
        assert service in services
    for host, port in re.findall(r"--url (\S+):(\d+)", line):
        assert container_environ(services[host])["MNER_HTTP_PORT"] == port
        assert "hostname" not in services[host]


def test_it_says_how_to_see_all_workers_at_once() -> None:
    lines = [line for line in [*OF_COMPOSE, *OF_KUBERNETES] if "mner-worker top" in line]
    assert len(lines) == 2
    assert all(" --url " in line for line in lines)


def test_it_tells_of_every_reason_and_of_every_exit_status_of_a_worker():
    for reason in DeadReason:
        assert f"`{reason.value}`" in PAGE
    for status in (
        ExitStatus.DONE,
        ExitStatus.STOPPED_UNACKNOWLEDGED,
        ExitStatus.DRAIN_OVERDUE,
        ExitStatus.SETTINGS_REFUSED,
    ):
        assert re.search(rf"^\| {int(status)} \|", PAGE, re.MULTILINE)
