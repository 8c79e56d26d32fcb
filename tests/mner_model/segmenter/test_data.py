"""Gold hashtags as files have them, and made ones."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mner_model.data.lines import DataError
from mner_model.segmenter.data import (
    GoldHashtag,
    HashtagMaker,
    boundary_f1,
    count_words,
    fingerprint,
    read_hashtags,
    word_runs,
)

RUNS = [["so", "tired", "Today"], ["LOL"], ["the", "New", "York", "Times", "again"]]
RANKED = ["the", "times", "2009", "oslo"]


def write(folder: Path, content: str) -> Path:
    file = folder / "hashtags.tsv"
    file.write_text(content, encoding="utf-8")
    return file


def test_lines_become_hashtags_in_order(tmp_path: Path) -> None:
    file = write(tmp_path, "\ufeffgo #LetsGo!\tLetsGo\tlets go\tLets  Go\r\n\n#x\t#x\tX\t\n")
    assert read_hashtags(file) == [
        GoldHashtag("go #LetsGo!", "LetsGo", ("lets go", "Lets Go")),
        GoldHashtag("#x", "x", ("X",)),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("post only", "expected a post, a hashtag and a segmentation"),
        ("post\thashtag", "expected a post, a hashtag and a segmentation"),
        ("post\t\tno hashtag", "expected a post, a hashtag and a segmentation"),
        ("post\t#\t#", "expected a post, a hashtag and a segmentation"),
        ("post\ttwo words\ttwo words", "without spaces"),
        ("post\tgogo\tno go", "no segmentation has the letters of 'gogo'"),
    ],
)
def test_a_line_that_is_none_is_named_with_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    file = write(tmp_path, f"post\tfine\tfine\n{line}\n")
    with pytest.raises(DataError, match=rf"hashtags.tsv:2: .*{complaint}"):
        read_hashtags(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing.tsv: no such file"):
        read_hashtags(tmp_path / "missing.tsv")
    with pytest.raises(DataError, match="holds no hashtag"):
        read_hashtags(write(tmp_path, "\n"))
    (tmp_path / "latin.tsv").write_bytes(b"caf\xe9\tx\tx\n")
    with pytest.raises(DataError, match=r"latin\.tsv:1: byte 0xe9 is not UTF-8"):
        read_hashtags(tmp_path / "latin.tsv")


def test_signs_that_a_segmentation_adds_are_passed_over_and_other_letters_leave_it_out() -> None:
    gold = GoldHashtag("", "LetsGo", ("let's go", "Lets Go", "letsgo", "let us go"))
    assert gold.cuts() == [(), (4,)]


def test_exact_is_any_segmentation_without_case_but_with_every_sign() -> None:
    gold = GoldHashtag("", "letsgo", ("Let's go", "LETSGO"))
    assert gold.is_exact(["letsGO"])
    assert not gold.is_exact(["lets", "go"])


@pytest.mark.parametrize(
    ("hashtag", "segmentation", "answer", "right"),
    [
        ("letsgo", "Let's go", "lets go", True),
        ("letsgo", "Let's go", "let s go", True),
        ("letsgo", "Let's go", "letsgo", False),
        ("headfi", "head-fi", "headfi", True),
        ("wowcom", "wow.com", "wowcom", True),
        ("wowcom", "wow.com", "wow com", False),
        ("swine_flu", "swine _ flu", "swine _ flu", True),
    ],
)
def test_signs_aside_what_gold_adds_is_dropped_or_a_space(
    hashtag: str, segmentation: str, answer: str, right: bool
) -> None:
    assert GoldHashtag("", hashtag, (segmentation,)).is_exact_signs_aside(answer.split()) is right


def test_boundary_f1_counts_spaces_against_the_nearest_segmentation() -> None:
    gold = [
        GoldHashtag("", "abcd", ("abcd", "a b cd")),
        GoldHashtag("", "xyz", ("x yz",)),
        GoldHashtag("", "q", ("q",)),
    ]
    # right: a|b|cd both; found besides: xy|z, missed: x|yz
    assert boundary_f1(gold, [["a", "b", "cd"], ["xy", "z"], ["q"]]) == pytest.approx(2 * 2 / (3 + 3))
    assert boundary_f1(gold[2:], [["q"]]) == 1.0


def test_the_fingerprint_tells_other_gold_apart() -> None:
    one = [GoldHashtag("a post", "ab", ("a b",))]
    assert fingerprint(one) == fingerprint([GoldHashtag("another post", "ab", ("a b",))])
    assert fingerprint(one) != fingerprint([GoldHashtag("a post", "ab", ("ab",))])


def test_hashtags_names_and_addresses_break_a_run_and_are_not_in_it() -> None:
    text = "I can't wait, #GoTeam go-go @someone café http://x.yz/a_b &amp; more"
    assert word_runs(text) == [["I", "cant", "wait"], ["go", "go"], ["caf"], ["more"]]


def test_words_are_counted_without_case() -> None:
    assert count_words([["Go", "go"], ["team"]]) == {"go": 2, "team": 1}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_made_hashtags_are_words_of_the_text_or_the_list_joined(seed: int) -> None:
    known = {word.lower() for run in RUNS for word in run} | {*RANKED}
    maker = HashtagMaker(RUNS, RANKED, seed)
    for _ in range(20):
        hashtag, cuts = maker.make()
        bounds = [0, *cuts, len(hashtag)]
        words = [hashtag[start:end] for start, end in itertools.pairwise(bounds)]
        assert all(word.lower() in known or word.isdigit() for word in words)


def test_the_same_seed_makes_the_same_hashtags() -> None:
    first, second, other = (HashtagMaker(RUNS, RANKED, seed) for seed in (3, 3, 4))
    made = [first.make() for _ in range(50)]
    assert made == [second.make() for _ in range(50)]
    assert made != [other.make() for _ in range(50)]


def test_nothing_to_make_hashtags_of_is_refused() -> None:
    with pytest.raises(DataError, match="got 0 runs, 3 words"):
        HashtagMaker([], RANKED, 0)
