import time
from datetime import UTC, datetime
from typing import get_args

import pytest
import regex

from worker.cli import tail as tail_command
from worker.messages.wire import Entity, EntityRecord, EntityType, ImageReport, ImageStatus, ModelReport
from worker.watch.tail import MATCH_TIMEOUT_S, Selection

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def record(*mentions: tuple[EntityType, str]) -> EntityRecord:
    text = " ".join(name for _, name in mentions)
    entities = [
        Entity(
            id="0",
            type=entity_type,
            text=name,
            start=text.index(name),
            end=text.index(name) + len(name),
            confidence=0.9,
            modality_weights={},
        )
        for entity_type, name in mentions
    ]
    return EntityRecord(
        post_id="p",
        text=text,
        entities=tuple(entities),
        image=ImageReport(status=ImageStatus.ABSENT),
        model=ModelReport(name="m", fingerprint="0"),
        created_at=NOW,
        tagged_at=NOW,
    )


def test_without_a_selection_records_without_mentions_are_shown_too() -> None:
    assert Selection().takes(record())


@pytest.mark.parametrize(
    ("types", "pattern", "is_taken"),
    [
        ({"PER"}, None, True),
        ({"ORG"}, None, False),
        ({"ORG", "LOC"}, None, True),
        (set(), "lace$", True),
        (set(), "ESA", False),
        ({"PER"}, "^Ada", True),
        ({"LOC"}, "^Ada", False),
    ],
)
def test_one_mention_must_have_both_the_type_and_the_match(
    types: set[EntityType], pattern: str | None, is_taken: bool
) -> None:
    selection = Selection(frozenset(types), None if pattern is None else regex.compile(pattern))
    assert selection.takes(record(("PER", "Ada Lovelace"), ("LOC", "Oslo"))) is is_taken


def test_a_pattern_that_never_ends_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        Selection(pattern=regex.compile("(?:a|a)+[b-z]")).takes(record(("PER", "a" * 60)))


def test_the_time_is_for_all_mentions_of_a_record_together() -> None:
    class Slow:
        searched = 0

        def search(self, text: str, timeout: float) -> None:
            self.searched += 1
            time.sleep(min(timeout, MATCH_TIMEOUT_S * 0.6))

    slow = Slow()
    with pytest.raises(TimeoutError):
        Selection(pattern=slow).takes(record(*[("PER", f"a{number}") for number in range(10, 30)]))  # type: ignore[arg-type]
    assert slow.searched == 2


def test_the_command_knows_all_types() -> None:
    [types] = [parameter for parameter in tail_command.params if parameter.name == "types"]
    assert set(types.type.choices) == set(get_args(EntityType))
