"""Hashtags into words: gap model and word features in one score, and of the best by it the one whose pairs fit best.

score = Σ over words of weights · word features + Σ over the gaps cut of weights · gap features: a semi-Markov
conditional random field (Sarawagi and Cohen 2004) over the gap model's log odds and a frequency list. The ten that
score highest are ranked again by their score and by how often their words stand side by side elsewhere. Trained on
English; letters of other scripts are parted only where a capital follows a small letter, as #МоскваПитер.
"""

import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import regex
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file

from mner_model.errors import CheckpointError
from mner_model.files.saved_folder import check_folder, saved_folder
from mner_model.segmenter.gaps import GapConfig, GapModel, plain_letters
from mner_model.segmenter.pairs import Pair, WordPairs, pair_features
from mner_model.segmenter.words import Features, Lexicon, gap_features, word_features

FORMAT = 2
FORMAT_WITHOUT_PAIRS = 1  # checkpoints with the modality hashtag hold such ones
CONFIG_FILE = "segmenter.json"
WEIGHTS_FILE = "gaps.safetensors"
WORDS_FILE = "words.txt"
PAIRS_FILE = "pairs.safetensors.xz"
FORUM_WORDS_FILE = "forum_words.txt.xz"
LONGEST_WORD = 32
SHORT_LIST = 10

FILES_ALWAYS = (CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE)
FILES = (*FILES_ALWAYS, PAIRS_FILE, FORUM_WORDS_FILE)

MARKS = ("#", "＃")
_CHARACTER = regex.compile(r"\X")
_LATIN = regex.compile(r"\p{Latin}")

_DAMAGED = (SafetensorError, lzma.LZMAError, OSError, KeyError, TypeError, ValueError, RuntimeError)

Candidate = tuple[int, int]


def check_segmenter_destination(folder: Path) -> None:
    """Raises CheckpointError unless a segmenter may be written here: to nothing, an empty folder, or an older one."""
    check_folder(folder, FILES, "segmenter")


