"""Hashtags with gold segmentations, and hashtags made by joining words of running text."""

import bisect
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import regex

from mner_model.data.lines import DataError, read_lines

Cuts = tuple[int, ...]

# an address, a name, another hashtag and an escaped sign break a run of words
_BREAK = regex.compile(r"https?://\S+|www\.\S+|[@#]\s?\w+|&\w+;|[^\w\s'’-]+")
_NO_LETTER = regex.compile(r"[^A-Za-z0-9]")
_NUMBERS = ("1", "2", "3", "4", "5", "20", "08", "09", "10", "11", "2009", "2010")


@dataclass(frozen=True)
class GoldHashtag:
    """A hashtag (without #), the post it stands in, and the segmentations people gave, words separated by spaces."""

    post: str
    hashtag: str
    segmentations: tuple[str, ...]

    def cuts(self) -> list[Cuts]:
        """Positions of the spaces, one tuple a segmentation, each once.

        Signs that a segmentation adds ("let's" in #letsgo) are passed over; one with other letters is left out.
        """
        found = (_cuts(self.hashtag, segmentation) for segmentation in self.segmentations)
        return sorted({cuts for cuts in found if cuts is not None})

    def is_exact(self, words: Sequence[str]) -> bool:
        """Whether the words are one of the segmentations, letter for letter but for case."""
        return " ".join(words).lower() in {segmentation.lower() for segmentation in self.segmentations}

    def is_exact_signs_aside(self, words: Sequence[str]) -> bool:
        """Whether the words are one of the segmentations in the published reading, which is fairer and a little higher.

        Of a segmentation that adds signs to the hashtag ("let's go" of letsgo) the apostrophes, else the hyphens, are
        dropped or read as spaces, else the dots dropped: Maddela et al. 2019, `expand_gold_truths` of their code.
        """
        return " ".join(words).lower() in {
            reading.lower() for segmentation in self.segmentations for reading in self._readings(segmentation)
        }

    def _readings(self, segmentation: str) -> Iterator[str]:
        if segmentation.replace(" ", "").lower() == self.hashtag.lower():
            yield segmentation
        elif sign := next((sign for sign in "'-." if sign in segmentation), None):
            yield segmentation.replace(sign, "")
            if sign != ".":
                yield segmentation.replace(sign, " ")


def read_hashtags(path: str | Path) -> list[GoldHashtag]:
    """Reads post TAB hashtag TAB segmentation (TAB segmentation …) lines.

    Raises DataError with file and line for a line with too few fields, a hashtag that is empty or holds a space, or
    no segmentation with the letters of the hashtag.
    """
    path = Path(path)
    hashtags = [
        _gold_hashtag(f"{path}:{number}", line) for number, line in enumerate(read_lines(path), start=1) if line.strip()
    ]
    if not hashtags:
        raise DataError(f"{path}: holds no hashtag, expected lines of post TAB hashtag TAB segmentation")
    return hashtags


def fingerprint(hashtags: Iterable[GoldHashtag]) -> str:
    """sha256 over hashtags and segmentations in order: two runs with this in common saw the same gold."""
    digest = hashlib.sha256()
    for gold in hashtags:
        digest.update(("\t".join((gold.hashtag, *gold.segmentations)) + "\n").encode())
    return digest.hexdigest()


def word_runs(text: str) -> list[list[str]]:
    """Runs of words with nothing but spaces between them; apostrophes and accents are dropped, as hashtags do."""
    words = ([_NO_LETTER.sub("", word) for word in regex.split(r"[\s-]+", run)] for run in _BREAK.split(text))
    return [kept for run in words if (kept := [word for word in run if word])]


def count_words(runs: Iterable[Sequence[str]]) -> Counter[str]:
    """How often each word occurs, in lower case."""
    return Counter(word.lower() for run in runs for word in run)


