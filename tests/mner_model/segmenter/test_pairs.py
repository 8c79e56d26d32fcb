"""Counts of words and pairs: read, kept small, and told of a segmentation."""

import gzip
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mner_model.data.lines import DataError
from mner_model.segmenter import pairs as hashtag_pairs
from mner_model.segmenter.data import word_runs
from mner_model.segmenter.pairs import (
    CORPUS_WORDS,
    WebCounts,
    WordPairs,
    count_pairs,
    pair_features,
    read_forum_words,
    read_web_counts,
)
from mner_model.segmenter.words import Lexicon

LEXICON = Lexicon(["new", "york", "times", "of", "newyork"], {})
WEB = WebCounts(
    {"new": 10**9, "york": 10**8, "of": 10**10, "newyork": 10**6, "rare": 10**6},
    {("new", "york"): 5 * 10**7, ("of", "new"): 10**6, ("new", "rare"): 10**6},
)
PAIRS = WordPairs.counted(LEXICON, WEB, {("york", "times"): 3})


def test_counts_are_read_and_added_up_without_case(tmp_path: Path) -> None:
    (tmp_path / "unigrams.txt").write_text("New\t7\nnew\t5\n")
    (tmp_path / "bigrams.txt").write_text("New York\t3\nnew york\t4\n")
    assert read_web_counts(tmp_path) == WebCounts({"new": 12}, {("new", "york"): 7})


@pytest.mark.parametrize("line", ["new york", "new york\tmany", "new\t3", "new york times\t3"])
def test_a_line_that_is_no_count_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "unigrams.txt").write_text("new\t7\n")
    (tmp_path / "bigrams.txt").write_text(f"new york\t3\n{line}\n")
    with pytest.raises(DataError, match=r"bigrams\.txt:2: expected 2 words, TAB and a count"):
        read_web_counts(tmp_path)


def test_forum_words_are_read_and_added_up_without_case_and_apostrophe(tmp_path: Path) -> None:
    (tmp_path / "words.json.gz").write_bytes(gzip.compress(b'{"Lol": -2.0, "lol": -2.0, "it\'s": -1.0}'))
    found = read_forum_words(tmp_path / "words.json.gz")
    assert found == pytest.approx({"lol": math.log(2) - 2.0, "its": -1.0})


@pytest.mark.parametrize(
    "content", [b"not gzip", gzip.compress(b"[1]"), gzip.compress(b'{"a": "b"}')], ids=["none", "list", "words"]
)
def test_a_file_that_holds_no_forum_words_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.json.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"words\.json\.gz: expected a gzipped JSON object"):
        read_forum_words(tmp_path / "words.json.gz")


@pytest.mark.parametrize(
    ("package", "name", "read"),
    [("wordsegment", "wordsegment", read_web_counts), ("spacy_lookups_data", "spacy-lookups-data", read_forum_words)],
)
def test_a_package_that_is_not_installed_names_the_extra(
    package: str, name: str, read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashtag_pairs, "find_spec", lambda wanted: None if wanted == package else find_spec(wanted))
    with pytest.raises(DataError) as refused:
        read()
    needs = f"{name} is not installed: pip install 'mner-stream[segmenter]', or name a file or folder of your own"
    assert str(refused.value) == needs


def test_pairs_are_counted_within_runs() -> None:
    assert count_pairs(word_runs("New York, new york times")) == {("new", "york"): 2, ("york", "times"): 1}


def test_pairs_that_say_something_are_kept() -> None:
    assert PAIRS.pair("new", "york")[0] is not None
    assert PAIRS.pair("of", "new") == (None, 0)  # fewer than chance
    assert PAIRS.pair("new", "rare") == (None, 0)  # not in the lexicon
    assert PAIRS.pair("york", "times") == (None, 3)
    assert PAIRS.pair("times", "york") == (None, 0)


@given(count=st.integers(1, 3 * 10**10))
def test_a_byte_tells_a_count_to_a_twentieth_of_its_logarithm(count: int) -> None:
    [found] = [WordPairs.counted(Lexicon(["x"], {}), WebCounts({"x": count}, {}), {}).log_frequency("x")]
    assert found is not None
    assert found == pytest.approx(math.log(count / CORPUS_WORDS), abs=0.0501 if count > 1 else 0.11)


def test_information_is_that_of_the_pair_beyond_its_words() -> None:
    told = dict(pair_features(["new", "york"], PAIRS, {}))
    expected = math.log(5 * 10**7 * CORPUS_WORDS / (10**9 * 10**8))
    assert told["pair information"] * 5 == pytest.approx(expected, abs=0.15)
    assert told["pair against joined"] * 5 == pytest.approx(math.log(50), abs=0.1)


def test_one_word_tells_nothing_and_order_counts() -> None:
    assert list(pair_features(["newyork"], PAIRS, {})) == []
    assert dict(pair_features(["york", "new"], PAIRS, {})).keys() == {"no pair", "no pair, expected"}


def test_a_pair_that_is_missing_is_told_by_what_its_words_lead_to_expect() -> None:
    told = dict(pair_features(["of", "york"], PAIRS, {}))
    expected = math.log(10**10 * 10**8 / CORPUS_WORDS**2) + 16
    assert told["no pair, expected"] * 5 == pytest.approx(expected, abs=0.1)


def test_a_hashtags_own_post_is_no_evidence_for_its_pairs() -> None:
    assert dict(pair_features(["york", "times"], PAIRS, {})) == {"pair in posts": math.log1p(3)}
    assert dict(pair_features(["york", "times"], PAIRS, {("york", "times"): 3})) == {}


def test_pairs_of_another_list_of_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected words \[1\]"):
        WordPairs(Lexicon(["x"], {}), **PAIRS.tensors)


def test_what_is_kept_is_what_comes_back() -> None:
    again = WordPairs(LEXICON, **PAIRS.tensors)
    assert again.pair("new", "york") == PAIRS.pair("new", "york")
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in PAIRS.tensors.items())