class HashtagSegmenter:
    """Splits hashtags into words; the same hashtag is always split the same way."""

    def __init__(
        self,
        lexicon: Lexicon,
        gaps: GapModel,
        weights: Mapping[str, float],
        training: Mapping[str, Any] | None = None,
        pairs: WordPairs | None = None,
        ranking: Mapping[str, float] | None = None,
    ) -> None:
        """`weights` of the features by name, 0 for one that is not there; `training` tells people how it was made.

        `ranking` weighs the features of whole segmentations by name; without `pairs` the one that scores highest is
        the answer.
        """
        self.lexicon = lexicon
        self.gaps = gaps.eval()
        self.weights = dict(weights)
        self.training = dict(training or {})
        self.pairs = pairs
        self.ranking = dict(ranking or {})

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Self:
        """Reads what `save` wrote; None: the segmenter in the package.

        Raises CheckpointError in one sentence for a folder that is none, misses a file or holds a damaged one.
        """
        folder = Path(folder) if folder is not None else default_segmenter()
        for name in FILES_ALWAYS:
            _check_there(folder, name)
        try:
            config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            if config["format"] not in (FORMAT_WITHOUT_PAIRS, FORMAT):
                raise CheckpointError(
                    f"segmenter {folder}: expected format {FORMAT_WITHOUT_PAIRS} or {FORMAT}, got {config['format']!r}"
                )
            forum_words: dict[str, float] = {}
            if config["format"] != FORMAT_WITHOUT_PAIRS:
                _check_there(folder, PAIRS_FILE)
                _check_there(folder, FORUM_WORDS_FILE)
                forum_words = _read_forum_words(folder / FORUM_WORDS_FILE)
            lexicon = _read_words(folder / WORDS_FILE, config["ranked_words"], forum_words)
            gaps = GapModel(GapConfig(**config["gaps"]))
            gaps.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS_FILE).items()})
            if config["format"] == FORMAT_WITHOUT_PAIRS:
                return cls(lexicon, gaps, config["weights"], config["training"])
            pairs = WordPairs(lexicon, **load(lzma.decompress((folder / PAIRS_FILE).read_bytes())))
            return cls(lexicon, gaps, config["weights"], config["training"], pairs, config["ranking"])
        except _DAMAGED as error:
            raise CheckpointError(f"segmenter {folder}: does not describe a segmenter: {error}") from error

    def save(self, folder: str | Path) -> None:
        """Writes the gap model's weights in float16, the words and pairs with their counts, and the rest as JSON.

        An older segmenter at this place is replaced, and stays whole until the new one is. Raises CheckpointError as
        `check_segmenter_destination` does.
        """
        with saved_folder(Path(folder), FILES, "segmenter") as draft:
            self.write(draft)

    def write(self, folder: Path) -> None:
        """Writes its files to a folder that is there, beside whatever it holds."""
        state = self.gaps.state_dict()
        save_file({name: value.half().contiguous() for name, value in state.items()}, folder / WEIGHTS_FILE)
        counts = self.lexicon.post_counts
        words = [*self.lexicon.ranked, *sorted(counts.keys() - set(self.lexicon.ranked))]
        lines = (f"{word}\t{counts[word]}\n" if word in counts else f"{word}\n" for word in words)
        (folder / WORDS_FILE).write_text("".join(lines), encoding="utf-8", newline="\n")
        if self.pairs is not None:
            (folder / PAIRS_FILE).write_bytes(lzma.compress(save(self.pairs.tensors)))
            forums = "".join(f"{word}\t{value:.1f}\n" for word, value in sorted(self.lexicon.forum_words.items()))
            (folder / FORUM_WORDS_FILE).write_bytes(lzma.compress(forums.encode()))
        config = {
            "format": FORMAT_WITHOUT_PAIRS if self.pairs is None else FORMAT,
            "gaps": asdict(self.gaps.config),
            "ranked_words": len(self.lexicon.ranked),
            "weights": _rounded(self.weights),
            **({} if self.pairs is None else {"ranking": _rounded(self.ranking)}),
            "training": self.training,
        }
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8", newline="\n")

    def segment(self, hashtags: Sequence[str]) -> list[list[str]]:
        """The words of each hashtag; joined they are the hashtag without its leading # (one, if there is any).

        Any text will do; an empty hashtag has no words. Time grows with the hashtag's length, not faster.
        """
        bodies = [hashtag[1:] if hashtag.startswith(MARKS) else hashtag for hashtag in hashtags]
        filled = [body for body in bodies if body]
        logits = iter(self.gaps.gap_logits(filled, self.lexicon))
        return [self._words(body, next(logits)) if body else [] for body in bodies]

    def segment_by_gaps(self, hashtags: Sequence[str]) -> list[list[str]]:
        """What the gap model says alone, a space wherever it is likelier than none: for comparison."""
        filled = [hashtag for hashtag in hashtags if hashtag]
        logits = iter(self.gaps.gap_logits(filled, self.lexicon))
        return [split_where_likely(hashtag, next(logits)) if hashtag else [] for hashtag in hashtags]

    def _words(self, hashtag: str, logits: Sequence[float]) -> list[str]:
        scores = self.scores(hashtag, logits)
        pairs = self.pairs
        path = best_path(scores, len(hashtag)) if pairs is None else self._ranked_first(hashtag, scores, pairs)
        return [hashtag[start:end] for start, end in path]

    def _ranked_first(self, hashtag: str, scores: Mapping[Candidate, float], pairs: WordPairs) -> list[Candidate]:
        weight = self.ranking.get
        plain = plain_letters(hashtag)

        def rank(scored: tuple[float, list[Candidate]]) -> float:
            features = path_features(plain, *scored, pairs)
            return sum(weight(name, 0.0) * value for name, value in features)

        return max(best_paths(scores, len(hashtag), SHORT_LIST), key=rank)[1]

    def scores(self, hashtag: str, logits: Sequence[float]) -> dict[Candidate, float]:
        """The score of each possible word [start, end) of a hashtag, by end, then start."""
        weight = self.weights.get
        return {
            candidate: sum(weight(name, 0.0) * value for name, value in features)
            for candidate, features in candidate_features(hashtag, self.lexicon, logits)
        }


def candidate_features(
    hashtag: str, lexicon: Lexicon, logits: Sequence[float], own: Mapping[str, int] | None = None
) -> Iterator[tuple[Candidate, list[tuple[str, float]]]]:
    """Each possible word [start, end) with its features and those of the gap before it, by end, then start.

    Words reach over up to 32 places where a space may be; the hashtag as a whole is always among them.
    own: as `word_features` takes it.
    """
    plain = plain_letters(hashtag)
    bounds = cuts(hashtag)
    gaps = {at: list(gap_features(hashtag, at, logits[at - 1])) for at in bounds[1:-1]}
    for index, end in enumerate(bounds[1:], start=1):
        starts = bounds[max(0, index - LONGEST_WORD) : index]
        if end == len(hashtag) and starts[0] > 0:
            starts = [0, *starts]
        for start in starts:
            word = word_features(hashtag, plain, start, end, lexicon, own or {})
            yield (start, end), [*gaps.get(start, ()), *word]


