"""The AsyncAPI 3.0 document of the worker's topics, from the classes, topics and settings that it runs with.

Payloads are described by the JSON Schemas (`schemas` beside this), examples are real messages (`samples`). A channel's
id is its topic's name by default, its address the name in the settings.
"""

from dataclasses import dataclass, field
from importlib.metadata import version
from types import NoneType
from typing import Any, Literal

import yaml

from worker.messages.samples import TopicSample, topic_samples
from worker.messages.schemas import schema_file, schema_files
from worker.messages.topics import Topic, worker_topics
from worker.settings import Settings

ASYNCAPI_FILE = "asyncapi.yaml"
SCHEMAS_FOLDER = "schemas"
_KAFKA_BINDING = "0.5.0"

_ABOUT = """\
Reads named entities (people, places, organisations and other names) out of social media posts, text and image together.

**To have posts read**, produce them to `{posts}`, keyed by the post's id. A null value with that key deletes the post.

**To subscribe**, consume `{entities}` (everything found in one post) or one of the topics named after it (one name in
one post). The operations below are the worker's own: what it *sends* is what a subscriber receives.

- Delivery is at least once, so a message may come again. An entity's `id` is then the same; of the records with one key
  the last one counts.
- Messages with one key are in one partition, in order. Between keys there is no order.
- On `{entities}` a null value (tombstone) says that the post was deleted. The topics of names have no tombstones.
- `start` and `end` count Unicode code points of the post's text, neither bytes nor UTF-16 units; `end` is exclusive.
- Fields and headers may be added: ignore those you do not know. Any other change raises `schema` in the records.
- What cannot be answered goes to `{dead}`, its bytes untouched, with the reason in the headers. To replay it, produce
  its key and value to `{posts}` again.

Partitions and clean-up are those that `mner-worker topics` makes; an operator may choose others.
"""


@dataclass(frozen=True)
class _Message:
    """One kind of message.

    examples  what the values of those samples are of its topic that are messages of this kind
    more      further fields of the message object
    """

    name: str
    title: str
    payload: dict[str, Any]
    key: dict[str, Any]
    examples: type = dict
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Channel:
    """One topic, and what the worker does with it."""

    id: str
    title: str
    description: str
    messages: tuple[_Message, ...]
    operation: str
    summary: str
    action: Literal["send", "receive"] = "send"


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"./{SCHEMAS_FOLDER}/{schema_file(name)}"}


_POST_ID = {"type": "string", "minLength": 1, "maxLength": 256, "description": "The post's id."}
_SPELLED = "Unicode NFC, case-folded, each run of white space one space"
_NAME = {"type": "string", "description": f"The name as it is read (&eacute; is é): {_SPELLED}."}
_NULL = {"type": "null", "description": "No value: the key says what is deleted."}
_ORIGINAL = {"description": "The original value, whatever it is; empty where it was too large, null where it was null."}
_ORIGINAL_KEY = {"description": "The original key, if there was one and it was not too large."}


def _names(type_: str, name: str, title: str, plural: str) -> _Channel:
    payload = {"allOf": [_schema("mention"), {"properties": {"type": {"const": type_}}}]}
    return _Channel(
        f"entities.{type_.lower()}",
        plural.capitalize(),
        f"Every mention of {plural}, one message each, keyed so that one partition has all mentions of a name.",
        (_Message(name, title, payload, _NAME),),
        f"send{plural.title().replace(' ', '')}",
        f"Publishes every mention of {plural}.",
    )


_CHANNELS = (
    _Channel(
        "posts",
        "Posts",
        "Posts to be read, keyed by their id.",
        (
            _Message("post", "Post", _schema("post"), _POST_ID),
            _Message("postDeletion", "Deletion of a post", _NULL, _POST_ID, NoneType),
        ),
        "receivePosts",
        "Reads posts; the workers of one group share them.",
        "receive",
    ),
    _Channel(
        "entities",
        "Entity records",
        "What was found in each post, keyed by the post's id and compacted, so that the last record of a post stays.",
        (
            _Message("entityRecord", "Entity record", _schema("entity_record"), _POST_ID),
            _Message("entityRecordDeletion", "Deletion of an entity record", _NULL, _POST_ID, NoneType),
        ),
        "sendEntityRecords",
        "Publishes one record for each post, and passes on that a post was deleted.",
    ),
    _names("PER", "person", "Person", "people"),
    _names("LOC", "place", "Place", "places"),
    _names("ORG", "organisation", "Organisation", "organisations"),
    _names("MISC", "otherName", "Other name", "other names"),
    _Channel(
        "posts.dead",
        "Dead letters",
        "Posts that could not be answered, as they came, with the reason in the headers.",
        (
            _Message(
                "deadLetter",
                "Dead letter",
                _ORIGINAL,
                _ORIGINAL_KEY,
                object,
                {"contentType": "application/octet-stream", "headers": _schema("dead_letter_headers")},
            ),
        ),
        "sendDeadLetters",
        "Publishes every post that could not be answered.",
    ),
)


