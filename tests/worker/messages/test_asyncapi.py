"""deploy/asyncapi.yaml is AsyncAPI 3.0, is what the code says, and its examples are what its schemas allow."""

import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from worker.cli import main
from worker.messages.asyncapi import asyncapi_document, asyncapi_files, asyncapi_yaml
from worker.messages.topics import worker_topics
from worker.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
MEND = "run mner-worker schemas --asyncapi deploy"
DEFAULTS = Settings.load({})
DOCUMENT = yaml.safe_load((DEPLOY / "asyncapi.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", asyncapi_files(DEFAULTS))
def test_the_published_files_are_what_the_classes_say(name: str) -> None:
    assert (DEPLOY / name).read_text(encoding="utf-8") == asyncapi_files(DEFAULTS)[name], MEND


def test_no_schema_is_published_that_nothing_is_described_by() -> None:
    published = {f"schemas/{path.name}" for path in (DEPLOY / "schemas").iterdir()}
    assert published == asyncapi_files(DEFAULTS).keys() - {"asyncapi.yaml"}, MEND


def test_yaml_keeps_every_value() -> None:
    assert yaml.safe_load(asyncapi_yaml(DEFAULTS)) == asyncapi_document(DEFAULTS)


# By the specification


@pytest.fixture(scope="module")
def official(npm_ci: Callable[[Path], Path]) -> Any:
    """The specification's own JSON Schema of a document, Kafka's bindings included."""
    specs = npm_ci(ROOT / "tests" / "asyncapi") / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    return Draft7Validator(json.loads(specs.read_text(encoding="utf-8")))


def test_the_document_is_asyncapi_3(official: Any) -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert [f"{list(error.absolute_path)}: {error.message[:200]}" for error in official.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (["operations", "receivePosts", "action"], "read"),
        (["channels", "posts", "bindings", "kafka", "partitions"], 0),
        (["components", "messages", "post", "bindings", "kafka", "key"], "a string"),
        (["servers", "kafka", "host"], None),
    ],
    ids=lambda path: path[-1] if isinstance(path, list) else "",
)
def test_the_official_schema_looks_into_every_part(official: Any, path: list[str], wrong: Any) -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    part = broken
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = wrong
    assert not official.is_valid(broken)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def at(reference: str) -> Any:
    """What a reference of the document leads to."""
    file, _, pointer = reference.partition("#")
    found = json.loads((DEPLOY / file).read_text(encoding="utf-8")) if file else DOCUMENT
    for name in filter(None, pointer.split("/")):
        found = found[name]
    return found


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert found
    assert all(at(reference) for reference in found)


def test_every_channel_has_an_operation_and_every_message_a_channel() -> None:
    channels = [operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()]
    assert sorted(channels) == sorted(f"#/channels/{name}" for name in DOCUMENT["channels"])
    messages = [one["$ref"] for channel in DOCUMENT["channels"].values() for one in channel["messages"].values()]
    assert sorted(messages) == sorted(f"#/components/messages/{name}" for name in DOCUMENT["components"]["messages"])


# Messages


# As AsyncAPI reads them: schemas without a format of their own are draft 7, and found beside the document.
SCHEMAS = Registry().with_resources(
    (f"./schemas/{path.name}", Resource(json.loads(path.read_text(encoding="utf-8")), DRAFT7))
    for path in (DEPLOY / "schemas").iterdir()
)
EXAMPLES = [
    (name, number)
    for name, message in DOCUMENT["components"]["messages"].items()
    for number in range(len(message["examples"]))
]


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
def test_an_example_is_what_its_schemas_allow(name: str, number: int) -> None:
    message = DOCUMENT["components"]["messages"][name]
    example = message["examples"][number]
    Draft7Validator(message["payload"], registry=SCHEMAS).validate(example["payload"])
    assert ("headers" in message) == ("headers" in example)
    Draft7Validator(message.get("headers", {}), registry=SCHEMAS).validate(example.get("headers", {}))


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_a_message_has_examples_whose_keys_its_binding_allows(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    assert message["examples"]
    key = message["bindings"]["kafka"]["key"]
    for example in key.get("examples", []):
        Draft7Validator(key).validate(example)


def test_a_topic_of_names_takes_its_own_type_only() -> None:
    person = DOCUMENT["components"]["messages"]["person"]
    place = DOCUMENT["components"]["messages"]["place"]["examples"][0]["payload"]
    assert not Draft7Validator(person["payload"], registry=SCHEMAS).is_valid(place)


# Settings

OTHERS = Settings.load(
    {
        "MNER_BROKERS": "kafka-1:9093,kafka-2:9093",
        "MNER_SECURITY_PROTOCOL": "SASL_SSL",
        "MNER_SASL_MECHANISM": "PLAIN",
        "MNER_SASL_USERNAME": "ada",
        "MNER_SASL_PASSWORD": "hunter2",
        "MNER_GROUP": "night-shift",
        "MNER_POSTS_TOPIC": "in",
        "MNER_ENTITIES_TOPIC": "out",
        "MNER_DEAD_TOPIC": "dead",
    }
)


@pytest.mark.parametrize("settings", [DEFAULTS, OTHERS], ids=["defaults", "others"])
def test_channels_are_the_topics_as_the_worker_makes_them(settings: Settings) -> None:
    channels = asyncapi_document(settings)["channels"]
    assert list(channels) == [
        "posts",
        "entities",
        *(f"entities.{name}" for name in ("per", "loc", "org", "misc")),
        "posts.dead",
    ]
    described = [
        (
            channel["address"],
            channel["bindings"]["kafka"]["partitions"],
            channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == ["compact"],
        )
        for channel in channels.values()
    ]
    assert described == [(topic.name, topic.partitions, topic.compacted) for topic in worker_topics(settings)]
    assert channels["entities.per"]["address"] == settings.entities_topic + ".per"


def test_the_document_follows_the_settings_but_tells_no_secret() -> None:
    document = asyncapi_document(OTHERS)
    assert document["servers"]["kafka"]["protocol"] == "kafka-secure"
    assert document["servers"]["kafka"]["variables"]["broker"]["default"] == "kafka-1:9093"
    assert document["operations"]["receivePosts"]["bindings"]["kafka"]["groupId"]["enum"] == ["night-shift"]
    assert "`out`" in document["info"]["description"]
    assert not any(secret in asyncapi_yaml(OTHERS) for secret in ("hunter2", "ada"))


def test_its_version_is_the_packages() -> None:
    assert DOCUMENT["info"]["version"] == version("mner-stream")


# The command


def test_the_command_prints_the_document_of_its_settings() -> None:
    printed = CliRunner(env={"MNER_ENTITIES_TOPIC": "out"}).invoke(main, ["schemas", "--asyncapi"])
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert yaml.safe_load(printed.stdout)["channels"]["entities.per"]["address"] == "out.per"


def test_the_command_writes_the_document_and_what_it_refers_to(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["schemas", "--asyncapi", str(tmp_path / "new")])
    assert (done.exit_code, done.stdout) == (0, "")
    written = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*.*")}
    assert written == asyncapi_files(DEFAULTS).keys()
