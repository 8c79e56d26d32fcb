"""Tokens as pieces of words in many languages, for a tagger whose words are made of them.

A run of tokens with no space between (東京都の, Obama's) is cut as a whole by a unigram language model (Kudo 2018), so
that what has no spaces is cut where its words are. Each token then has the pieces that lie over it; a character of a
script without spaces has its own piece beside them.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mner_model.text.tokenizer import URL_FORM, Tokens

PADDING_PIECE = 0
WORD_BEGINS = "▁"
_MOST_PIECES = 8  # of a token
_LONGEST_REMEMBERED = 48  # run, in characters
_REMEMBERED = 65_536
_SPACELESS = re.compile(
    "[\\u0e00-\\u0eff\\u1000-\\u109f\\u1100-\\u11ff\\u1780-\\u17ff\\u3040-\\u30ff\\u3400-\\u9fff\\uac00-\\ud7ff]"
)


class WordPieces:
    """Pieces by number, most wanted first; 0 is no piece."""

    def __init__(self, pieces: Iterable[str], scores: Iterable[float]) -> None:
        """scores: log-probability of each piece. Raises ValueError for a piece that comes twice, or none at all."""
        from tokenizers.models import Unigram

        self.pieces: tuple[str, ...] = tuple(pieces)
        self.scores: tuple[float, ...] = tuple(scores)
        if not self.pieces or len(self.pieces) != len(self.scores):
            raise ValueError(f"expected pieces with a score each, got {len(self.pieces)} and {len(self.scores)}")
        self._ids = {piece: number for number, piece in enumerate(self.pieces, start=1)}
        if len(self._ids) != len(self.pieces):
            raise ValueError("expected each piece once, one comes twice")
        # what no piece covers comes out as number 0
        least = min(self.scores) - 1.0
        self._model = Unigram([("<none>", least), *zip(self.pieces, self.scores, strict=True)], 0, False)
        self._cut_short = lru_cache(maxsize=_REMEMBERED)(self._cut)

    def __len__(self) -> int:
        return len(self.pieces) + 1

    def ids(self, tokens: Tokens) -> list[tuple[int, ...]]:
        """[tokens] numbers of the pieces that lie over each token, eight at most; none of an address."""
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
        over: list[tuple[int, int]] = []  # each character: where its piece ends, and the piece's number
        end = -len(mark)
        for piece in self._model.tokenize(mark + "".join(surfaces)):
            start, end = max(0, end), end + len(piece.value)
            over += [(end, piece.id)] * (end - start)
        found, start = [], 0
        for surface in surfaces:
            pieces = [id_ for _, id_ in dict.fromkeys(over[start : start + len(surface)]) if id_]
            if _SPACELESS.match(surface):
                own = self._ids.get(surface)
                if own is not None and own not in pieces:
                    pieces.append(own)
            found.append(tuple(pieces[:_MOST_PIECES]))
            start += len(surface)
        return found
