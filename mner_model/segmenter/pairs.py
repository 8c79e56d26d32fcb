"""Word pairs: how often two words stand side by side, on the web and in posts, and what that says of a segmentation.

Web counts are those of Google's Web Trillion Word Corpus (Brants and Franz 2006; Norvig 2009, "Natural Language Corpus
Data") in the form that the wordsegment package has them. Counts are kept as logarithms of one byte each, words as
ranks in the lexicon.
"""

import gzip
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from mner_model.data.lines import DataError, read_lines
from mner_model.segmenter.words import Features, Lexicon

Pair = tuple[str, str]

WEB_COUNTS_SOURCE = "Google Web Trillion Word Corpus, as wordsegment has it (Apache 2.0)"
FORUM_WORDS_SOURCE = "Reddit comments, as spacy-lookups-data has them (MIT)"

CORPUS_WORDS = 1_024_908_267_229
_LOG_CORPUS_WORDS = math.log(CORPUS_WORDS)
_STEPS = 10  # of one byte, for a natural logarithm's 1


@dataclass(frozen=True)
class WebCounts:
    """How often words, and pairs of words side by side, occur on the web; in lower case."""

    words: Mapping[str, int]
    pairs: Mapping[Pair, int]


def read_web_counts(folder: str | Path | None = None) -> WebCounts:
    """Reads unigrams.txt (word TAB count) and bigrams.txt (two words TAB count); None: wordsegment's.

    Counts of what differs in case alone are added up. Raises DataError with file and line for a line that is none,
    and where no folder is given and wordsegment is not installed.
    """
    folder = _package_folder("wordsegment") if folder is None else folder
    words: Counter[str] = Counter()
    for (word,), count in _counts(Path(folder) / "unigrams.txt", 1):
        words[word] += count
    pairs: Counter[Pair] = Counter()
    for (first, second), count in _counts(Path(folder) / "bigrams.txt", 2):
        pairs[first, second] += count
    return WebCounts(words, pairs)


def count_pairs(runs: Iterable[Sequence[str]]) -> Counter[Pair]:
    """How often two words stand side by side, in lower case."""
    return Counter((first.lower(), second.lower()) for run in runs for first, second in pairwise(run))