def cuts(hashtag: str) -> list[int]:
    """0, the places where a space may be, and the length: never within what a reader sees as one character."""
    starts = range(len(hashtag)) if hashtag.isascii() else [match.start() for match in _CHARACTER.finditer(hashtag)]
    inner = (at for at in starts if at and not _one_foreign_word(hashtag[at - 1], hashtag[at]))
    return [0, *inner, len(hashtag)]


def path_features(
    plain: str, score: float, path: Sequence[Candidate], pairs: WordPairs, own: Mapping[Pair, int] | None = None
) -> Features:
    """Of a segmentation as a whole: its score and its word pairs; plain: the hashtag by `plain_letters`.

    own: as `pair_features` takes it.
    """
    yield "score", score
    yield from pair_features([plain[start:end] for start, end in path], pairs, own or {})


def best_path(scores: Mapping[Candidate, float], length: int) -> list[Candidate]:
    """The words that cover 0 to `length` without a gap and whose scores sum highest; the first of equals.

    scores  by end, then start, as `candidate_features` gives them
    """
    return best_paths(scores, length, 1)[0][1]


def best_paths(scores: Mapping[Candidate, float], length: int, count: int) -> list[tuple[float, list[Candidate]]]:
    """The `count` segmentations whose scores sum highest, with the sum, the highest first; all where there are fewer.

    scores  by end, then start, as `candidate_features` gives them
    """
    # of each end the best ways to it: sum, where the last word starts, and which of the ways to that start
    best: dict[int, list[tuple[float, int, int]]] = {0: [(0.0, 0, 0)]}
    for end, ending in groupby(scores.items(), key=lambda scored: scored[0][1]):
        ways = [
            (total + score, start, place)
            for (start, _), score in ending
            for place, (total, _, _) in enumerate(best[start])
        ]
        best[end] = sorted(ways, key=itemgetter(0), reverse=True)[:count]  # the first of equals stays the first
    return [(best[length][place][0], _path(best, length, place)) for place in range(len(best[length]))]


def _path(best: Mapping[int, Sequence[tuple[float, int, int]]], end: int, place: int) -> list[Candidate]:
    path: list[Candidate] = []
    while end > 0:
        _, start, place = best[end][place]
        path.append((start, end))
        end = start
    return path[::-1]


def split_where_likely(hashtag: str, logits: Sequence[float]) -> list[str]:
    """The words of a hashtag with a space in each gap whose log odds are positive."""
    bounds = [0, *(at for at, logit in enumerate(logits, start=1) if logit > 0), len(hashtag)]
    return [hashtag[start:end] for start, end in pairwise(bounds)]


def default_segmenter() -> Path:
    """The folder of the segmenter that ships with the package."""
    return Path(str(resources.files("mner_model"))) / "default_segmenter"


def _one_foreign_word(before: str, after: str) -> bool:
    if before.isascii() or after.isascii() or not (before.isalpha() and after.isalpha()):
        return False
    if _LATIN.match(before) or _LATIN.match(after):
        return False
    return not (before.islower() and after.isupper())


def _check_there(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise CheckpointError(
            f"segmenter {folder}: {name} is missing, expected the folder that `train-segmenter` wrote"
        )


def _rounded(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: round(weight, 4) for name, weight in sorted(weights.items())}


def _read_words(path: Path, ranked: int, forum_words: Mapping[str, float]) -> Lexicon:
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    if len(lines) < ranked:
        raise ValueError(f"expected at least {ranked} words, got {len(lines)}: is {path.name} cut short?")
    pairs = [line.partition("\t") for line in lines]
    counts = {word: int(count) for word, _, count in pairs if count}
    return Lexicon([word for word, _, _ in pairs[:ranked]], counts, forum_words)


def _read_forum_words(path: Path) -> dict[str, float]:
    lines = lzma.decompress(path.read_bytes()).decode().splitlines()
    return {word: float(value) for word, _, value in (line.partition("\t") for line in lines)}
