"""docs/topics.md, which strangers rely on, knows every topic, reason, status and header, and its messages are real."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from worker.errors import DeadReason
from worker.messages.samples import topic_samples
from worker.messages.topics import worker_topics
from worker.messages.wire import DeadLetterHeaders, ImageStatus, UntaggedReason
from worker.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "topics.md"
TEXT = PAGE.read_text(encoding="utf-8")


def names_in(table: str) -> list[str]:
    """The first column between two markers."""
    [rows] = re.findall(rf"<!-- {table} -->\n.*?\n(.*?)<!-- /{table} -->", TEXT, re.DOTALL)
    return re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("dead reasons", [*DeadReason]),
        ("image statuses", [*ImageStatus]),
        ("headers", [field.alias or name for name, field in DeadLetterHeaders.model_fields.items()]),
        ("topics", [topic.name for topic in worker_topics(Settings.load({}))]),
    ],
    ids=lambda table: table if isinstance(table, str) else "",
)
def test_a_table_has_exactly_what_there_is(table: str, names: list[str]) -> None:
    assert names_in(table) == [str(name) for name in names]


def test_only_what_is_compacted_is_said_to_be() -> None:
    rows = {
        row.split("`")[1]: "compacted" in row for row in TEXT.splitlines() if row.startswith(("| `posts", "| `ent"))
    }
    assert rows == {topic.name: topic.compacted for topic in worker_topics(Settings.load({}))}


@pytest.mark.parametrize("reason", get_args(UntaggedReason))
def test_the_page_says_why_a_post_may_be_left_untagged(reason: str) -> None:
    assert f'`"untagged": "{reason}"`' in TEXT


def test_messages_on_the_page_are_samples() -> None:
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
    assert shown
    assert all(any(message == sample.value for sample in topic_samples()) for message in shown)
