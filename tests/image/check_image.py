"""The image as it is deployed: read-only, as uid 10001, without capabilities, against a Kafka and a Redis outside.

In order: what is in it, then one life of a worker from its topics to its drain. `make test-image` runs it.
"""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from lab import ApacheKafka
from podman import DOCKERFILE, IMAGE, Podman

from worker.demo.embedded import EmbeddedRedis, free_port
from worker.errors import ExitStatus

READY_TIMEOUT_S = 180.0
DRAIN_TIMEOUT_S = 90
# as docker-compose.yml runs it; the sandbox of a test machine may allow no more files and processes
HARDENED = [
    *("--network", "host", "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:size=64m,mode=1777"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "2g"),
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
]

LOOK_AROUND = """
import importlib.metadata, importlib.util, json, os, pathlib, shutil, sys, worker, mner_model

def writes(folder):
    try:
        (pathlib.Path(folder) / "x").touch()
    except OSError:
        return False
    return True

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
packages = pathlib.Path(worker.__file__).parents[1]
print(json.dumps({
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": int(status["CapEff"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]),
    "writable": [f for f in ("/", "/etc", "/opt/mner", "/tmp", "/var/tmp", str(packages), "/root") if writes(f)],
    "compilers": [n for n in "cc c++ gcc g++ clang ld as make cmake nvcc rustc cargo".split() if shutil.which(n)],
    "installers": [n for n in ("pip", "ensurepip") if importlib.util.find_spec(n)],
    "caches": [f for f in ("/root/.cache", "/tmp/.cache") if os.path.exists(f)],
    "apt_lists": os.listdir("/var/lib/apt/lists"),
    "checkpoint": sorted(p.name for p in (pathlib.Path(mner_model.__file__).parent / "default_checkpoint").iterdir()),
    "compiled": (pathlib.Path(worker.__file__).parent / "__pycache__").is_dir(),
    "versions": sorted(f"{found.name}=={found.version}" for found in importlib.metadata.distributions()),
    "told": sorted(pathlib.Path(sys.prefix, "dependencies.txt").read_text().split()),
    "strays": [n for n in ("tests", "docs", "scripts", "benchmarks") if (packages / n).exists()],
}))
"""


@pytest.fixture(scope="session")
def inside(podman: Podman) -> dict[str, object]:
    """What a program finds in a container."""
    seen = podman("run", "--rm", *HARDENED, "--entrypoint", "python", IMAGE, "-c", LOOK_AROUND)
    result: dict[str, object] = json.loads(seen)
    return result


def test_it_runs_as_nobody_in_particular_and_may_do_nothing(inside: dict[str, object]) -> None:
    assert inside["ids"] == [10001, 10001, [10001]]
    assert (inside["capabilities"], inside["no_new_privileges"]) == (0, 1)
    assert inside["writable"] == ["/tmp"]


def test_it_has_what_it_needs_and_nothing_that_it_was_built_with(inside: dict[str, object]) -> None:
    assert inside["checkpoint"] == ["config.json", "vocabulary.txt", "weights.safetensors"]
    assert inside["compiled"], "a read-only root can keep no compiled code"
    for name in ("compilers", "installers", "caches", "apt_lists", "strays"):
        assert inside[name] == [], name


def test_it_tells_which_versions_were_installed_into_it(inside: dict[str, list[str]]) -> None:
    def names(lines: list[str]) -> dict[str, str]:
        pairs = (line.split("==") for line in lines)
        return {re.sub("[-_.]+", "-", name).lower(): version for name, version in pairs}

    told, there = names(inside["told"]), names(inside["versions"])
    assert "torch" in told
    assert there.items() - told.items() == {("mner-stream", version("mner-stream"))}
    assert not told.keys() - there.keys()


