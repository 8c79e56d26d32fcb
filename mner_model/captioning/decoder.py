"""Show, attend and tell: an LSTM that looks at one mixture of an image's places per word (Xu et al. 2015).

Soft attention, section 4.2, without the doubly stochastic penalty: captions here have fewer words than images have
places. Numbers of words are those of a `Vocabulary` that begins with START and END.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mner_model.captioning.beam_search import State
from mner_model.text.vocabulary import PADDING, SPECIAL_FORMS, Vocabulary

# no caption is read as holding these: "<" is a token of its own
START_FORM = "<start>"
END_FORM = "<end>"
START = len(SPECIAL_FORMS)
END = START + 1


def caption_vocabulary(words: Iterable[str]) -> Vocabulary:
    """A vocabulary of captions: START and END, then `words`; raises ValueError on a word that comes twice."""
    return Vocabulary([START_FORM, END_FORM, *words])


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Sizes of a CaptionDecoder; `dropout` of the places, the words read and the layer before the output."""

    word_dimension: int = 128
    hidden: int = 256
    dropout: float = 0.3


class CaptionDecoder(nn.Module):
    """Probabilities of a caption's words, each given the image's grid and the words before it.

    channels    length of a place's vector
    vocabulary  number of words; special forms and START are read but never said
    """

    unsayable: Tensor

    def __init__(self, config: DecoderConfig, channels: int, vocabulary: int) -> None:
        super().__init__()
        hidden, word_dimension = config.hidden, config.word_dimension
        self.config = config
        self.channels = channels
        self.dropout = nn.Dropout(config.dropout)
        self.places = nn.Sequential(nn.Linear(channels, hidden), nn.LayerNorm(hidden))
        self.first_hidden = nn.Linear(hidden, hidden)
        self.first_cell = nn.Linear(hidden, hidden)
        self.attend_places = nn.Linear(hidden, hidden)
        self.attend_hidden = nn.Linear(hidden, hidden, bias=False)
        self.attend_score = nn.Linear(hidden, 1, bias=False)
        self.gate = nn.Linear(hidden, hidden)
        self.words = nn.Embedding(vocabulary, word_dimension, padding_idx=PADDING)
        self.recurrent = nn.LSTMCell(word_dimension + hidden, hidden)
        self.said_of_hidden = nn.Linear(hidden, word_dimension)
        self.said_of_context = nn.Linear(hidden, word_dimension, bias=False)
        self.output = nn.Linear(word_dimension, vocabulary)
        self.register_buffer("unsayable", torch.arange(vocabulary) <= START, persistent=False)

    def log_likelihood(self, grids: Tensor, words: Tensor) -> Tensor:
        """Log-probability of each caption, word by word given the true words before (teacher forcing).

        grids    float [captions, places, channels]
        words    int64 [captions, words]  START, the words, END, then PADDING
        returns  [captions]  sums over the words and END; a word outside the vocabulary is read, and not counted

        Raises ValueError for other shapes.
        """
        if grids.dim() != 3 or words.dim() != 2 or len(grids) != len(words) or grids.shape[2] != self.channels:
            raise ValueError(
                f"expected grids [captions, places, {self.channels}] and words [captions, words], "
                f"got {list(grids.shape)} and {list(words.shape)}: was the decoder made for another backbone?"
            )
        places, keys, state = self.look(grids)
        said = []
        for word in words[:, :-1].unbind(1):
            step, state = self._step(word, places, keys, state)
            said.append(step)
        log_probabilities = self._log_probabilities(torch.stack(said, dim=1))
        targets = words[:, 1:]
        counted = self.counted(words)
        chosen = log_probabilities.gather(2, targets.masked_fill(~counted, END).unsqueeze(2)).squeeze(2)
        return (chosen * counted).sum(dim=1)

    def counted(self, words: Tensor) -> Tensor:
        """Which words `log_likelihood` counts: bool [captions, words - 1], of the words after START."""
        return ~self.unsayable[words[:, 1:]]

    def look(self, grids: Tensor) -> tuple[Tensor, Tensor, State]:
        """What stays the same from word to word, and the state before the first.

        grids    float [images, places, channels]
        returns  places [images, places, hidden], their attention keys likewise, and hidden and cell [images, hidden],
                 both from the mean place (Xu et al., section 3.1.2)
        """
        places = self.dropout(self.places(grids))
        mean = places.mean(dim=1)
        state = (torch.tanh(self.first_hidden(mean)), torch.tanh(self.first_cell(mean)))
        return places, self.attend_places(places), state

    def next_word(self, words: Tensor, places: Tensor, keys: Tensor, state: State) -> tuple[Tensor, State]:
        """Log-probabilities of the next word [rows, vocabulary] after `words` [rows], and the state after them."""
        said, state = self._step(words, places, keys, state)
        return self._log_probabilities(said), state

    def _step(self, words: Tensor, places: Tensor, keys: Tensor, state: State) -> tuple[Tensor, State]:
        """Equations 1 to 5 of Xu et al., the soft context of 13 under the gate of section 4.2.1, the inner sum of 7."""
        hidden, cell = state
        scores = self.attend_score(torch.tanh(keys + self.attend_hidden(hidden).unsqueeze(1)))
        context = torch.sigmoid(self.gate(hidden)) * (scores.softmax(dim=1) * places).sum(dim=1)
        word = self.dropout(self.words(words))
        hidden, cell = self.recurrent(torch.cat([word, context], dim=1), (hidden, cell))
        said = word + self.said_of_hidden(self.dropout(hidden)) + self.said_of_context(context)
        return said, (hidden, cell)

    def _log_probabilities(self, said: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(said))
        return functional.log_softmax(logits.masked_fill(self.unsayable, float("-inf")), dim=-1)
