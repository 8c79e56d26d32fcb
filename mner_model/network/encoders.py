"""One class per modality: what turns its numbers into one vector per token (or per post)."""

import math
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mner_model.text.vocabulary import PADDING


class WordEncoder(nn.Module):
    """Pretrained vectors of every word, frozen and in 8 bits, plus what training added to those it saw.

    vector = codes × scale + correction: `dimension` bytes and one float16 scale a word, and an exact correction for
    the first `trained` words of the vocabulary. A word beyond the training data keeps its pretrained vector.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, words: int, trained: int, dimension: int) -> None:
        super().__init__()
        self.correction = nn.Embedding(trained, dimension, padding_idx=PADDING)
        nn.init.zeros_(self.correction.weight)
        self.register_buffer("codes", torch.zeros(words, dimension, dtype=torch.int8))
        self.register_buffer("scales", torch.zeros(words, 1, dtype=torch.float16))
        self.dimension = dimension

    def set_pretrained(self, vectors: npt.NDArray[np.float32], *, unknown_deviation: float) -> None:
        """Takes over float32 [words, dimension], rounding each row to 8 bits of its own scale.

        A trained word whose row is all zeros starts from a random correction of this standard deviation.
        """
        codes, scales = quantise(vectors)
        if codes.shape != self.codes.shape:
            raise ValueError(f"expected vectors {list(self.codes.shape)}, got {list(codes.shape)}")
        self.codes.copy_(codes)
        self.scales.copy_(scales)
        with torch.no_grad():
            weight = self.correction.weight
            without = (codes[: len(weight)] == 0).all(dim=1, keepdim=True)
            weight.copy_(torch.where(without, torch.randn_like(weight) * unknown_deviation, 0.0))
            weight[PADDING] = 0.0

    def pretrained(self, word_ids: Tensor) -> Tensor:
        """word_ids int64 [...] → float32 [..., dimension] as before any training; zeros where there was no vector."""
        return self.codes[word_ids].float() * self.scales[word_ids].float()

    def forward(self, word_ids: Tensor) -> Tensor:
        """word_ids int64 [batch, tokens] → float32 [batch, tokens, dimension]."""
        trained = self.correction.num_embeddings
        correction = cast(Tensor, self.correction(word_ids.where(word_ids < trained, PADDING)))
        return self.pretrained(word_ids).to(correction.dtype) + correction


class PieceEncoder(nn.Module):
    """A token as the mean of its pieces' vectors: those of a larger model in 8 bits, and what training added to them.

    What was added is folded into the 8 bits when the training is done (`fold`), and is zero from then on.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, pieces: int, dimension: int, trained: int = 0) -> None:
        """trained: how many of the pieces, from the first on, training may change."""
        super().__init__()
        self.register_buffer("codes", torch.zeros(pieces, dimension, dtype=torch.int8))
        self.register_buffer("scales", torch.zeros(pieces, 1, dtype=torch.float16))
        self.correction = nn.Embedding(trained, dimension, padding_idx=PADDING) if trained else None
        if self.correction is not None:
            nn.init.zeros_(self.correction.weight)
        self.dimension = dimension

    def set_pretrained(self, vectors: npt.NDArray[np.float32]) -> None:
        """Takes over float32 [pieces, dimension], rounding each row to 8 bits of its own scale; row 0 is no piece."""
        codes, scales = quantise(vectors)
        if codes.shape != self.codes.shape:
            raise ValueError(f"expected vectors {list(self.codes.shape)}, got {list(codes.shape)}")
        self.codes.copy_(codes)
        self.scales.copy_(scales)

    @torch.no_grad()
    def fold(self) -> None:
        """Puts what training added into the 8 bits."""
        if self.correction is None:
            return
        vectors = self.codes.float() * self.scales.float()
        vectors[: self.correction.num_embeddings] += self.correction.weight
        self.set_pretrained(vectors.cpu().numpy())
        self.correction = None

    def forward(self, piece_ids: Tensor) -> Tensor:
        """piece_ids int64 [rows, pieces], 0 for padding → float32 [rows, dimension]; zeros for a row without pieces."""
        vectors = self.codes[piece_ids].float() * self.scales[piece_ids].float()
        if self.correction is not None:
            trained = self.correction.num_embeddings
            vectors = vectors + self.correction(piece_ids.where(piece_ids < trained, PADDING))
        here = (piece_ids != PADDING).unsqueeze(2)
        return (vectors * here).sum(dim=1) / here.sum(dim=1).clamp(min=1)


