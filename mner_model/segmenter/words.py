"""What speaks for and against a stretch of a hashtag being one word: named features, which the segmenter weighs.

Words are known by their rank in a list sorted by frequency and by their count in posts, and words that the list leaves
out by their frequency in forums; beyond that length, capitals and digits count. No feature sees further than one word
and the hashtag as a whole, so the best of all segmentations by these features can be found exactly.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

Features = Iterator[tuple[str, float]]

_RANK_BOUNDS = (300, 3_000, 15_000, 60_000)
_LENGTH_BOUNDS = (2, 3, 4, 5, 7, 9, 12)
_ENDINGS = ("s", "es", "ed", "ing", "er", "ers", "y", "ly")
_COMMON_RANK = 60_000
_LOGIT_LIMIT = 4.0


class Lexicon:
    """Words by their rank among all words (0: the most frequent), and how often posts have them."""

    def __init__(
        self, ranked: Sequence[str], post_counts: Mapping[str, int], forum_words: Mapping[str, float] | None = None
    ) -> None:
        """forum_words: log of the share of words in forums, of words that are not ranked."""
        self.ranked = tuple(ranked)
        self.post_counts = dict(post_counts)
        self.forum_words = dict(forum_words or {})
        self._ranks = {word: rank for rank, word in enumerate(self.ranked)}
        # Zipf's law as a log-frequency, scaled to [0, 1.1]
        self._frequencies = [max(0.01, (13.5 - math.log(rank + 10)) / 10) for rank in range(len(self.ranked))]

    def rank(self, word: str) -> int | None:
        """None for a word that is not in the list."""
        return self._ranks.get(word)

    def frequency(self, word: str) -> float:
        """Estimated log-frequency on a scale from 0 (not in the list) to 1.1 (the most frequent)."""
        rank = self._ranks.get(word)
        return 0.0 if rank is None else self._frequencies[rank]

    def is_common(self, word: str) -> bool:
        """Whether the word is among the first 60,000."""
        return self._ranks.get(word, _COMMON_RANK) < _COMMON_RANK


def gap_features(hashtag: str, position: int, logit: float) -> Features:
    """Of a space before the character at `position` (1 or more), given the gap model's log odds of it."""
    before, after = hashtag[position - 1], hashtag[position]
    yield "gap logit", logit
    yield "gap logit limited", max(-_LOGIT_LIMIT, min(_LOGIT_LIMIT, logit))
    yield f"gap {_kind(before)} {_kind(after)}", 1.0


def word_features(hashtag: str, plain: str, start: int, end: int, lexicon: Lexicon, own: Mapping[str, int]) -> Features:
    """Of hashtag[start:end] being one word.

    plain  the hashtag by `plain_letters`
    own    counts of words in the hashtag's own post, taken off the lexicon's: in training the hashtag's post is
           among the counted, in use it is not
    """
    word, length = plain[start:end], end - start
    rank = lexicon.rank(word)
    count = lexicon.post_counts.get(word, 0) - own.get(word, 0)
    unknown = rank is None and word.isalpha()
    whole = length == len(hashtag)
    size = _bucket(length, _LENGTH_BOUNDS)
    yield "word", 1.0
    yield f"length {size}", 1.0
    yield f"length {size} rank {'none' if rank is None else _bucket(rank, _RANK_BOUNDS)}", 1.0
    yield "frequency", lexicon.frequency(word)
    if count > 0:
        yield "log count in posts", math.log1p(count)
    if rank is None:
        yield ("only in posts" if count > 0 else "nowhere"), 1.0
        if (forum_frequency := lexicon.forum_words.get(word)) is not None:
            yield "in forums", 1.0
            yield "in forums × frequency", (forum_frequency + 17) / 2
            yield f"in forums, length {size}", 1.0
            if whole:
                yield "in forums, whole", 1.0
    if unknown:
        yield "unknown", 1.0
        yield "unknown × length", length / 5
        if any(word.endswith(ending) and lexicon.is_common(word[: -len(ending)]) for ending in _ENDINGS if length > 3):
            yield "unknown with a common stem", 1.0
        if not whole:
            yield "unknown after" if start else "unknown first", 1.0
    if length == 1 or word.isdigit():
        yield from _sign_features(word)
    if whole:
        yield "whole", 1.0
        yield "whole × frequency", lexicon.frequency(word)
        yield "whole × length", length / 10
        if rank is None:
            yield "whole unknown", 1.0
    if length > 1:
        yield from _inside_features(hashtag[start:end], hashtag, known=rank is not None)


def _sign_features(word: str) -> Features:
    if word.isdigit():
        yield f"digits {min(len(word), 5)}", 1.0
        if len(word) == 4 and word[:2] in ("19", "20"):
            yield "year", 1.0
    elif word in ("a", "i"):
        yield word, 1.0
    elif word.isalpha():
        yield "single letter", 1.0
    else:
        yield "sign", 1.0


def _inside_features(surface: str, hashtag: str, *, known: bool) -> Features:
    """Of capitals and digits within a word."""
    whole = len(surface) == len(hashtag)
    if surface.isupper() and surface.isalpha():
        yield "capitals", 1.0
        if not _is_upper(hashtag):
            yield "capitals among small letters", 1.0
    elif not surface.islower():
        rises = sum(a.islower() and b.isupper() for a, b in pairwise(surface))
        if rises:
            yield "rise inside", 1.0
            yield "rises inside", rises / 3
            if known:
                yield "rise inside, known", 1.0
            if whole:
                yield "rise inside, whole", 1.0
    if not surface.isalpha() and not surface.isdigit():
        yield "mixed", 1.0
        if whole:
            yield "mixed whole", 1.0


@lru_cache(maxsize=16)
def _is_upper(hashtag: str) -> bool:
    """Kept, as each of its stretches asks, and with the whole looked through each time a long hashtag takes minutes."""
    return hashtag.isupper()


def _kind(character: str) -> str:
    if character.islower():
        return "lower"
    if character.isupper():
        return "upper"
    return "digit" if character.isdigit() else "letter" if character.isalpha() else "sign"


def _bucket(value: int, bounds: Sequence[int]) -> int:
    return sum(value >= bound for bound in bounds)