def test_it_says_what_it_is_and_how_to_run_it(podman: Podman) -> None:
    (image,) = json.loads(podman("image", "inspect", IMAGE))
    config = image["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["mner-worker"], ["run"])
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert (labels["version"], labels["licenses"]) == (version("mner-stream"), "Apache-2.0")


def test_our_own_part_of_it_is_small_and_lies_on_top(podman: Podman) -> None:
    history = json.loads(podman("history", "--no-trunc", "--format", "json", IMAGE))
    ours, *below = (step["size"] for step in history if step["size"])
    assert 40e6 < ours < 130e6, "code, checkpoint and word lists"
    assert len(below) == 3, "Debian, its Python, the dependencies"


def test_settings_that_are_refused_are_told_with_status_78(podman: Podman) -> None:
    done = podman.run("run", "--rm", *HARDENED, "--env", "MNER_DEVISE=cpu", IMAGE)
    assert done.returncode == ExitStatus.SETTINGS_REFUSED
    assert "did you mean MNER_DEVICE?" in done.stderr


# One life of a worker


@pytest.fixture(scope="session")
def topics(podman: Podman, kafka: ApacheKafka) -> list[str]:
    """The topics that the image's own command made."""
    brokers = ("--env", f"MNER_BROKERS={kafka.bootstrap}")
    command = ("run", "--rm", *HARDENED, *brokers, IMAGE, "topics", "--partitions", "3")
    made = podman(*command).split()
    assert podman(*command) == "", "they are there now"
    return made


@pytest.fixture(scope="session")
def ports() -> dict[str, int]:
    """Of the worker's HTTP server and of the feeder's pictures."""
    return {"http": free_port(), "pictures": free_port()}


@pytest.fixture(scope="session")
def worker(
    podman: Podman, kafka: ApacheKafka, redis_server: EmbeddedRedis, topics: list[str], ports: dict[str, int]
) -> Iterator[str]:
    """The id of a container with a worker that has its partitions."""
    environ = {
        "MNER_BROKERS": kafka.bootstrap,
        "MNER_REDIS_URL": redis_server.url,
        "MNER_HTTP_HOST": "127.0.0.1",
        "MNER_HTTP_PORT": ports["http"],
        "MNER_DEVICE": "cpu",
        "MNER_IMAGE_ALLOW_HOSTS": f"127.0.0.1:{ports['pictures']}",
        "OMP_NUM_THREADS": "1",
    }
    options = [option for name, value in environ.items() for option in ("--env", f"{name}={value}")]
    container = podman("run", "--detach", *HARDENED, *options, IMAGE)
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while status_of(f"http://127.0.0.1:{ports['http']}/ready") != 200:
            state = podman("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", container)
            assert state.startswith("running"), f"{state}\n{podman.run('logs', container).stderr}"
            assert time.monotonic() < deadline, podman.run("logs", container).stderr
            time.sleep(0.5)
        yield container
        print(podman.run("logs", container).stderr)
    finally:
        podman.run("rm", "--force", "--time", "1", container)


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_images_topics_command_makes_the_topics(topics: list[str]) -> None:
    mentions = {f"entities.{type_}" for type_ in ("per", "loc", "org", "misc")}
    assert set(topics) == {"posts", "posts.dead", "entities", *mentions}


def test_the_dockerfiles_health_command_tells_a_live_worker_from_none(podman: Podman, worker: str) -> None:
    # podman makes OCI images, which have no place for it
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    command = json.loads(check)
    assert podman("exec", worker, *command) == ""
    elsewhere = podman.run("exec", "--env", f"MNER_HTTP_PORT={free_port()}", worker, *command)
    assert elsewhere.returncode == 1
    assert "refused" in elsewhere.stdout


async def test_posts_of_the_images_feeder_come_back_as_entity_records(
    podman: Podman, worker: str, kafka: ApacheKafka, ports: dict[str, int]
) -> None:
    brokers = ("--env", f"MNER_BROKERS={kafka.bootstrap}")
    feed = ("feed", "--count", "44", "--rate", "20", "--pictures-port", str(ports["pictures"]))
    feeder = podman("run", "--detach", *HARDENED, *brokers, IMAGE, *feed)
    async with AIOKafkaConsumer(
        "entities", "posts.dead", bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    ) as answers:
        async with asyncio.timeout(120):
            messages = [await answers.getone() for _ in range(44)]
    assert podman("wait", feeder) == "0", podman.run("logs", feeder).stderr
    podman("rm", feeder)

    records = [json.loads(message.value) for message in messages if message.topic == "entities"]
    assert (len(records), len(messages) - len(records)) == (42, 2)
    mentions = [(record["text"], entity) for record in records for entity in record["entities"]]
    assert len(mentions) > 20
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for text, entity in mentions)
    images = Counter(record["image"]["status"] for record in records)
    # the pictures are gone when the feeder is; what was fetched before is enough to know that they are reached
    assert images["used"] >= 10, images


def test_the_worker_answers_for_its_life_readiness_and_figures(worker: str, ports: dict[str, int]) -> None:
    url = f"http://127.0.0.1:{ports['http']}"
    assert [status_of(f"{url}/{path}") for path in ("live", "ready", "metrics")] == [200, 200, 200]
    with urllib.request.urlopen(f"{url}/metrics") as page:
        figures = page.read().decode()
    assert 'mner_posts_total{outcome="tagged"} 42.0' in figures
    assert "mner_redis_up 1.0" in figures
    assert 'device="cpu"' in figures


async def test_sigterm_drains_commits_everything_and_ends_with_status_0(
    podman: Podman, worker: str, kafka: ApacheKafka
) -> None:
    await asyncio.to_thread(podman, "stop", "--time", str(DRAIN_TIMEOUT_S), worker, timeout_s=DRAIN_TIMEOUT_S + 30)
    assert podman("inspect", "--format", "{{.State.ExitCode}}", worker) == "0"
    assert "drained, leaving" in podman.run("logs", worker).stderr
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id="mner", enable_auto_commit=False)
    await consumer.start()
    partitions = [TopicPartition("posts", number) for number in range(3)]
    committed = {partition: await consumer.committed(partition) for partition in partitions}
    ends = await consumer.end_offsets(partitions)
    await consumer.stop()
    assert {partition: offset or 0 for partition, offset in committed.items()} == ends