def asyncapi_files(settings: Settings) -> dict[str, str]:
    """Path to content, of the document and the schemas that it refers to."""
    schemas = {f"{SCHEMAS_FOLDER}/{name}": content for name, content in schema_files().items()}
    return {ASYNCAPI_FILE: asyncapi_yaml(settings), **schemas}


def asyncapi_yaml(settings: Settings) -> str:
    """The document in YAML; it refers to schemas in the folder `schemas` beside it."""
    return yaml.dump(asyncapi_document(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def asyncapi_document(settings: Settings) -> dict[str, Any]:
    """The document, with the names of topics, group and broker that are in the settings."""
    # both have posts first, then records and names, then dead letters
    topics = dict(zip((channel.id for channel in _CHANNELS), worker_topics(settings), strict=True))
    names = {"posts": settings.posts_topic, "entities": settings.entities_topic, "dead": settings.dead_topic}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "mner-stream",
            "version": version("mner-stream"),
            "description": _ABOUT.format(**names),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": _server(settings)},
        "channels": {channel.id: _channel(channel, topics[channel.id]) for channel in _CHANNELS},
        "operations": {channel.operation: _operation(channel, settings) for channel in _CHANNELS},
        "components": {
            "messages": {
                message.name: _message(message, channel.id) for channel in _CHANNELS for message in channel.messages
            }
        },
    }


# of a topic's configuration, what the binding knows beside the clean-up policy
_TOPIC_NUMBERS = frozenset({"retention.ms", "delete.retention.ms", "max.message.bytes"})


def _server(settings: Settings) -> dict[str, Any]:
    is_encrypted = settings.security_protocol in {"SSL", "SASL_SSL"}
    return {
        "host": "{broker}",
        "protocol": "kafka-secure" if is_encrypted else "kafka",
        "description": "The Kafka cluster that the worker reads from and publishes to.",
        "variables": {
            "broker": {"default": settings.brokers[0], "description": "host:port of any broker of the cluster."}
        },
    }


def _channel(channel: _Channel, topic: Topic) -> dict[str, Any]:
    numbers = {name: int(value) for name, value in topic.configs().items() if name in _TOPIC_NUMBERS}
    binding = {
        "topic": topic.name,
        "partitions": topic.partitions,
        "topicConfiguration": {"cleanup.policy": ["compact" if topic.compacted else "delete"]} | numbers,
        "bindingVersion": _KAFKA_BINDING,
    }
    return {
        "address": topic.name,
        "title": channel.title,
        "description": channel.description,
        "messages": {message.name: {"$ref": f"#/components/messages/{message.name}"} for message in channel.messages},
        "bindings": {"kafka": binding},
    }


def _operation(channel: _Channel, settings: Settings) -> dict[str, Any]:
    operation = {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.id}"},
        "summary": channel.summary,
    }
    if channel.action == "send":
        return operation
    group = {"type": "string", "enum": [settings.group]}
    return operation | {"bindings": {"kafka": {"groupId": group, "bindingVersion": _KAFKA_BINDING}}}


def _message(message: _Message, channel_id: str) -> dict[str, Any]:
    samples = [sample for sample in topic_samples() if sample.topic == channel_id]
    samples = [sample for sample in samples if isinstance(sample.value, message.examples)]
    keys = [sample.key for sample in samples if sample.key is not None]
    key = message.key | ({"examples": keys} if keys else {})
    return {
        "name": message.name,
        "title": message.title,
        **message.more,
        "payload": message.payload,
        "bindings": {"kafka": {"key": key, "bindingVersion": _KAFKA_BINDING}},
        "examples": [_example(sample) for sample in samples],
    }


def _example(sample: TopicSample) -> dict[str, Any]:
    return ({"headers": sample.headers} if sample.headers else {}) | {"payload": sample.value}


class _Dumper(yaml.SafeDumper):
    """Paragraphs as they are, without anchors: people read this file."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
