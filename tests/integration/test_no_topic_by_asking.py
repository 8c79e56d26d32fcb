"""On a Kafka that makes topics which it is asked about, nothing of ours has it make one."""

import asyncio
import re
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from commands import Command, environ_of
from lab import ROOT, ApacheKafka, Lab, until

pytestmark = pytest.mark.integration

EXAMPLES = ROOT / "deploy" / "examples"


class WithItsDefaults(ApacheKafka):
    def _command(self) -> Sequence[str]:
        return [part.replace("topics.enable=false", "topics.enable=true") for part in super()._command()]


@pytest.fixture(scope="module")
def bootstrap(needs_kafka: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with WithItsDefaults(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap


@pytest.fixture
async def lab(bootstrap: str, tmp_path: Path) -> AsyncIterator[Lab]:
    """Names and no topics of these names."""
    lab = Lab(bootstrap, f"t{uuid.uuid4().hex[:8]}", tmp_path)
    yield lab
    await lab.close()


async def topics(lab: Lab) -> list[str]:
    """Those of the test's names that there are."""
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.bootstrap)
    await admin.start()
    try:
        return [name for name in await admin.list_topics() if name.startswith(lab.group)]
    finally:
        await admin.close()


async def test_a_worker_waits_for_topics(lab: Lab) -> None:
    worker = lab.start_worker()
    await until(lambda: "`mner-worker topics` makes it" in worker.log, "it to say what is missing", explain=lab.logs)
    [reason] = [reason for reason in await worker.why_not_ready() if "topic" in reason]
    assert set(re.findall(r"[\w.]+", reason)) >= {lab.posts_topic, lab.entities_topic, lab.dead_topic}
    assert await topics(lab) == []


async def test_the_feeder_waits_for_the_topic_of_posts(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text('{"id": "1", "text": "in Oslo"}\n')
    async with Command(["feed", "--posts", str(tmp_path / "posts.jsonl")], environ_of(lab)) as feed:
        await feed.says("`mner-worker topics` makes it")
        assert await topics(lab) == []


@pytest.mark.parametrize("language", ["python", "node"])
async def test_a_subscriber_names_the_command_that_makes_its_topic(
    language: str, lab: Lab, request: pytest.FixtureRequest
) -> None:
    if language == "python":
        program = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / "python" / "people.py")]
    else:
        npm_ci: Callable[[Path], Path] = request.getfixturevalue("npm_ci")
        program = ["node", str(npm_ci(EXAMPLES / "node") / "people.mjs")]
    process = await asyncio.create_subprocess_exec(
        *(*program, "--brokers", lab.bootstrap, "--topic", f"{lab.entities_topic}.per"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out, len(said.splitlines())) == (1, b"", 1), said
    assert f"no topic {lab.entities_topic}.per" in said.decode()
    assert "`mner-worker topics`" in said.decode()
    assert await topics(lab) == []