def read_forum_words(file: str | Path | None = None) -> dict[str, float]:
    """Reads words with the log of their share of all words, one gzipped JSON object; None: spacy-lookups-data's.

    That is of Reddit's comments. Shares of what differs in case and apostrophes alone are added up. Raises DataError
    for a file that is none, and where none is given and spacy-lookups-data is not installed.
    """
    if file is None:
        file = _package_folder("spacy_lookups_data") / "data" / "en_lexeme_prob.json.gz"
    shares: defaultdict[str, float] = defaultdict(float)
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for word, value in json.load(lines).items():
                shares[word.lower().replace("'", "")] += math.exp(value)
    except (OSError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: expected a gzipped JSON object of words and logarithms: {error}") from error
    return {word: math.log(share) for word, share in shares.items() if share > 0}


class WordPairs:
    """Log-frequencies of a lexicon's words and of pairs of them; a pair or word that is not there has none."""

    def __init__(self, lexicon: Lexicon, words: Tensor, pairs: Tensor, counts: Tensor) -> None:
        """From tensors, as `tensors` gives them.

        words   uint8 [ranked words]  10 × log of the count on the web, 0 for none
        pairs   int32 [pairs, 2]      ranks of first and second word, sorted, each pair once
        counts  uint8 [pairs, 2]      10 × log of the count on the web, 0 for none; count in posts, at most 255

        Raises ValueError for other shapes: made for another list of words.
        """
        if words.shape != (len(lexicon.ranked),) or pairs.shape != counts.shape or pairs.shape[1:] != (2,):
            raise ValueError(
                f"expected words [{len(lexicon.ranked)}], pairs and counts [pairs, 2], "
                f"got {list(words.shape)}, {list(pairs.shape)}, {list(counts.shape)}"
            )
        self.tensors = {"words": words, "pairs": pairs, "counts": counts}
        self._lexicon = lexicon
        self._words = bytes(words.tolist())
        # one number for a pair and one for its counts: tuples of a quarter of a million would take a second to make
        keys = pairs[:, 0].long() * len(lexicon.ranked) + pairs[:, 1]
        self._counts = dict(zip(keys.tolist(), (counts[:, 0].int() * 256 + counts[:, 1]).tolist(), strict=True))

    @classmethod
    def counted(cls, lexicon: Lexicon, web: WebCounts, in_posts: Mapping[Pair, int]) -> Self:
        """Keeps pairs of ranked words that stand side by side in posts, or on the web more often than by chance."""
        counts: dict[tuple[int, int], tuple[int, int]] = {}
        for pair in web.pairs.keys() | in_posts.keys():
            first, second = map(lexicon.rank, pair)
            if first is not None and second is not None and (pair in in_posts or _information(web, pair) > 0):
                counts[first, second] = (_byte(web.pairs.get(pair, 0)), min(in_posts.get(pair, 0), 255))
        ordered = sorted(counts)
        return cls(
            lexicon,
            torch.tensor([_byte(web.words.get(word, 0)) for word in lexicon.ranked], dtype=torch.uint8),
            torch.tensor(ordered, dtype=torch.int32).reshape(-1, 2),
            torch.tensor([counts[pair] for pair in ordered], dtype=torch.uint8).reshape(-1, 2),
        )

    def log_frequency(self, word: str) -> float | None:
        """Log of the share of the web's words, None for a word that is unknown there or not in the lexicon."""
        rank = self._lexicon.rank(word)
        return None if rank is None else _log_frequency(self._words[rank])

    def pair(self, first: str, second: str) -> tuple[float | None, int]:
        """Log of the share of the web's pairs (None for a pair unknown there), and the count in posts."""
        ranks = self._lexicon.rank(first), self._lexicon.rank(second)
        if ranks[0] is None or ranks[1] is None:
            return None, 0
        web, posts = divmod(self._counts.get(ranks[0] * len(self._lexicon.ranked) + ranks[1], 0), 256)
        return _log_frequency(web), posts


def pair_features(words: Sequence[str], pairs: WordPairs, own: Mapping[Pair, int]) -> Features:
    """Of words, in the form of `plain_letters`, standing side by side in this order.

    own  counts of pairs in the hashtag's own post, taken off those in posts, as `word_features` does
    """
    for first, second in pairwise(words):
        together, posts = pairs.pair(first, second)
        apart = [pairs.log_frequency(word) for word in (first, second)]
        joined = pairs.log_frequency(first + second)
        if together is not None:
            information = together - sum(map(_or_rare, apart))
            yield "pair", 1.0
            yield "pair information", information / 5
            yield "pair information above 0", max(0.0, information) / 5
            yield "pair frequency", (together + 16) / 5
            if joined is not None:
                yield "pair also joined", 1.0
                yield "pair against joined", (together - joined) / 5
        else:
            if None not in apart:
                yield "no pair", 1.0
                yield "no pair, expected", max(0.0, sum(map(_or_rare, apart)) + 16) / 5
            if joined is not None:
                yield "joined alone", 1.0
                yield "joined alone frequency", (joined + 12) / 5
        if (count := posts - own.get((first, second), 0)) > 0:
            yield "pair in posts", math.log1p(count)


def _package_folder(name: str) -> Path:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise DataError(
            f"{name.replace('_', '-')} is not installed: pip install 'mner-stream[segmenter]', "
            "or name a file or folder of your own"
        )
    return Path(found.origin).parent


def _information(web: WebCounts, pair: Pair) -> float:
    if pair not in web.pairs:
        return -math.inf
    apart = sum(_or_rare(_log_frequency(_byte(web.words.get(word, 0)))) for word in pair)
    return math.log(web.pairs[pair]) - _LOG_CORPUS_WORDS - apart


def _or_rare(log_frequency: float | None) -> float:
    """The web list's rarest words stand for those that it leaves out."""
    return math.log(12_711) - _LOG_CORPUS_WORDS if log_frequency is None else log_frequency


def _byte(count: int) -> int:
    return min(255, max(1, round(_STEPS * math.log(count)))) if count > 0 else 0


def _log_frequency(byte: int) -> float | None:
    return byte / _STEPS - _LOG_CORPUS_WORDS if byte else None


def _counts(path: Path, words: int) -> Iterator[tuple[list[str], int]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        left, _, count = line.rpartition("\t")
        found = left.lower().split(" ")
        if len(found) != words or not count.strip().isdecimal():
            raise DataError(f"{path}:{number}: expected {words} words, TAB and a count, got {line[:80]!r}")
        yield found, int(count)