class HashtagMaker:
    """Makes hashtags with known cuts: words of running text or of a frequency list, joined in the styles people use."""

    def __init__(self, runs: Sequence[Sequence[str]], ranked: Sequence[str], seed: int) -> None:
        """runs: of running text; ranked: words, the most frequent first; raises DataError if either is empty."""
        self._random = random.Random(seed)  # noqa: S311  no secret hangs on it
        self._runs = [run for run in runs if run]
        self._ranked = [word for word in ranked if word.isalpha()]
        if not self._runs or not self._ranked:
            raise DataError(f"expected running text and words, got {len(self._runs)} runs, {len(self._ranked)} words")
        self._run_sums = list(itertools.accumulate(len(run) for run in self._runs))
        # Zipf's law flattened, so that rare words come often enough to be learned
        self._rare_sums = list(itertools.accumulate((rank + 10) ** -0.5 for rank in range(len(self._ranked))))
        self._common_sums = list(itertools.accumulate((rank + 10) ** -0.75 for rank in range(len(self._ranked))))

    def make(self) -> tuple[str, Cuts]:
        """A hashtag and the positions of its spaces."""
        count = self._random.choices(range(1, 9), (30, 34, 18, 8, 4, 3, 2, 1))[0]
        words = self._styled(self._listed(min(count, 3)) if self._random.random() < 0.35 else self._running(count))
        ends = list(itertools.accumulate(map(len, words)))
        return "".join(words), tuple(ends[:-1])

    def _running(self, count: int) -> list[str]:
        for _ in range(5):
            run = self._runs[self._draw(self._run_sums)]
            if len(run) >= count:
                break
        start = self._random.randrange(max(1, len(run) - count + 1))
        return list(run[start : start + count])

    def _listed(self, count: int) -> list[str]:
        sums = self._rare_sums if self._random.random() < 0.5 else self._common_sums
        words = [self._ranked[self._draw(sums)] for _ in range(count)]
        if self._random.random() < 0.12:
            words.append(self._random.choice(_NUMBERS))
        return words

    def _draw(self, sums: Sequence[float]) -> int:
        return min(bisect.bisect(sums, self._random.random() * sums[-1]), len(sums) - 1)

    def _styled(self, words: list[str]) -> list[str]:
        style = self._random.random()
        if style < 0.62:
            return [word.lower() for word in words]
        if style < 0.80:
            return [word if word.isupper() and self._random.random() < 0.5 else word.capitalize() for word in words]
        if style < 0.85:
            return [words[0].capitalize(), *(word.lower() for word in words[1:])]
        if style < 0.88:
            return [word.upper() for word in words]
        if style < 0.91:
            return [word.capitalize() if self._random.random() < 0.6 else word.lower() for word in words]
        return words


def _gold_hashtag(place: str, line: str) -> GoldHashtag:
    post, *fields = line.split("\t")
    given, *segmentations = fields or [""]
    hashtag = given.removeprefix("#")
    segmentations = [" ".join(segmentation.split()) for segmentation in segmentations if segmentation.strip()]
    if not hashtag or not segmentations:
        raise DataError(f"{place}: expected a post, a hashtag and a segmentation separated by TAB, got {line[:80]!r}")
    if any(character.isspace() for character in hashtag):
        raise DataError(f"{place}: expected a hashtag without spaces, got {given[:80]!r}")
    gold = GoldHashtag(post, hashtag, tuple(segmentations))
    if not gold.cuts():
        raise DataError(f"{place}: no segmentation has the letters of {given[:80]!r}, got {segmentations[0][:80]!r}")
    return gold


def _cuts(hashtag: str, segmentation: str) -> Cuts | None:
    position, cuts = 0, set()
    for character in segmentation:
        if character == " ":
            if 0 < position < len(hashtag):
                cuts.add(position)
        elif position < len(hashtag) and character.lower() == hashtag[position].lower():
            position += 1
        elif character.isalnum():
            return None
    return tuple(sorted(cuts)) if position == len(hashtag) else None


def boundary_f1(gold: Iterable[GoldHashtag], answers: Iterable[Sequence[str]]) -> float:
    """F1 of the positions of spaces, over all hashtags; of several segmentations the nearest to the answer counts."""
    right, found, expected = 0, 0, 0
    for one, words in zip(gold, answers, strict=True):
        positions = set(itertools.accumulate(map(len, words[:-1])))
        nearest = min(one.cuts(), key=lambda cuts: len(positions.symmetric_difference(cuts)))
        right += len(positions.intersection(nearest))
        found += len(positions)
        expected += len(nearest)
    return 2 * right / (found + expected) if found + expected else 1.0
