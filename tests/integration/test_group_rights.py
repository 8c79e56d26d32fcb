"""A worker that Apache Kafka does not let into its group says so, and goes on by itself once it may."""

import asyncio
from pathlib import Path

import pytest
from lab import KAFKA_SCRIPT, ApacheKafka, until

pytestmark = pytest.mark.integration

AUTHORIZER = (
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found=true",
)


@pytest.fixture
def broker(needs_kafka, tmp_path: Path):
    """One of the test's own, that lets everybody do what no list of rights is about."""
    with ApacheKafka(tmp_path / "kafka", *AUTHORIZER) as broker:
        yield broker


async def test_a_worker_without_a_right_to_its_group_says_so_and_works_once_it_has_it(broker, make_lab) -> None:
    lab = await make_lab(broker.bootstrap).open()
    await rights(broker, "--add", lab.group)  # now nobody else may
    await lab.send(20)
    worker = lab.start_worker()
    await until(lambda: says_why(worker), "the worker to say why it is not in the group", explain=lab.logs)
    assert "not in the group, trying again: GroupAuthorizationFailedError" in worker.log
    assert lab.answers == {}

    await rights(broker, "--remove", lab.group)
    await until(worker.is_ready, "the worker to be ready", explain=lab.logs)
    await lab.until_all_answered()
    assert "in the group, after " in worker.log
    worker.terminate()
    assert await worker.exit_status() == 0
    await lab.close_clients()


async def says_why(worker) -> bool:
    try:
        reasons = await worker.why_not_ready()
    except OSError:  # not up yet
        return False
    return any(why.startswith("no partitions are assigned: GroupAuthorizationFailedError") for why in reasons)


async def rights(broker: ApacheKafka, change: str, group: str) -> None:
    """Give somebody else the right to read as this group, or take it away, with Kafka's own tool."""
    tool = ("java", "-Xmx128m", "-cp", f"{KAFKA_SCRIPT.parent}/libs/*", "org.apache.kafka.tools.AclCommand")
    whose = ("--allow-principal", "User:somebody-else", "--operation", "Read", "--group", group)
    force = ("--force",) if change == "--remove" else ()
    process = await asyncio.create_subprocess_exec(
        *tool, "--bootstrap-server", broker.bootstrap, change, *whose, *force, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, said.decode()
