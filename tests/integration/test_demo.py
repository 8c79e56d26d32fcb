"""The demo as people run it, in a process of its own; but for the last test with a worker that needs no model."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

STAND_IN = Path(__file__).with_name("stand_in_worker.py")
DEMO = (
    "import sys; from pathlib import Path; from worker.demo.session import DemoOptions, run_demo\n"
    "posts = Path(sys.argv[2]) if sys.argv[2] else None\n"
    "options = DemoOptions(posts, once='--once' in sys.argv, patience_s=float(sys.argv[3]), logs=Path(sys.argv[4]),\n"
    "    worker_command=(sys.executable, sys.argv[1]))\n"
    "sys.exit(run_demo(options))"
)
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MNER_")}


def command(logs: Path, posts: Path | str = "", patience_s: float = 30.0, once: bool = True) -> list[str]:
    options = [str(STAND_IN), str(posts), str(patience_s), str(logs), *(["--once"] if once else [])]
    return [sys.executable, "-c", DEMO, *options]


def demo(logs: Path, *lines: bytes, patience_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    """A whole run with these posts, or with the sample where there are none."""
    posts = logs / "posts.jsonl"
    posts.write_bytes(b"\n".join(lines))
    arguments = command(logs, posts if lines else "", patience_s)
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, env=ENVIRON, check=False)


def answers(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def row(summary: str, name: str) -> str:
    """One row of the closing summary, after its name."""
    return next(line.removeprefix(name).strip() for line in summary.splitlines() if line.startswith(name))


def test_once_answers_the_whole_sample_with_json_lines_and_ends_with_status_0(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    kinds = Counter("dead" if "dead" in answer else "record" for answer in answers(done.stdout))
    assert kinds == {"record": 42, "dead": 2}
    assert row(done.stderr, "posts in") == "44"
    assert row(done.stderr, "records out") == "42"
    assert row(done.stderr, "dead letters").startswith("2  ")
    assert "not answered" not in done.stderr


def test_malformed_lines_come_back_as_dead_letters_and_repeated_ids_count_one_by_one(tmp_path: Path) -> None:
    rome, garbage, not_text = b'{"id": "a", "text": "Rome"}', b"not JSON", b"\xff\xfe"
    done = demo(tmp_path, rome, garbage, b"", rome, not_text, b'{"id": 7, "text": "x"}')
    assert done.returncode == 0, done.stderr
    dead = [answer["dead"] for answer in answers(done.stdout) if "dead" in answer]
    assert sorted(letter["reason"] for letter in dead) == ["not_json", "not_utf8", "schema"]
    assert [letter["value"] for letter in dead if letter["reason"] == "not_json"] == ["not JSON"]
    assert [answer["post_id"] for answer in answers(done.stdout) if "post_id" in answer] == ["a", "a"]
    assert row(done.stderr, "posts in") == "5"


def test_a_post_that_nobody_answers_is_named_and_ends_it_with_status_1(tmp_path: Path) -> None:
    lost = b'{"id": "lost-one", "text": "keep quiet"}'
    done = demo(tmp_path, b'{"id": "a", "text": "Rome"}', lost, patience_s=3.0)
    assert done.returncode == 1
    assert "not answered: lost-one" in done.stderr.splitlines()
    assert [answer["post_id"] for answer in answers(done.stdout)] == ["a"]


def test_a_worker_that_falls_over_is_one_clear_message_with_the_end_of_its_log(tmp_path: Path) -> None:
    done = demo(tmp_path, b'{"id": "a", "text": "fall over"}')
    assert done.returncode == 1
    assert "the worker ended with status 70" in done.stderr
    assert "the model is broken" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_the_worker_would_refuse_are_told_before_anything_starts(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "worker", "demo", "--logs", str(tmp_path / "logs")]
    environ = {**ENVIRON, "MNER_DEVISE": "cpu"}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert done.returncode == 78
    assert done.stderr == "MNER_DEVISE: no such setting; did you mean MNER_DEVICE?\n"


@pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_loop_with_a_summary_and_leaves_no_process(
    signal_number: signal.Signals, tmp_path: Path
) -> None:
    arguments = command(tmp_path, once=False)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON) as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.send_signal(signal_number)
        _, summary = running.communicate(timeout=60)
    assert running.returncode == 0, summary
    assert int(row(summary, "posts in")) >= 1
    assert len(children) == 3, "broker, Redis and worker"
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
    after = said.partition("in another terminal: ")[2].splitlines()[1:]
    assert [line for line in after if line] == []


def test_the_demo_of_the_project_with_its_own_worker_and_model(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "worker", "demo", "--once", "--logs", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, env=ENVIRON, check=False)
    assert done.returncode == 0, done.stderr
    records = {answer["post_id"]: answer for answer in answers(done.stdout) if "post_id" in answer}
    dead = [answer["dead"]["reason"] for answer in answers(done.stdout) if "dead" in answer]
    assert sorted(dead) == ["not_json", "schema"]
    assert len(records) == 42

    mentions = [(record["text"], entity) for record in records.values() for entity in record["entities"]]
    assert len(mentions) >= 24
    assert {entity["type"] for _, entity in mentions} >= {"PER", "LOC", "ORG"}
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for text, entity in mentions)

    images = Counter(record["image"]["status"] for record in records.values())
    assert set(images) == {"absent", "used", "undecodable", "failed", "blocked"}
    pictures = {record["image"]["digest"] for record in records.values() if record["image"]["status"] == "used"}
    assert int(row(done.stderr, "images encoded").split()[0]) == len(pictures) < images["used"]
    assert int(row(done.stderr, "cache hits").split()[0]) > 0