def quantise(vectors: npt.NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Rounds each row of float32 [words, dimension] to int8 codes and one float16 scale [words, 1]."""
    rows = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    scales = (rows.abs().amax(dim=1, keepdim=True) / 127).to(torch.float16).clamp(min=6e-8)
    codes = (rows / scales.float()).round().clamp(-127, 127).to(torch.int8)
    return codes, scales


class CharBiLSTM(nn.Module):
    """Characters read both ways; a word is the last state of each direction (Lample et al. 2016, section 4.1)."""

    def __init__(self, alphabet_size: int, dimension: int, hidden: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(alphabet_size, dimension, padding_idx=PADDING)
        self.forward_lstm = nn.LSTM(dimension, hidden, batch_first=True)
        self.backward_lstm = nn.LSTM(dimension, hidden, batch_first=True)
        self.dimension = 2 * hidden

    def forward(self, char_ids: Tensor) -> Tensor:
        """char_ids int64 [surfaces, characters] → float32 [surfaces, 2 × hidden]."""
        return _last_states(self.characters(char_ids), char_ids, self.forward_lstm, self.backward_lstm)


class CharBiGRU(nn.Module):
    """As `CharBiLSTM` with gated recurrent units: TriMod 2024's character encoder."""

    def __init__(self, alphabet_size: int, dimension: int, hidden: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(alphabet_size, dimension, padding_idx=PADDING)
        self.forward_gru = nn.GRU(dimension, hidden, batch_first=True)
        self.backward_gru = nn.GRU(dimension, hidden, batch_first=True)
        self.dimension = 2 * hidden

    def forward(self, char_ids: Tensor) -> Tensor:
        """char_ids int64 [surfaces, characters] → float32 [surfaces, 2 × hidden]."""
        return _last_states(self.characters(char_ids), char_ids, self.forward_gru, self.backward_gru)


def _last_states(vectors: Tensor, char_ids: Tensor, forward: nn.Module, backward: nn.Module) -> Tensor:
    """The last state of each direction at each surface's own length: [surfaces, 2 × hidden]."""
    lengths = (char_ids != PADDING).sum(dim=1)
    ahead, _ = forward(vectors)
    back, _ = backward(reverse_by_length(vectors, lengths))
    last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, ahead.shape[2])
    return torch.cat([ahead.gather(1, last), back.gather(1, last)], dim=2).squeeze(1)


class CharCNN(nn.Module):
    """Filters of 2, 3 and 4 characters with max pooling (Ma and Hovy 2016, section 2.1, several widths)."""

    def __init__(self, alphabet_size: int, dimension: int, filters: int, widths: tuple[int, ...] = (2, 3, 4)) -> None:
        super().__init__()
        self.characters = nn.Embedding(alphabet_size, dimension, padding_idx=PADDING)
        self.filters = nn.ModuleList(nn.Conv1d(dimension, filters, width, padding=width - 1) for width in widths)
        self.widths = widths
        self.dimension = filters * len(widths)

    def forward(self, char_ids: Tensor) -> Tensor:
        """char_ids int64 [surfaces, characters] → float32 [surfaces, filters × widths]; padding changes nothing."""
        vectors = self.characters(char_ids).transpose(1, 2)
        lengths = (char_ids != PADDING).sum(dim=1, keepdim=True).unsqueeze(1)
        pooled = []
        for width, conv in zip(self.widths, self.filters, strict=True):
            response = conv(vectors)
            # windows that begin after the word's last character see padding alone
            beyond = torch.arange(response.shape[2], device=response.device) >= lengths + width - 1
            pooled.append(response.masked_fill(beyond, -math.inf).amax(dim=2))
        return torch.relu(torch.cat(pooled, dim=1))


class BiLSTM(nn.Module):
    """Both directions over padded posts, the backward one on posts reversed by their own length.

    Faster on the CPU than packed sequences, and padding changes nothing: it comes after all that counts.
    """

    def __init__(self, dimension: int, hidden: int) -> None:
        super().__init__()
        self.forward_lstm = nn.LSTM(dimension, hidden, batch_first=True)
        self.backward_lstm = nn.LSTM(dimension, hidden, batch_first=True)
        self.dimension = 2 * hidden

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """vectors [batch, tokens, dimension], mask bool [batch, tokens] → [batch, tokens, 2 × hidden]."""
        return _both_ways(vectors, mask, self.forward_lstm, self.backward_lstm)


class BiGRU(nn.Module):
    """As `BiLSTM` with gated recurrent units: TriMod 2024's word encoder."""

    def __init__(self, dimension: int, hidden: int) -> None:
        super().__init__()
        self.forward_gru = nn.GRU(dimension, hidden, batch_first=True)
        self.backward_gru = nn.GRU(dimension, hidden, batch_first=True)
        self.dimension = 2 * hidden

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """vectors [batch, tokens, dimension], mask bool [batch, tokens] → [batch, tokens, 2 × hidden]."""
        return _both_ways(vectors, mask, self.forward_gru, self.backward_gru)


def _both_ways(vectors: Tensor, mask: Tensor, forward: nn.Module, backward: nn.Module) -> Tensor:
    lengths = mask.sum(dim=1)
    ahead, _ = forward(vectors)
    back, _ = backward(reverse_by_length(vectors, lengths))
    return torch.cat([ahead, reverse_by_length(back, lengths)], dim=2)


class SideWords(nn.Module):
    """A few words beside a post (its image's caption, its hashtags) as one vector for each token of the post.

    A Bi-GRU reads the words. Each token then takes a mean of its states, weighted by their likeness to the token's own
    word: scaled dot-product attention (Vaswani et al. 2017, eq. 1) with the token as the query.
    """

    def __init__(self, dimension: int, hidden: int, query_dimension: int) -> None:
        super().__init__()
        self.context = BiGRU(dimension, hidden)
        self.query = nn.Linear(query_dimension, self.context.dimension, bias=False)
        self.dimension = self.context.dimension

    def forward(self, vectors: Tensor, mask: Tensor, tokens: Tensor) -> Tensor:
        """One vector a token; zeros throughout a post that has no words beside it.

        vectors  [batch, words, dimension]
        mask     bool [batch, words]                True where a word is
        tokens   [batch, tokens, query_dimension]   the post's own words
        returns  [batch, tokens, 2 × hidden]
        """
        states = self.context(vectors, mask)
        scores = self.query(tokens) @ states.transpose(1, 2) / math.sqrt(self.dimension)
        beside = mask.unsqueeze(1)
        # not -inf: the softmax of a post without words would be no number, and so would its gradient
        weights = scores.masked_fill(~beside, torch.finfo(scores.dtype).min).softmax(dim=2) * beside
        return cast(Tensor, weights @ states)


def reverse_by_length(vectors: Tensor, lengths: Tensor) -> Tensor:
    """Reverses the first lengths[i] steps of each row of [batch, steps, dimension]; padding stays behind."""
    steps = torch.arange(vectors.shape[1], device=vectors.device)
    mirrored = lengths.unsqueeze(1) - 1 - steps
    index = torch.where(mirrored >= 0, mirrored, steps)
    return vectors.gather(1, index.unsqueeze(2).expand_as(vectors))
