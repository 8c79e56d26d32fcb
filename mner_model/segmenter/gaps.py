"""Whether a space belongs after each character of a hashtag: a CNN over its characters, then a Bi-LSTM.

The segmenter of TriMod ("TriMod Fusion for Multimodal Named Entity Recognition in Social Media"). Letters are read
without accents and case, and case beside them, so that camelCase tells as much as the letters do. Each character
also brings the frequencies of all words that end and begin with it, so the network need not spell a dictionary.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from mner_model.network.batch import rows_by_length
from mner_model.network.encoders import BiLSTM
from mner_model.segmenter.words import Lexicon
from mner_model.text.vocabulary import PADDING, UNKNOWN

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789_"
_IDS = {character: id_ for id_, character in enumerate(ALPHABET, start=2)}
_CASES = 5  # padding, lower, upper, digit, other
_LONGEST_WORD = 12
_CHARACTERS_PER_CALL = 4_096  # padded


@dataclass(frozen=True)
class GapConfig:
    """Sizes of the gap model; `filters` is the number of each width."""

    char_dimension: int = 32
    case_dimension: int = 8
    filters: int = 64
    widths: tuple[int, ...] = (3, 5, 7)
    hidden: int = 96
    dropout: float = 0.2


@dataclass(frozen=True, slots=True)
class Hashtags:
    """Padded hashtags in numbers.

    char_ids  int64 [hashtags, characters]                   letters without case or accent, 0 for padding
    case_ids  int64 [hashtags, characters]                   0 for padding
    words     float32 [hashtags, characters, 2 × 12]         frequencies of the words of 1 to 12 characters that end
                                                             here, then of those that begin here; 0 for no word
    """

    char_ids: Tensor
    case_ids: Tensor
    words: Tensor


class GapModel(nn.Module):
    """One logit for each character: of a space after it."""

    def __init__(self, config: GapConfig) -> None:
        """Raises ValueError if a width is even: a filter is centred on its character."""
        super().__init__()
        if not all(width % 2 for width in config.widths):
            raise ValueError(f"expected odd filter widths, got {list(config.widths)}")
        self.config = config
        self.characters = nn.Embedding(len(ALPHABET) + 2, config.char_dimension, padding_idx=PADDING)
        with torch.no_grad():
            self.characters.weight[UNKNOWN] = 0.0  # training never sees one, so nothing else would make it neutral
        self.cases = nn.Embedding(_CASES, config.case_dimension, padding_idx=PADDING)
        dimension = config.char_dimension + config.case_dimension + 2 * _LONGEST_WORD
        self.filters = nn.ModuleList(
            nn.Conv1d(dimension, config.filters, width, padding=width // 2) for width in config.widths
        )
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = BiLSTM(dimension + config.filters * len(config.widths), config.hidden)
        self.output = nn.Linear(self.lstm.dimension, 1)

    def forward(self, hashtags: Hashtags) -> Tensor:
        """Logits float32 [hashtags, characters]; those of a hashtag's last character and of padding mean nothing."""
        mask = hashtags.char_ids != PADDING
        vectors = torch.cat([self.characters(hashtags.char_ids), self.cases(hashtags.case_ids), hashtags.words], dim=2)
        across = vectors.transpose(1, 2)
        seen = torch.cat([torch.relu(conv(across)) for conv in self.filters], dim=1).transpose(1, 2)
        states = self.lstm(self.dropout(torch.cat([vectors, seen * mask.unsqueeze(2)], dim=2)), mask)
        return cast(Tensor, self.output(self.dropout(states)).squeeze(2))

    @torch.inference_mode()
    def gap_logits(self, hashtags: Sequence[str], lexicon: Lexicon) -> list[list[float]]:
        """Log odds of a space in each gap, one list a hashtag, one number fewer than it has characters."""
        logits: list[list[float]] = [[] for _ in hashtags]
        for indices in rows_by_length(list(map(len, hashtags)), _CHARACTERS_PER_CALL):
            rows = self(in_numbers([hashtags[index] for index in indices], lexicon)).tolist()
            for index, row in zip(indices, rows, strict=True):
                logits[index] = row[: len(hashtags[index]) - 1]
        return logits


def in_numbers(hashtags: Sequence[str], lexicon: Lexicon, unknown: Sequence[Collection[str]] | None = None) -> Hashtags:
    """What the model reads of hashtags, none of them empty.

    unknown  words of each hashtag that are to look as if the lexicon did not have them; None: none
    """
    size = (len(hashtags), max(map(len, hashtags)))
    char_ids, case_ids = torch.full(size, PADDING), torch.full(size, PADDING)
    words = torch.zeros(*size, 2 * _LONGEST_WORD)
    for row, hashtag in enumerate(hashtags):
        ids = torch.tensor([_character_ids(character) for character in hashtag])
        char_ids[row, : len(hashtag)], case_ids[row, : len(hashtag)] = ids[:, 0], ids[:, 1]
        plain = plain_letters(hashtag)
        hidden = unknown[row] if unknown is not None else ()
        found = [
            (end - 1, length - 1, start, _LONGEST_WORD + length - 1, frequency)
            for start in range(len(plain))
            for length in range(1, min(_LONGEST_WORD, len(plain) - start) + 1)
            if (frequency := lexicon.frequency(plain[start : (end := start + length)]))
            and plain[start:end] not in hidden
        ]
        if found:
            last, ending, first, beginning, frequencies = zip(*found, strict=True)
            words[row, last, ending] = torch.tensor(frequencies)
            words[row, first, beginning] = torch.tensor(frequencies)
    return Hashtags(char_ids, case_ids, words)


def plain_letters(text: str) -> str:
    """In lower case and without accents, one character for each: É → e."""
    return text.lower() if text.isascii() else "".join(map(_plain_letter, text))


@lru_cache(maxsize=4096)
def _plain_letter(character: str) -> str:
    return unicodedata.normalize("NFKD", character)[0].lower()[:1]


@lru_cache(maxsize=4096)
def _character_ids(character: str) -> tuple[int, int]:
    cases = (character.islower(), character.isupper(), character.isdigit(), True)
    return _IDS.get(_plain_letter(character), UNKNOWN), 1 + cases.index(True)
