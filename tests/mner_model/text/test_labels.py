import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.text.labels import Span, TagSet, repair, spans_lenient, spans_strict, tags_of

TAGS = st.lists(st.sampled_from(TagSet().tags), max_size=12)


def test_an_orphan_starts_nothing_in_the_strict_reading_and_a_mention_in_the_lenient_one() -> None:
    tags = ["O", "I-PER", "I-PER", "B-LOC", "I-ORG"]
    assert spans_strict(tags) == [Span(3, 4, "LOC")]
    assert spans_lenient(tags) == [Span(1, 3, "PER"), Span(3, 4, "LOC"), Span(4, 5, "ORG")]


@given(TAGS)
def test_repaired_tags_read_alike_both_ways(tags: list[str]) -> None:
    fixed = repair(tags)
    assert spans_strict(fixed) == spans_lenient(fixed) == spans_lenient(tags)
    assert repair(fixed) == fixed


@given(TAGS)
def test_tags_and_spans_are_one_another(tags: list[str]) -> None:
    fixed = repair(tags)
    assert tags_of(spans_strict(fixed), len(fixed)) == fixed


@given(TAGS)
def test_repaired_tags_are_sound_bio(tags: list[str]) -> None:
    tagset = TagSet()
    fixed = repair(tags)
    assert all(tagset.may_follow(a, b) for a, b in zip([None, *fixed], fixed, strict=False))


def test_a_tag_of_another_set_is_named() -> None:
    with pytest.raises(ValueError, match="unknown tag 'B-GPE'"):
        TagSet().index("B-GPE")


def test_overlapping_spans_are_refused() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        tags_of([Span(0, 2, "PER"), Span(1, 3, "LOC")], 3)
