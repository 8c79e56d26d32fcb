"""Posts for a pretrained Transformer: the tagger's tokens as pieces of its vocabulary, in windows that it can read.

The tagger keeps its own tokens (`mner_model.text.tokenizer`); each is represented by its first piece.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.text.tokenizer import URL_FORM, Tokens

if TYPE_CHECKING:
    from tokenizers import Encoding

CAPTION_MAX_WORDS = 24
_URL_WORD = "http"  # the letters of an address say nothing, and would fill the window


@dataclass(frozen=True, slots=True)
class TextPieces:
    """One post for the Transformer.

    windows      each int64 [pieces], special pieces included
    segments     each int64 [pieces]: 0 the text's, 1 the caption's where the Transformer tells them apart
    token_piece  int64 [tokens]  where a token's first piece is, counted over all windows
    """

    windows: tuple[npt.NDArray[np.int64], ...]
    segments: tuple[npt.NDArray[np.int64], ...]
    token_piece: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PieceBatch:
    """The padded windows of a batch's posts.

    piece_ids    int64 [windows, pieces]
    segment_ids  int64 [windows, pieces]
    piece_mask   bool [windows, pieces]
    token_index  int64 [batch, tokens]  where a token's first piece is among windows × pieces
    """

    piece_ids: Tensor
    segment_ids: Tensor
    piece_mask: Tensor
    token_index: Tensor

    def to(self, device: torch.device | str) -> "PieceBatch":
        """The same batch on another device."""
        return PieceBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


class PieceTokenizer:
    """Cuts tokens to pieces with the Transformer's own tokenizer."""

    def __init__(self, tokenizer_json: str, longest_window: int) -> None:
        """tokenizer_json: as the tokenizers library writes it. longest_window: most pieces the Transformer reads.

        Raises ValueError for JSON that is no tokenizer's.
        """
        from tokenizers import Tokenizer  # comes with transformers, an optional part of the package

        self.json = tokenizer_json
        self.longest_window = longest_window
        self._begins_words, tokenizer_json = _for_glued_words(tokenizer_json)
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises nothing more particular
            raise ValueError(f"expected a tokenizer as the tokenizers library writes it: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def pieces(self, tokens: Tokens, caption: str | None = None) -> TextPieces:
        """One post's pieces, with its image's caption as a second segment behind each window of the text.

        A token without a piece of its own (some signs have none) is represented by its window's first special piece.
        """
        words = [
            ("" if tokens.is_glued(position) else self._begins_words) + (_URL_WORD if form == URL_FORM else surface)
            for position, (surface, form) in enumerate(zip(tokens.surfaces, tokens.forms, strict=True))
        ]
        second = [self._begins_words + word for word in caption.split()[:CAPTION_MAX_WORDS]] if caption else None
        windows = self._windows(words, second)
        starts = accumulate((len(window) for window, _ in windows), initial=0)
        places = [
            start + _first_piece(window, number)
            for start, (window, count) in zip(starts, windows, strict=False)
            for number in range(count)
        ]
        return TextPieces(
            tuple(np.array(window.ids, dtype=np.int64) for window, _ in windows),
            tuple(np.array(window.type_ids, dtype=np.int64) for window, _ in windows),
            np.array(places, dtype=np.int64),
        )

    def _windows(self, words: Sequence[str], second: Sequence[str] | None) -> "list[tuple[Encoding, int]]":
        """The words in as few windows as they need, each with the number of its words.

        A word that is too long for a window of its own is cut.
        """
        whole = self._encode(words, second)
        if len(whole) <= self.longest_window:
            return [(whole, len(words))]
        windows = []
        for start, end in pairwise(self._cuts(whole, len(words))):
            window = self._encode(words[start:end], second)
            window.truncate(self.longest_window)
            windows.append((window, end - start))
        return windows

    def _cuts(self, whole: "Encoding", words: int) -> list[int]:
        """Where windows begin, in words, and the end of the last: each is filled before the next is begun."""
        lengths = Counter(
            word for word, sequence in zip(whole.word_ids, whole.sequence_ids, strict=True) if sequence == 0
        )
        room = self.longest_window - (len(whole) - lengths.total())  # beside the caption and special pieces
        cuts, filled = [0], 0
        for word in range(words):
            if filled and filled + lengths[word] > room:
                cuts.append(word)
                filled = 0
            filled += lengths[word]
        return [*cuts, words]

    def _encode(self, words: Sequence[str], second: Sequence[str] | None) -> "Encoding":
        return self._tokenizer.encode(list(words), second and list(second), is_pretokenized=True)


def _for_glued_words(tokenizer_json: str) -> tuple[str, str]:
    """What a tokenizer of XLM-R's kind sets before a word that follows a space, and the tokenizer without doing so.

    It takes every word that it is given alone for one behind a space, and ours need not be: 東京 are two tokens. So the
    mark is set where it belongs before the tokenizer comes to it. Others mark what continues a word, and "" is theirs.
    """
    try:
        described = json.loads(tokenizer_json)
        pre_tokenizer = described["pre_tokenizer"] or {}
    except (ValueError, KeyError, TypeError):
        return "", tokenizer_json  # whoever reads it next says what is wrong with it
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    marks = [step["replacement"] for step in steps if step.get("type") == "Metaspace"]
    if not marks:
        return "", tokenizer_json
    described["pre_tokenizer"] = None
    return marks[0], json.dumps(described, ensure_ascii=False)


def _first_piece(window: "Encoding", word: int) -> int:
    found = window.word_to_tokens(word, 0)
    return 0 if found is None else int(found[0])


def collate_pieces(posts: Sequence[TextPieces], longest_post: int) -> PieceBatch:
    """Pads the windows of posts, and the tokens of each to `longest_post`."""
    windows = [window for post in posts for window in post.windows]
    width = max(map(len, windows))
    piece_ids = np.zeros((len(windows), width), dtype=np.int64)
    segment_ids = np.zeros_like(piece_ids)
    piece_mask = np.zeros((len(windows), width), dtype=np.bool_)
    token_index = np.zeros((len(posts), longest_post), dtype=np.int64)
    row = 0
    for number, post in enumerate(posts):
        places = []  # among padded windows, of each piece of the post
        for window, segments in zip(post.windows, post.segments, strict=True):
            piece_ids[row, : len(window)] = window
            segment_ids[row, : len(window)] = segments
            piece_mask[row, : len(window)] = True
            places.append(row * width + np.arange(len(window)))
            row += 1
        token_index[number, : len(post.token_piece)] = np.concatenate(places)[post.token_piece]
    return PieceBatch(*map(torch.from_numpy, (piece_ids, segment_ids, piece_mask, token_index)))
