"""Hashtags into words: gap model and word features in one score, and the segmentation that scores highest.

score = Σ over words of weights · word features + Σ over the gaps cut of weights · gap features: a semi-Markov
conditional random field (Sarawagi and Cohen 2004) over the gap model's log odds and a frequency list. Trained on
English; letters of other scripts are parted only where a capital follows a small letter, as #МоскваПитер.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import regex
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mner_model.hashtag_gaps import GapConfig, GapModel, plain_letters
from mner_model.hashtag_words import Lexicon, gap_features, word_features
from mner_model.saved_folder import CheckpointError, check_folder, saved_folder

FORMAT = 1
CONFIG_FILE = "segmenter.json"
WEIGHTS_FILE = "gaps.safetensors"
WORDS_FILE = "words.txt"
LONGEST_WORD = 32

FILES = (CONFIG_FILE, WEIGHTS_FILE, WORDS_FILE)

MARKS = ("#", "＃")
_CHARACTER = regex.compile(r"\X")
_LATIN = regex.compile(r"\p{Latin}")

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
    ) -> None:
        """`weights` of the features by name, 0 for one that is not there; `training` tells people how it was made."""
        self.lexicon = lexicon
        self.gaps = gaps.eval()
        self.weights = dict(weights)
        self.training = dict(training or {})

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Self:
        """Reads what `save` wrote; None: the segmenter in the package.

        Raises CheckpointError in one sentence for a folder that is none, misses a file or holds a damaged one.
        """
        folder = Path(folder) if folder is not None else default_segmenter()
        for name in FILES:
            if not (folder / name).is_file():
                raise CheckpointError(
                    f"segmenter {folder}: {name} is missing, expected the folder that `train-segmenter` wrote"
                )
        try:
            config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            if config["format"] != FORMAT:
                raise CheckpointError(f"segmenter {folder}: expected format {FORMAT}, got {config['format']!r}")
            lexicon = _read_words(folder / WORDS_FILE, config["ranked_words"])
            gaps = GapModel(GapConfig(**config["gaps"]))
            gaps.load_state_dict({name: value.float() for name, value in load_file(folder / WEIGHTS_FILE).items()})
            return cls(lexicon, gaps, config["weights"], config["training"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"segmenter {folder}: does not describe a segmenter: {error}") from error

    def save(self, folder: str | Path) -> None:
        """Writes the gap model's weights in float16, the words with their counts, and the rest as JSON.

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
        config = {
            "format": FORMAT,
            "gaps": self.gaps.config.to_json(),
            "ranked_words": len(self.lexicon.ranked),
            "weights": {name: round(weight, 4) for name, weight in sorted(self.weights.items())},
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
        return [_split(hashtag, next(logits)) if hashtag else [] for hashtag in hashtags]

    def _words(self, hashtag: str, logits: Sequence[float]) -> list[str]:
        scores = self.scores(hashtag, logits)
        return [hashtag[start:end] for start, end in best_path(scores, len(hashtag))]

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


def best_path(scores: Mapping[Candidate, float], length: int) -> list[Candidate]:
    """The words that cover 0 to `length` without a gap and whose scores sum highest; the first of equals.

    scores  by end, then start, as `candidate_features` gives them
    """
    best: dict[int, tuple[float, int]] = {0: (0.0, 0)}
    for (start, end), score in scores.items():
        total = best[start][0] + score
        if end not in best or total > best[end][0]:
            best[end] = (total, start)
    path: list[Candidate] = []
    end = length
    while end > 0:
        path.append((best[end][1], end))
        end = best[end][1]
    return path[::-1]


def _split(hashtag: str, logits: Sequence[float]) -> list[str]:
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


def _read_words(path: Path, ranked: int) -> Lexicon:
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    if len(lines) < ranked:
        raise ValueError(f"expected at least {ranked} words, got {len(lines)}: is {path.name} cut short?")
    pairs = [line.partition("\t") for line in lines]
    return Lexicon([word for word, _, _ in pairs[:ranked]], {word: int(count) for word, _, count in pairs if count})
