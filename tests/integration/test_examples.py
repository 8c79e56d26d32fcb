"""The subscribers in deploy/examples print the people whom the worker found, each once, whatever their names look like.

On the embedded broker and on Apache Kafka; kcat on the latter only, as Debian's (librdkafka 2.0.2) cannot read what the
former says of its versions.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lab import Lab, until

from mner_model.posts.predicted_entity import PredictedEntity
from worker.messages.records import OutgoingMessage
from worker.messages.wire import ImageReport, ImageStatus, ModelReport, entity_record, mention_message, mentions_of

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
NAMES = ["Beyoncé", "宮崎 駿", "Владимир Соколов", "शाहरुख़ ख़ान", "Zoë 👩‍🚀"]
# what strangers may write into a post that others look at on a terminal
HOSTILE, HARMLESS = "Ada\x1b[31m\n Lovelace", "Ada [31m Lovelace"

Example = Callable[..., list[str]]


@pytest.fixture(scope="session")
def python() -> Example:
    program = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / "python" / "people.py")]
    return lambda brokers, topic, start: [*program, "--brokers", brokers, "--topic", topic, "--from", start]


@pytest.fixture(scope="session")
def node(npm_ci: Callable[[Path], Path]) -> Example:
    program = ["node", str(npm_ci(EXAMPLES / "node") / "people.mjs")]
    return lambda brokers, topic, start: [*program, "--brokers", brokers, "--topic", topic, "--from", start]


@pytest.fixture(scope="session")
def kcat() -> Example:
    missing = [program for program in ("kcat", "jq") if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {missing}")
    if missing:
        pytest.skip(f"not installed: {missing}")
    program = [str(EXAMPLES / "kcat" / "people.sh")]
    return lambda brokers, topic, start: [*program, "-b", brokers, "-t", topic, "-o", start]


def found(post_id: str, *names: str) -> list[OutgoingMessage]:
    """What the worker publishes on the topic of people for a post with these names, each with confidence 0.97."""
    people, text = [], ""
    for name in names:
        start, text = len(text), f"{text}{name}, "
        people.append(PredictedEntity(start, start + len(name), "PER", name, 0.97, {"word": 1.0}))
    record = entity_record(
        post_id,
        text,
        people,
        image=ImageReport(status=ImageStatus.ABSENT),
        model=ModelReport(name="test", fingerprint="f"),
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    return [mention_message(mention, "entities") for mention in mentions_of(record)]


def printed(post_id: str, *names: str) -> list[str]:
    return [f"{name} (97%) in post {post_id}" for name in names]


async def publish(lab: Lab, messages: Iterable[OutgoingMessage]) -> None:
    assert lab.producer is not None
    for message in messages:
        await lab.producer.send_and_wait(people(lab), message.value, message.key)


def people(lab: Lab) -> str:
    return f"{lab.entities_topic}.per"


class Subscriber:
    """An example that runs, in a locale that knows nothing but ASCII."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._out, self._errors = folder / "out", folder / "errors"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"}
            self.process = subprocess.Popen(command, stdout=out, stderr=errors, env=environ, start_new_session=True)

    def lines(self) -> list[str]:
        return self._out.read_text(encoding="utf-8").splitlines()

    async def until_printed(self, count: int) -> None:
        await until(lambda: len(self.lines()) >= count, f"{count} lines", 90.0, self.errors)

    def errors(self) -> str:
        return f"printed {self.lines()}\n{self._errors.read_text(errors='replace')}"

    async def interrupted(self) -> int:
        """Its exit status after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return await asyncio.to_thread(self.process.wait, 30.0)


@pytest.fixture
def subscribe(tmp_path: Path) -> Iterator[Callable[[list[str]], Subscriber]]:
    """Starts examples, and ends them after the test."""
    started: list[Subscriber] = []

    def start(command: list[str]) -> Subscriber:
        folder = tmp_path / f"subscriber-{len(started)}"
        folder.mkdir()
        started.append(Subscriber(command, folder))
        return started[-1]

    yield start
    for subscriber in started:
        if subscriber.process.poll() is None:
            subscriber.process.kill()
            subscriber.process.wait()


@pytest.fixture(params=["python embedded", "python kafka", "node embedded", "node kafka", "kcat kafka"])
def example_and_broker(request: pytest.FixtureRequest) -> tuple[Example, str]:
    example, broker = request.param.split()
    return request.getfixturevalue(example), request.getfixturevalue(f"{broker}_bootstrap")


@pytest.fixture(params=["python", "node", "kcat"])
def example(request: pytest.FixtureRequest) -> Example:
    made: Example = request.getfixturevalue(request.param)
    return made


async def test_each_person_is_printed_once_and_ctrl_c_ends_it(
    example_and_broker: tuple[Example, str],
    make_lab: Callable[[str], Lab],
    subscribe: Callable[[list[str]], Subscriber],
) -> None:
    example, bootstrap = example_and_broker
    lab = await make_lab(bootstrap).open()
    messages = [*found("1", *NAMES), *found("2", HOSTILE, NAMES[0])]
    await publish(lab, [*messages, *messages, *found("3", "Grace Hopper")])

    subscriber = subscribe(example(bootstrap, people(lab), "earliest"))
    expected = [*printed("1", *NAMES), *printed("2", HARMLESS, NAMES[0]), *printed("3", "Grace Hopper")]
    await subscriber.until_printed(len(expected))
    assert (await subscriber.interrupted(), subscriber.lines()) == (0, expected), subscriber.errors()


async def test_from_latest_only_what_comes_later_is_printed(
    example: Example, kafka_lab: Lab, subscribe: Callable[[list[str]], Subscriber]
) -> None:
    await publish(kafka_lab, found("before", *NAMES))
    subscriber = subscribe(example(kafka_lab.bootstrap, people(kafka_lab), "latest"))
    await until(later(kafka_lab, subscriber), "a line", 90.0, subscriber.errors)
    assert all(line.startswith("Grace Hopper (97%) in post later-") for line in subscriber.lines())
    assert await subscriber.interrupted() == 0, subscriber.errors()


def later(lab: Lab, subscriber: Subscriber) -> Callable[[], Awaitable[bool]]:
    """Publishes one more post each time it is asked, and says whether any was printed."""
    number = iter(range(10**6))

    async def another() -> bool:
        await publish(lab, found(f"later-{next(number)}", "Grace Hopper"))
        return bool(subscriber.lines())

    return another


@pytest.mark.parametrize("example", ["python", "node"], indirect=True)
async def test_a_reader_who_had_enough_ends_it_without_a_word(
    example: Example, kafka_lab: Lab, subscribe: Callable[[list[str]], Subscriber]
) -> None:
    command = example(kafka_lab.bootstrap, people(kafka_lab), "earliest")
    subscriber = subscribe(["sh", "-c", '"$@" | head -n 1', "sh", *command])

    async def has_ended() -> bool:
        await publish(kafka_lab, found(uuid.uuid4().hex, "Grace Hopper"))
        return subscriber.process.poll() is not None

    await until(has_ended, "the end", 90.0, subscriber.errors)
    assert (len(subscriber.lines()), subscriber.errors().splitlines()[1:]) == (1, [])


@pytest.mark.parametrize("example", ["python", "node"], indirect=True)
async def test_a_group_goes_on_where_it_stopped(
    example: Example, kafka_lab: Lab, subscribe: Callable[[list[str]], Subscriber]
) -> None:
    command = [*example(kafka_lab.bootstrap, people(kafka_lab), "earliest"), "--group", kafka_lab.group]
    await publish(kafka_lab, found("first", "Ada Lovelace"))
    for post_id, name in (("first", "Ada Lovelace"), ("second", "Grace Hopper")):
        subscriber = subscribe(command)
        await subscriber.until_printed(1)
        assert (await subscriber.interrupted(), subscriber.lines()) == (0, printed(post_id, name)), subscriber.errors()
        await publish(kafka_lab, found("second", "Grace Hopper"))


@pytest.mark.parametrize("example", ["python", "node"], indirect=True)
async def test_of_two_in_a_group_the_second_takes_over_and_nobody_is_lost(
    example: Example, kafka_lab: Lab, subscribe: Callable[[list[str]], Subscriber]
) -> None:
    command = [*example(kafka_lab.bootstrap, people(kafka_lab), "earliest"), "--group", kafka_lab.group]
    posts = [f"post-{number}" for number in range(300)]
    publishing = asyncio.create_task(publish_slowly(kafka_lab, posts))
    first = subscribe(command)
    await first.until_printed(1)
    second = subscribe(command)
    await publishing
    await until(lambda: lines_of(first, second) >= {*printed_each(posts)}, "all", 90.0, first.errors)
    assert await first.interrupted() == 0, first.errors()
    await publish(kafka_lab, found("last", "Grace Hopper"))
    await until(lambda: printed("last", "Grace Hopper")[0] in second.lines(), "the last", 90.0, second.errors)
    assert await second.interrupted() == 0, second.errors()


async def publish_slowly(lab: Lab, posts: Iterable[str]) -> None:
    """So that messages are under way while the group is shared out."""
    for post_id in posts:
        await publish(lab, found(post_id, "Ada Lovelace"))
        await asyncio.sleep(0.03)


def printed_each(posts: Iterable[str]) -> Iterator[str]:
    return (line for post_id in posts for line in printed(post_id, "Ada Lovelace"))


def lines_of(*subscribers: Subscriber) -> set[str]:
    return {line for subscriber in subscribers for line in subscriber.lines()}


@pytest.mark.parametrize(
    "wrong", [["python", "--from", "now"], ["node", "--from", "now"], ["kcat", "-o", "now"], ["kcat", "-x"]]
)
def test_wrong_usage_is_status_2_and_says_what_was_expected(wrong: list[str], request: pytest.FixtureRequest) -> None:
    name, *options = wrong
    command = request.getfixturevalue(name)("127.0.0.1:1", "entities.per", "latest")
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "earliest" in done.stderr


@pytest.mark.parametrize("example", ["python", "node"], indirect=True)
def test_an_option_that_there_is_not_is_status_2_and_named(example: Example) -> None:
    command = example("127.0.0.1:1", "entities.per", "latest")
    done = subprocess.run([*command, "--frm", "now"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--frm" in done.stderr.splitlines()[-1]
    assert "    at " not in done.stderr


@pytest.mark.parametrize("example", ["python", "node"], indirect=True)
def test_a_broker_that_is_not_there_is_one_sentence_and_status_1(example: Example) -> None:
    command = example("127.0.0.1:1", "entities.per", "latest")
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert done.stderr.startswith("no broker at 127.0.0.1:1: ")
