import time
from datetime import UTC, datetime
from typing import get_args

import pytest
import regex

from worker.cli import tail as tail_command
from worker.messages import Entity, EntityRecord, EntityType, ImageReport, ImageStatus, ModelReport
from worker.tail import MATCH_TIMEOUT_S, Selection

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


def test_a_pattern_that_never_ends_is_given_up_for_the_record_as_a_whole() -> None:
    slow = regex.compile("(?:a|a)+[b-z]")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Selection(pattern=slow).takes(record(*[("PER", "a" * 60 + str(number)) for number in range(20)]))
    assert time.monotonic() - began < MATCH_TIMEOUT_S * 10


def test_the_command_knows_all_types() -> None:
    [types] = [parameter for parameter in tail_command.params if parameter.name == "types"]
    assert set(types.type.choices) == set(get_args(EntityType))
