"""Tokens as pieces of words in many languages, for a tagger whose words are made of them.

A run of tokens with no space between (東京都の, Obama's) is cut as a whole by a unigram language model (Kudo 2018), so
that what has no spaces is cut where its words are. Each token then has the pieces that lie over it. A character of a
script without spaces has its own piece beside them, and a mark of where it stands in a longer one: first, last or
between.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mner_model.text.tokenizer import URL_FORM, Tokens

FIRST_PIECE = 4  # 0 is no piece; then come the marks
_BEGINS, _GOES_ON, _ENDS = 1, 2, 3
WORD_BEGINS = "▁"
_MOST_PIECES = 8  # of a token
_LONGEST_REMEMBERED = 48  # run, in characters
_REMEMBERED = 65_536
_SPACELESS = re.compile(
    "[\\u0e00-\\u0eff\\u1000-\\u109f\\u1100-\\u11ff\\u1780-\\u17ff\\u3040-\\u30ff\\u3400-\\u9fff\\uac00-\\ud7ff]"
)


class WordPieces:
    """Pieces by number, from `FIRST_PIECE` on."""

    def __init__(self, pieces: Iterable[str], scores: Iterable[float]) -> None:
        """scores: log-probability of each piece. Raises ValueError for a piece that comes twice, or none at all."""
        from tokenizers.models import Unigram

        self.pieces: tuple[str, ...] = tuple(pieces)
        self.scores: tuple[float, ...] = tuple(scores)
        if not self.pieces or len(self.pieces) != len(self.scores):
            raise ValueError(f"expected pieces with a score each, got {len(self.pieces)} and {len(self.scores)}")
        self._ids = {piece: number for number, piece in enumerate(self.pieces, start=FIRST_PIECE)}
        if len(self._ids) != len(self.pieces):
            raise ValueError("expected each piece once, one comes twice")
        least = min(self.scores) - 1.0
        self._model = Unigram([("<none>", least), *zip(self.pieces, self.scores, strict=True)], 0, False)
        self._cut_short = lru_cache(maxsize=_REMEMBERED)(self._cut)

    def __len__(self) -> int:
        return len(self.pieces) + FIRST_PIECE

    def ids(self, tokens: Tokens) -> list[tuple[int, ...]]:
        """[tokens] numbers of the pieces that lie over each token, eight at most, and of marks; none of an address."""
        found: list[tuple[int, ...]] = []
        at = 0
        while at < len(tokens):
            end = at + 1
            if tokens.forms[at] == URL_FORM:
                found.append(())
            else:
                while end < len(tokens) and tokens.is_glued(end) and tokens.forms[end] != URL_FORM:
                    end += 1
                surfaces = tokens.surfaces[at:end]
                cut = self._cut_short if sum(map(len, surfaces)) <= _LONGEST_REMEMBERED else self._cut
                found += cut(surfaces, begins=at == 0 or not tokens.is_glued(at))
            at = end
        return found

    def _cut(self, surfaces: tuple[str, ...], *, begins: bool) -> Sequence[tuple[int, ...]]:
        """The pieces over each of the tokens of one run; begins: whether a word begins with it."""
        mark = WORD_BEGINS if begins else ""
        over: list[tuple[int, int, int]] = []  # each character: where its piece begins and ends, and its number
        end = -len(mark)
        for piece in self._model.tokenize(mark + "".join(surfaces)):
            start, end = max(0, end), end + len(piece.value)
            # what no piece covers comes out as number 0
            number = piece.id + FIRST_PIECE - 1 if piece.id else 0
            over += [(start, end, number)] * (end - start)
        found, start = [], 0
        for surface in surfaces:
            stop = start + len(surface)
            found.append(self._bag(surface, start, stop, dict.fromkeys(over[start:stop])))
            start = stop
        return found

    def _bag(self, surface: str, start: int, stop: int, over: Iterable[tuple[int, int, int]]) -> tuple[int, ...]:
        """The numbers of one token's pieces: those over it, its own if it has one beside a longer one, and its mark."""
        bag = [number for _, _, number in over if number]
        if _SPACELESS.match(surface):
            own = self._ids.get(surface)
            if own is not None and own not in bag:
                bag.append(own)
        marks = [_mark(start, stop, *ends) for *ends, number in over if number]
        return (*bag[:_MOST_PIECES], *(marks[:1] if len(marks) == 1 and marks[0] else ()))


def _mark(start: int, stop: int, piece_start: int, piece_end: int) -> int:
    """Where a token stands in a piece that is longer than it; 0 in one that is not."""
    if piece_start < start:
        return _ENDS if piece_end <= stop else _GOES_ON
    return _BEGINS if piece_end > stop else 0
