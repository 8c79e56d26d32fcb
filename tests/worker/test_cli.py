import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from worker.cli import main
from worker.demo.embedded import EmbeddedBroker, free_port
from worker.errors import ExitStatus
from worker.settings import Settings, markdown_table


def mner_worker(*arguments: str, **environ: str) -> Result:
    return CliRunner(env=environ).invoke(main, arguments)


def replace_app(monkeypatch: pytest.MonkeyPatch, **contents: object) -> None:
    monkeypatch.setitem(sys.modules, "worker.app", SimpleNamespace(**contents))
    monkeypatch.setattr("worker.app", sys.modules["worker.app"], raising=False)


def test_help_lists_the_commands_without_waiting_for_a_model_library() -> None:
    program = (
        "import sys; from worker.cli import main; main(['--help'], standalone_mode=False);"
        "sys.exit(str({'torch', 'faust', 'aiokafka', 'pydantic', 'rich'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    commands = ("run", "demo", "feed", "topics", "settings", "schemas", "tail", "top", "dead")
    assert all(command in done.stdout for command in commands)


def test_output_that_goes_to_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "worker", "settings", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "python -m worker: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (ExitStatus.FAILED, said)


WRONG_USAGES = [
    ["walk"],
    ["run", "--fast"],
    ["settings", "--json", "--markdown"],
    ["demo", "--rate", "0"],
    ["topics", "--replication", "2", "--min-insync", "3"],
    ["topics", "--retention-days", "0"],
    ["feed", "--count", "0"],
    ["feed", "--posts", "/no/such/file"],
    ["tail", "--from", "yesterday"],
    ["tail", "--match", "(unclosed"],
    ["tail", "--type", "person"],
    ["tail", "--count", "0"],
    ["top", "--url", "ftp://host/metrics"],
    ["top", "--interval", "0"],
    ["dead", "list", "--reason", "boredom"],
    ["dead", "show", "17"],
    ["dead", "show", "-1:2"],
]


@pytest.mark.parametrize(
    "arguments",
    WRONG_USAGES,
)
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    assert mner_worker(*arguments).exit_code == ExitStatus.WRONG_USAGE


@pytest.mark.parametrize(
    "command", ["run", "demo", "settings", "topics", "feed", "tail", "top", "dead list", "dead show 0:1", "dead replay"]
)
def test_refused_settings_are_all_told_each_on_its_line_with_status_78(command: str) -> None:
    result = mner_worker(*command.split(), MNER_BATCH_MAX_POSTS="none", MNER_DEVISE="cpu")
    assert result.exit_code == ExitStatus.SETTINGS_REFUSED
    problems = result.stderr.splitlines()
    assert [problem.split(":")[0] for problem in problems] == ["MNER_DEVISE", "MNER_BATCH_MAX_POSTS"]
    assert result.stdout == ""


@pytest.mark.parametrize("status", list(ExitStatus))
def test_run_ends_with_the_status_of_the_worker(status: ExitStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Settings] = []
    replace_app(monkeypatch, run=lambda settings: given.append(settings) or status)
    assert mner_worker("run", MNER_GROUP="night-shift").exit_code == status
    assert [settings.group for settings in given] == ["night-shift"]


def test_settings_tell_where_each_came_from_and_mask_secrets() -> None:
    result = mner_worker("settings", "--json", MNER_REDIS_URL="redis://:hunter2@cache:6379/1", MNER_GROUP="blue")
    rows = {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["MNER_GROUP"]["value"] == "blue"
    assert rows["MNER_GROUP"]["source"] == "environment"
    assert rows["MNER_POSTS_TOPIC"]["source"] == "default"
    assert "cache:6379" in rows["MNER_REDIS_URL"]["value"]
    assert "hunter2" not in result.output


def test_the_readme_table_is_printed_whatever_the_environment() -> None:
    assert mner_worker("settings", "--markdown", MNER_GROUP="blue").stdout == markdown_table()


def test_schemas_are_one_object_on_standard_output() -> None:
    schemas = json.loads(mner_worker("schemas").stdout)
    assert schemas["post"]["properties"]["id"]["type"] == "string"
    assert {"entity_record", "mention"} <= set(schemas)


def test_schemas_are_written_to_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "schemas"
    result = mner_worker("schemas", str(folder))
    assert result.exit_code == 0
    assert result.stdout == ""
    written = {path.name: json.loads(path.read_text("utf-8")) for path in folder.iterdir()}
    assert written["post.schema.json"]["title"] == "Post"


@pytest.mark.parametrize("more", [[], ["--asyncapi"]])
def test_a_folder_that_cannot_be_made_is_one_line_and_status_1(more: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = mner_worker("schemas", *more, str(tmp_path / "file" / "schemas"))
    assert (result.exit_code, result.stdout) == (ExitStatus.FAILED, "")
    assert result.stderr.startswith("not written: ")
    assert result.stderr.count("\n") == 1


def test_topics_that_cannot_be_made_are_one_line_and_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_BROKERS", f"127.0.0.1:{free_port()}")
    result = mner_worker("topics")
    assert (result.exit_code, result.stdout) == (ExitStatus.FAILED, "")
    assert result.stderr.startswith("no topics could be made at 127.0.0.1:")
    assert result.stderr.count("\n") == 1


def test_nothing_is_sent_again_where_nobody_can_be_asked_and_nobody_agreed() -> None:
    result = mner_worker("dead", "replay")
    assert (result.exit_code, result.stdout) == (ExitStatus.WRONG_USAGE, "")
    assert "expected --yes, or --dry-run" in result.stderr


@pytest.mark.parametrize("command", ["dead list", "dead show 0:1", "dead replay --yes", "dead replay --dry-run"])
def test_dead_letters_without_a_broker_are_one_line_and_status_1(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_BROKERS", f"127.0.0.1:{free_port()}")
    result = mner_worker(*command.split())
    assert (result.exit_code, result.stdout) == (ExitStatus.FAILED, "")
    assert result.stderr.startswith("no broker at 127.0.0.1:")
    assert "Connect call failed" in result.stderr.splitlines()[0]


@pytest.mark.integration
def test_topics_makes_those_that_are_missing_and_says_of_the_others_how_they_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        monkeypatch.setenv("MNER_BROKERS", broker.bootstrap)
        first = mner_worker("topics", "--partitions", "2")
        same = mner_worker("topics", "--partitions", "2")
        other = mner_worker("topics", "--partitions", "2", "--replication", "3", "--dead-retention-days", "1")
    assert (first.exit_code, first.stderr) == (ExitStatus.DONE, "")
    made = {"posts", "posts.dead", "entities", *(f"entities.{type_}" for type_ in ("per", "loc", "org", "misc"))}
    assert set(first.stdout.split()) == made

    assert (same.exit_code, same.stdout) == (ExitStatus.DONE, "")
    assert set(same.stderr.splitlines()) == {f"{name} exists, as asked" for name in made}

    assert (other.exit_code, other.stdout) == (ExitStatus.DONE, "")
    told = dict(line.split(" exists, but left as it is: ") for line in other.stderr.splitlines())
    assert told.keys() == made
    assert told["posts"] == "replicas 1 (asked 3), min.insync.replicas 1 (asked 2)"
    assert told["posts.dead"] == (
        "replicas 1 (asked 3), retention.ms 2592000000 (asked 86400000), min.insync.replicas 1 (asked 2)"
    )
