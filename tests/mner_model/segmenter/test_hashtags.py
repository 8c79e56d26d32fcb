"""The search against every segmentation there is, and what any text from strangers may expect."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mner_model.errors import CheckpointError
from mner_model.segmenter.data import read_hashtags
from mner_model.segmenter.gaps import GapConfig, GapModel, in_numbers, plain_letters
from mner_model.segmenter.hashtags import (
    FILES,
    FILES_ALWAYS,
    HashtagSegmenter,
    best_path,
    best_paths,
    candidate_features,
    cuts,
    default_segmenter,
    path_features,
)
from mner_model.segmenter.pairs import WebCounts, WordPairs
from mner_model.segmenter.words import Lexicon

DEV = Path(__file__).parents[4] / "shared" / "data" / "hashtags" / "dev.tsv"
LEXICON = Lexicon(
    ["a", "i", "the", "new", "york", "times", "now", "here", "nowhere"], {"lol": 3, "york": 1}, {"nowhe": -12.5}
)
WEB = WebCounts({"new": 10**9, "york": 10**8, "here": 10**9}, {("new", "york"): 10**8, ("now", "here"): 10**7})
SMALL = GapConfig(char_dimension=4, case_dimension=2, filters=3, widths=(3, 5), hidden=5)


@pytest.fixture(scope="module")
def untrained() -> HashtagSegmenter:
    """Random everything: it cuts a lot, and anywhere."""
    torch.manual_seed(5)
    gaps = GapModel(SMALL)
    logits = [0.3] * 12
    hashtags = ("newYORKtimes", "i2009lol", "x_yz", "nowhere", "ABCde", "q", "12")
    names = {
        name
        for hashtag in hashtags
        for _, features in candidate_features(hashtag, LEXICON, logits)
        for name, _ in features
    }
    weights = dict(zip(sorted(names), torch.randn(len(names)).tolist(), strict=True))
    return HashtagSegmenter(LEXICON, gaps, {**weights, "word": -1.0})


@pytest.fixture(scope="module")
def ranking(untrained: HashtagSegmenter) -> HashtagSegmenter:
    """The same, with a say for word pairs."""
    weights = {"score": 0.5, "pair": 2.0, "pair information": -1.5, "joined alone": 1.0, "pair frequency": 0.7}
    pairs = WordPairs.counted(LEXICON, WEB, {("the", "now"): 2})
    return HashtagSegmenter(LEXICON, untrained.gaps, untrained.weights, None, pairs, weights)


@pytest.fixture(scope="module")
def shipped() -> HashtagSegmenter:
    return HashtagSegmenter.load()


def all_segmentations(length: int) -> list[list[tuple[int, int]]]:
    found = []
    for marks in itertools.product((False, True), repeat=length - 1):
        bounds = [0, *(at for at, mark in enumerate(marks, start=1) if mark), length]
        found.append(list(itertools.pairwise(bounds)))
    return found


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_the_search_finds_the_best_of_all_segmentations(length: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    candidates = [(start, end) for end in range(1, length + 1) for start in range(end)]
    scores = dict(zip(candidates, torch.randn(len(candidates), generator=generator).tolist(), strict=True))
    found = best_path(scores, length)
    best = max(sum(scores[word] for word in path) for path in all_segmentations(length))
    assert sum(scores[word] for word in found) == pytest.approx(best, abs=1e-9)
    assert found in all_segmentations(length)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 7), count=st.integers(1, 70), seed=st.integers(0, 10_000))
def test_the_search_finds_the_best_of_all_in_order(length: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    candidates = [(start, end) for end in range(1, length + 1) for start in range(end)]
    scores = dict(zip(candidates, torch.randn(len(candidates), generator=generator).tolist(), strict=True))
    found = best_paths(scores, length, count)
    sums = sorted((sum(scores[word] for word in path) for path in all_segmentations(length)), reverse=True)
    assert [total for total, _ in found] == pytest.approx(sums[:count], abs=1e-9)
    assert [sum(scores[word] for word in path) for _, path in found] == pytest.approx(sums[:count], abs=1e-9)
    assert len({tuple(path) for _, path in found}) == len(found)


@settings(max_examples=40, deadline=None)
@given(hashtag=st.text("newyorkhNOW", min_size=1, max_size=8))
def test_of_the_ten_that_score_highest_the_answer_is_ranked_first(ranking: HashtagSegmenter, hashtag: str) -> None:
    assert ranking.pairs is not None
    [logits] = ranking.gaps.gap_logits([hashtag], LEXICON)
    scores = ranking.scores(hashtag, logits)
    scored = [(sum(scores[word] for word in path), path) for path in all_segmentations(len(hashtag))]
    ranks = {
        tuple(hashtag[start:end] for start, end in path): sum(
            ranking.ranking.get(name, 0.0) * value
            for name, value in path_features(plain_letters(hashtag), score, path, ranking.pairs)
        )
        for score, path in sorted(scored, key=lambda one: -one[0])[:10]
    }
    assert ranks[tuple(ranking.segment([hashtag])[0])] == pytest.approx(max(ranks.values()), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(hashtag=st.text("aAiInNoOwWeE12_", min_size=1, max_size=9))
def test_no_segmentation_scores_above_the_one_given(untrained: HashtagSegmenter, hashtag: str) -> None:
    [logits] = untrained.gaps.gap_logits([hashtag], LEXICON)
    scores = untrained.scores(hashtag, logits)
    best = max(all_segmentations(len(hashtag)), key=lambda path: sum(scores[word] for word in path))
    ends = list(itertools.accumulate(map(len, untrained.segment([hashtag])[0])))
    assert sum(scores[word] for word in itertools.pairwise([0, *ends])) == pytest.approx(
        sum(scores[word] for word in best), abs=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(hashtag=st.text(max_size=40))
def test_the_words_join_to_the_hashtag(untrained: HashtagSegmenter, hashtag: str) -> None:
    for segment in (untrained.segment, untrained.segment_by_gaps):
        [words] = segment([hashtag])
        body = hashtag[1:] if hashtag[:1] in ("#", "＃") and segment == untrained.segment else hashtag
        assert "".join(words) == body
        assert all(words)


@settings(max_examples=25, deadline=None)
@given(hashtags=st.lists(st.text("abcnewyorkABC12é東_", max_size=30), max_size=6))
def test_batched_equals_single(untrained: HashtagSegmenter, hashtags: list[str]) -> None:
    assert untrained.segment(hashtags) == [untrained.segment([hashtag])[0] for hashtag in hashtags]


def test_no_hashtags_give_no_words(untrained: HashtagSegmenter) -> None:
    assert untrained.segment([]) == []
    assert untrained.segment(["", "#", "＃", "##"]) == [[], [], [], ["#"]]


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=20))
def test_plain_letters_keep_their_places(text: str) -> None:
    assert len(plain_letters(text)) == len(text)


def test_accents_and_case_are_set_aside_for_the_lexicon() -> None:
    assert plain_letters("ÉcoleNAÏVE") == "ecolenaive"


@pytest.mark.parametrize("sign", ["é", "👩🏽‍🚀", "🇳🇴", "कि"])
def test_what_a_reader_sees_as_one_character_stays_whole(sign: str) -> None:
    inside = set(range(2, 1 + len(sign)))
    assert inside.isdisjoint(cuts(f"a{sign}b"))


def test_other_scripts_are_parted_only_at_capitals() -> None:
    assert cuts("МоскваПитер") == [0, 6, 11]
    assert cuts("東京2020") == [0, 2, 3, 4, 5, 6]


def test_the_words_to_weigh_grow_with_the_length_and_not_its_square() -> None:
    for length in (100, 400):
        candidates = sum(1 for _ in candidate_features("x" * length, LEXICON, [0.0] * (length - 1)))
        assert candidates <= 32 * length + 1


def test_a_hashtag_is_looked_through_for_small_letters_once_and_not_for_each_word() -> None:
    class Noting(str):
        asked = 0

        def isupper(self) -> bool:
            Noting.asked += 1
            return super().isupper()

    words = dict(candidate_features(Noting("A" * 300), LEXICON, [0.0] * 299))
    assert ("capitals", 1.0) in words[10, 20]
    assert Noting.asked <= 1


def test_ten_thousand_characters_are_split(untrained: HashtagSegmenter) -> None:
    hashtag = "nowhereÉ東" * 1_111
    assert "".join(untrained.segment([hashtag])[0]) == hashtag


def test_a_hashtag_longer_than_any_word_may_still_be_one() -> None:
    hashtag = "s" * 50
    candidates = [candidate for candidate, _ in candidate_features(hashtag, LEXICON, [0.0] * 49)]
    assert (0, 50) in candidates
    assert best_path({candidate: float(candidate == (0, 50)) for candidate in candidates}, 50) == [(0, 50)]


def test_padding_changes_nothing_to_the_gap_model(untrained: HashtagSegmenter) -> None:
    with torch.inference_mode():
        alone = untrained.gaps(in_numbers(["newyork"], LEXICON))
        padded = untrained.gaps(in_numbers(["newyork", "nowherenewyorktimes"], LEXICON))[:1, :7]
    assert torch.allclose(alone, padded, atol=1e-6)


def test_the_gap_model_sees_words_where_they_end_and_begin_unless_hidden() -> None:
    words = in_numbers(["nowhere"], LEXICON).words[0]
    assert words[6, 7 - 1] == pytest.approx(LEXICON.frequency("nowhere"))
    assert words[3, 12 + 4 - 1] == pytest.approx(LEXICON.frequency("here"))
    hidden = in_numbers(["nowhere"], LEXICON, [{"nowhere", "now", "here"}]).words
    assert not hidden.any()


def test_an_even_filter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"odd filter widths, got \[2\]"):
        GapModel(GapConfig(widths=(2,)))


def test_a_saved_segmenter_comes_back_alike(ranking: HashtagSegmenter, tmp_path: Path) -> None:
    ranking.save(tmp_path / "once")
    again = HashtagSegmenter.load(tmp_path / "once")
    again.save(tmp_path / "twice")
    assert {path.name for path in (tmp_path / "once").iterdir()} == set(FILES)
    for file in (tmp_path / "once").iterdir():
        assert file.read_bytes() == (tmp_path / "twice" / file.name).read_bytes()
    assert again.lexicon.forum_words == LEXICON.forum_words
    assert again.segment(["newyork", "nowhere"]) == ranking.segment(["newyork", "nowhere"])


def test_a_segmenter_from_before_pairs_is_read_and_written_as_it_was(
    untrained: HashtagSegmenter, tmp_path: Path
) -> None:
    untrained.save(tmp_path / "once")
    again = HashtagSegmenter.load(tmp_path / "once")
    again.save(tmp_path / "twice")
    assert sorted(path.name for path in (tmp_path / "twice").iterdir()) == sorted(FILES_ALWAYS)
    assert json.loads((tmp_path / "twice" / "segmenter.json").read_text())["format"] == 1
    assert again.pairs is None


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_damaged_file_is_named(ranking: HashtagSegmenter, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "segmenter"
    ranking.save(folder)
    (folder / name).write_bytes(b"\xff{")
    with pytest.raises(CheckpointError, match=str(folder)):
        HashtagSegmenter.load(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        HashtagSegmenter.load(folder)


def test_an_older_segmenter_is_replaced_and_a_folder_of_somebody_elses_left_alone(
    untrained: HashtagSegmenter, tmp_path: Path
) -> None:
    folder = tmp_path / "segmenter"
    for _ in range(2):
        untrained.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["segmenter"]
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds thesis\.txt"):
        untrained.save(folder)
    assert len(list(folder.iterdir())) == 4


def test_another_format_is_refused(untrained: HashtagSegmenter, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    config = tmp_path / "segmenter.json"
    config.write_text(config.read_text().replace('"format": 1', '"format": 3'))
    with pytest.raises(CheckpointError, match="expected format 1 or 2, got 3"):
        HashtagSegmenter.load(tmp_path)


def test_the_shipped_segmenter_reads_capitals_numbers_and_small_letters(shipped: HashtagSegmenter) -> None:
    assert shipped.segment(["#BarackObama", "goodmorning", "ThingsILove", "summer2009", "swine_flu"]) == [
        ["Barack", "Obama"],
        ["good", "morning"],
        ["Things", "I", "Love"],
        ["summer", "2009"],
        ["swine", "_", "flu"],
    ]


def test_the_shipped_segmenter_takes_what_strangers_send(shipped: HashtagSegmenter) -> None:
    strange = ["\ud800", "\x00\n", "東京オリンピック", "e\u0301" * 40, "👩🏽‍🚀go", "ﷺ", "İstanbul", "ß" * 99]
    assert ["".join(words) for words in shipped.segment(strange)] == strange


def test_the_shipped_segmenter_is_small() -> None:
    assert sum(file.stat().st_size for file in default_segmenter().iterdir()) <= 6_000_000


@pytest.mark.skipif(not DEV.is_file(), reason="the hashtags of the research data are not here")
def test_the_shipped_segmenter_reaches_the_figure_in_the_readme(shipped: HashtagSegmenter) -> None:
    gold = read_hashtags(DEV)
    answers = shipped.segment([one.hashtag for one in gold])
    right = sum(one.is_exact(words) for one, words in zip(gold, answers, strict=True))
    assert right / len(gold) >= 0.89  # 89.7 % where it was measured; other processors round otherwise
