from datetime import UTC, datetime
from typing import Any

import pytest

from worker.messages.records import Place
from worker.settings import Settings
from worker.watch.dead.letter import DeadLetter
from worker.watch.dead.replay import _partition, _why_not

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Topics:
    """What a reader knows of topics."""

    def partitions_of(self, topic: str) -> set[int]:
        return {"posts": {0, 1}, "entities.per": {0}}.get(topic, set())


def letter(**more: Any) -> DeadLetter:
    fields = {
        "place": Place("posts.dead", 0, 3),
        "published_at": NOW,
        "reason": "schema",
        "detail": "",
        "source": Place("posts", 1, 7),
        "failed_at": "",
        "attempts": 1,
        "key": b"k",
        "value": b"v",
    }
    return DeadLetter(**(fields | more))


def why_not(of: DeadLetter) -> str | None:
    refused = _why_not(of, Topics(), Settings())  # type: ignore[arg-type]
    return refused and refused.kind


@pytest.mark.parametrize("parts", [{"key": None}, {"value": None}, {"value": b""}])
def test_a_post_with_a_key_or_a_value_can_be_sent(parts: dict[str, Any]) -> None:
    assert why_not(letter(**parts)) is None


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"omitted_bytes": {"value": 9}}, "value left out"),
        ({"omitted_bytes": {"headers": 9, "key": 5}}, "headers and key left out"),
        ({"key": None, "value": None}, "neither key nor value"),
        ({"source": Place("entities.per", 0, 1)}, "not from a topic of posts"),
        ({"source": Place("posts.dead", 0, 1)}, "not from a topic of posts"),
        ({"source": Place("gone", 0, 1)}, "no such topic"),
    ],
)
def test_what_would_not_be_the_post_again_is_not_sent(parts: dict[str, Any], kind: str) -> None:
    assert why_not(letter(**parts)) == kind


def test_a_post_goes_to_its_partition_and_by_its_key_where_that_is_gone() -> None:
    assert _partition(letter(), Topics()) == 1  # type: ignore[arg-type]
    assert _partition(letter(source=Place("posts", 5, 7)), Topics()) is None  # type: ignore[arg-type]
