"""docker-compose.yml's own services, run by podman-compose on a network of their own: two workers and the feeder.

Images of others cannot be had where no registry is, so Kafka runs on this machine, at the network's gateway, and there
is no Redis. Beside what the image needs, this needs podman's name server (in Debian
golang-github-containernetworking-plugin-dnsname, dnsmasq-base), iptables and catatonit.
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from aiokafka import AIOKafkaConsumer
from lab import ApacheKafka, until
from podman import IMAGE, ROOT, Podman

from worker.demo.embedded import free_port

DRAIN_TIMEOUT_S = 90
READY_TIMEOUT_S = 300.0
WORKERS = 2
OURS = ("topics", "worker", "feeder")

LOOK_FOR_WORKERS = """
import json, socket, urllib.request
addresses = sorted({found[4][0] for found in socket.getaddrinfo("worker", 8080)})
pages = [urllib.request.urlopen(f"http://{address}:8080/metrics").read().decode() for address in addresses]
print(json.dumps([[line for line in page.splitlines() if line.startswith("mner_posts_total")] for page in pages]))
"""


class KafkaAtTheGateway(ApacheKafka):
    """Apache Kafka with one listener for this machine and one for the containers' network."""

    def __init__(self, directory: Path, gateway: str) -> None:
        super().__init__(directory)
        self.gateway = f"{gateway}:{free_port()}"

    def _command(self) -> Sequence[str]:
        host, _, port = self.gateway.partition(":")
        listeners = {"PLAINTEXT": f"127.0.0.1:{self.port}", "CONTROLLER": f"127.0.0.1:{self.port + 1}"}
        return (
            *super()._command(),
            # the gateway's address is there only when the first container is
            f"listeners=GATEWAY://0.0.0.0:{port}," + ",".join(f"{name}://{at}" for name, at in listeners.items()),
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port},GATEWAY://{host}:{port}",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,GATEWAY:PLAINTEXT,CONTROLLER:PLAINTEXT",
        )


class Project:
    """podman-compose, told to use our podman and to wait for none of the others' images."""

    def __init__(self, podman: Podman, kafka: KafkaAtTheGateway, name: str, folder: Path) -> None:
        self.podman, self.kafka, self.name = podman, kafka, name
        program = folder / "podman"
        program.write_text(f'#!/bin/sh\nexec {" ".join(podman.command)} "$@"\n')
        program.chmod(0o755)
        limits = {"ulimits": {limit: {"soft": 1024, "hard": 1024} for limit in ("nofile", "nproc")}}
        more = folder / "limits.yml"
        more.write_text(yaml.safe_dump({"services": dict.fromkeys(OURS, limits)}))
        self._command = [
            *(sys.executable, "-m", "podman_compose", "--podman-path", str(program), "--project-name", name),
            *("--file", str(ROOT / "docker-compose.yml"), "--file", str(more), "--profile", "demo"),
        ]
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MNER_", "STACK_"))},
            "STACK_IMAGE": IMAGE,
            "STACK_BROKERS": kafka.gateway,
            "STACK_REDIS_URL": "",
            "STACK_PARTITIONS": "4",
            "STACK_FEED_RATE": "5",
            "OMP_NUM_THREADS": "1",
        }

    def up(self, *services: str) -> None:
        """Start services without what they depend on; raises with what was said when that fails."""
        command = [*self._command, "up", "--detach", "--no-build", "--no-deps", f"--scale=worker={WORKERS}", *services]
        done = subprocess.run(
            command, env=self._environ, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def container(self, service: str, number: int = 1) -> str:
        """The name of a service's container."""
        return f"{self.name}_{service}_{number}"


@pytest.fixture(scope="module")
def project(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project, its network made, Kafka at its gateway; all of it is gone afterwards."""
    pytest.importorskip("podman_compose")
    folder = tmp_path_factory.mktemp("project")
    name = f"mner-test-{secrets.token_hex(3)}"
    network = f"{name}_default"
    podman("network", "create", network)
    try:
        (described,) = json.loads(podman("network", "inspect", network))
        kafka = KafkaAtTheGateway(folder, described["subnets"][0]["gateway"]).start(timeout_s=180.0)
        project = Project(podman, kafka, name, folder)
        yield project
        kafka.stop()
    finally:
        podman.run("pod", "rm", "--force", f"pod_{name}", timeout_s=300)
        podman.run("network", "rm", "--force", network)
        podman.run("volume", "rm", "--force", f"{name}_checkpoints")


@pytest.fixture(scope="module")
def containers(project: Project) -> dict[str, list[str]]:
    """The names of the containers of each of our services, the workers ready."""
    podman = project.podman
    project.up("topics")
    assert podman("wait", project.container("topics")) == "0", podman.run("logs", project.container("topics")).stderr
    project.up("worker", "feeder")
    workers = [project.container("worker", number) for number in range(1, WORKERS + 1)]
    names = [*workers, project.container("feeder")]

    def healthy() -> bool:
        return all(podman.run("healthcheck", "run", name).returncode == 0 for name in names)

    def logs() -> str:
        return "\n".join(podman.run("logs", name).stderr for name in names)

    asyncio.run(until(healthy, "workers and feeder to be healthy", READY_TIMEOUT_S, logs))
    return {"topics": [project.container("topics")], "worker": workers, "feeder": names[-1:]}


def test_topics_are_made_by_the_service_for_it(project: Project, containers: dict[str, list[str]]) -> None:
    made = project.podman("logs", *containers["topics"]).split()
    assert {"posts", "posts.dead", "entities", "entities.per"} <= set(made)


async def test_posts_of_the_feeder_are_tagged_with_the_pictures_that_it_serves_on_the_network(
    project: Project, containers: dict[str, list[str]]
) -> None:
    options = {"bootstrap_servers": project.kafka.bootstrap, "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer("entities", **options) as subscriber, asyncio.timeout(120):
        records = [json.loads((await subscriber.getone()).value) for _ in range(90)]
    assert len({record["post_id"] for record in records}) == 90, "each round has new ids"
    images = Counter(record["image"]["status"] for record in records)
    assert images["used"] >= 15, images


def test_the_name_that_prometheus_asks_for_leads_to_every_worker_and_all_have_posts(
    project: Project, containers: dict[str, list[str]]
) -> None:
    pages = json.loads(project.podman("exec", *containers["feeder"], "python", "-c", LOOK_FOR_WORKERS))
    tagged = [float(line.split()[-1]) for page in pages for line in page if 'outcome="tagged"' in line]
    assert len(tagged) == WORKERS
    assert all(tagged), tagged


def test_containers_may_do_what_the_file_says_and_no_more(project: Project, containers: dict[str, list[str]]) -> None:
    program = "import os; print(os.getuid()); open('/tmp/x', 'w'); open('/x', 'w')"
    for name in (*containers["worker"], *containers["feeder"]):
        done = project.podman.run("exec", name, "python", "-c", program)
        assert (done.stdout, "Read-only file system" in done.stderr) == ("10001\n", True)


def test_all_leave_with_status_0_when_asked_to(project: Project, containers: dict[str, list[str]]) -> None:
    for service in ("feeder", "worker"):
        project.podman("stop", "--time", str(DRAIN_TIMEOUT_S), *containers[service], timeout_s=3 * DRAIN_TIMEOUT_S)
        for name in containers[service]:
            assert project.podman("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    for name in containers["worker"]:
        assert "drained, leaving" in project.podman.run("logs", name).stderr
