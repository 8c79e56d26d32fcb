from collections.abc import Sequence

import pytest

from mner_model.data.conll import example_from_words
from mner_model.data.examples import Example, SpanExample
from mner_model.text.labels import Span
from mner_model.text.tokenizer import tokenize
from mner_model.training.rewriting import rewritten

TEXT = "We met Serena Williams in Oslo"
SPANS = (Span(7, 22, "PER"), Span(26, 30, "LOC"))
WORDS = example_from_words(TEXT.split(), ["O", "O", "B-PER", "I-PER", "O", "B-LOC"])


def span_example(lang: str | None = "en") -> SpanExample:
    return SpanExample(TEXT, tokenize(TEXT), lang=lang, spans=SPANS)


def copies(example: Example, count: int = 300) -> Sequence[Example]:
    """But for lists."""
    return [copy for copy in all_copies(example, count) if not is_list(copy)]


def all_copies(example: Example, count: int = 300) -> Sequence[Example]:
    return rewritten([example] * count, 1.0, seed=0)


def is_list(copy: Example) -> bool:
    names = [surface.casefold() for surface, _ in copy.mentions()]
    lines = [line.lstrip("-•1. ").casefold() for line in copy.text.split("\n")]
    return lines == names


def test_copies_come_in_every_way_people_write_and_keep_their_mentions() -> None:
    for example in (span_example(), WORDS):
        texts = {copy.text: copy for copy in copies(example)}
        assert [s for s, _ in texts[TEXT.lower()].mentions()] == ["serena williams", "oslo"]
        assert [s for s, _ in texts[TEXT.upper()].mentions()] == ["SERENA WILLIAMS", "OSLO"]
        hashtag = texts["We met #SerenaWilliams in Oslo"]
        assert [hashtag.tokens.surfaces[span.start] for span in hashtag.token_spans()] == ["SerenaWilliams", "Oslo"]
        assert "We met Serena Williams in #oslo" in texts
        assert any("Levi's" in text or "H&M" in text or "Jr." in text or "U.K." in text for text in texts)
        for copy in texts.values():
            assert [type_ for _, type_ in copy.mentions()] == ["PER", "LOC"]


def test_spans_of_copies_are_where_the_names_are() -> None:
    for copy in copies(span_example()):
        assert copy.judged(copy.token_spans()).predicted == copy.judged(()).gold


def test_english_names_do_not_come_into_other_languages() -> None:
    assert len({copy.text for copy in copies(span_example("en"))}) > 20
    hashtags = {f"We met #{one} in Oslo" for one in ("SerenaWilliams", "serenawilliams")}
    hashtags |= {f"We met Serena Williams in #{one}" for one in ("Oslo", "oslo")}
    assert {copy.text for copy in copies(span_example("de"))} == {TEXT.lower(), TEXT.upper(), *hashtags}


def test_a_share_is_copied_the_same_way_for_one_seed() -> None:
    posts = [span_example()] * 400
    first, again, other = (rewritten(posts, 0.25, seed) for seed in (1, 1, 2))
    assert [one.text for one in first] == [one.text for one in again] != [one.text for one in other]
    assert 60 < len(first) < 140
    assert rewritten(posts, 0.0, 1) == []


def test_a_text_that_would_grow_in_lower_case_is_left_alone() -> None:
    text = "in İstanbul"
    example = SpanExample(text, tokenize(text), lang="tr", spans=(Span(3, 11, "LOC"),))
    assert {copy.text for copy in copies(example)} == {"in #İstanbul", "in #i̇stanbul", "IN İSTANBUL"}


@pytest.mark.parametrize("example", [span_example("de"), WORDS])
def test_lists_have_a_name_a_line_and_nothing_beside_it(example: Example) -> None:
    lists = [copy for copy in all_copies(example) if is_list(copy)]
    assert 15 < len(lists) < 40
    assert any(copy.text.islower() for copy in lists)
    assert any("\n" in copy.text for copy in lists)
    for copy in lists:
        assert (copy.lang, copy.types) == (example.lang, example.types)
        assert copy.judged(copy.token_spans()).predicted == copy.judged(()).gold
        assert {(name.casefold(), type_) for name, type_ in copy.mentions()} <= {
            ("serena williams", "PER"),
            ("oslo", "LOC"),
        }


def test_posts_without_names_make_no_lists() -> None:
    plain = SpanExample("so tired", tokenize("so tired"), lang="en")
    assert {copy.text for copy in all_copies(plain)} == {"SO TIRED"}
