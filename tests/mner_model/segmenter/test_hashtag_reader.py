"""Which tokens of a post are hashtags, and what words they give."""

import pytest

from mner_model.data.conll import example_from_words
from mner_model.segmenter.hashtag_reader import HashtagReader, hashtags_of
from mner_model.segmenter.hashtags import HashtagSegmenter
from mner_model.text.tokenizer import tokenize


class Counting(HashtagSegmenter):
    """The shipped segmenter, with what it was asked."""

    asked: list[str]

    def segment(self, hashtags):  # type: ignore[no-untyped-def]
        self.asked += hashtags
        return super().segment(hashtags)


@pytest.fixture(scope="module")
def segmenter() -> Counting:
    loaded = Counting.load()
    loaded.asked = []
    return loaded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so #GoodMorning to #oslo2015 !", ["GoodMorning", "oslo2015"]),
        ("#one#two ##three #_x", ["one", "two", "three", "_x"]),
        ("＃wide", ["wide"]),
        ("# alone, #! #😀 &#39; C# and 5 #", []),
        ("#https://example.org/x", []),
        ("no hashtag", []),
        ("", []),
    ],
)
def test_a_hashtag_is_a_word_glued_behind_its_mark(text: str, expected: list[str]) -> None:
    assert hashtags_of(tokenize(text)) == expected


def test_a_hashtag_is_the_same_whether_its_data_splits_the_mark_off_or_not() -> None:
    words = [["at", "#GoodMorning", "all"], ["at", "#", "GoodMorning", "all"]]
    assert [hashtags_of(example_from_words(row, ["O"] * len(row)).tokens) for row in words] == [["GoodMorning"]] * 2


def test_words_are_the_segmenters_in_the_vocabularys_form_and_the_posts_order(segmenter: Counting) -> None:
    assert HashtagReader(segmenter).words(tokenize("Off to #NewYork again #goodmorning")) == [
        "new",
        "york",
        "good",
        "morning",
    ]


def test_a_hashtag_that_comes_again_is_not_segmented_again(segmenter: Counting) -> None:
    reader = HashtagReader(segmenter)
    segmenter.asked.clear()
    first, second = (reader.words(tokenize(text)) for text in ("#GoodMorning #GoodMorning", "hi #GoodMorning"))
    assert (first, second, segmenter.asked) == (["good", "morning"] * 2, ["good", "morning"], ["GoodMorning"])


def test_strangers_cannot_ask_for_more_than_so_many_characters(segmenter: Counting) -> None:
    reader = HashtagReader(segmenter)
    segmenter.asked.clear()
    assert reader.words(tokenize("#" + "x" * 9_000)) == []
    reader.words(tokenize(" ".join(f"#tag{number:05}" for number in range(1_000))))
    assert sum(map(len, segmenter.asked)) <= 256
    assert len(segmenter.asked) == 32
