"""More posts for a teacher to read: words of posts swapped for words with vectors like theirs.

Any word takes part that has a vector, verbs and function words too, and what it is swapped for need not be of its kind:
a name may become a word that is none.

After the data augmentation of Jiao et al. 2020 (TinyBERT, section 3.2), with word vectors in place of a language model.
What the new post means may be another thing than before, so only a teacher can say what its tags are.
"""

import random

import numpy as np

from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import SPECIAL_FORMS, WordVectors

_WORDS = 50_000  # that take part


class WordSwaps:
    """Neighbours of words by the cosine of their vectors."""

    def __init__(self, vectors: WordVectors, neighbours: int = 12) -> None:
        """The first 50,000 alphabetic words take part; `neighbours`: how many of each."""
        forms = vectors.forms
        rows = [row for row, form in enumerate(forms) if form.isalpha() and form not in SPECIAL_FORMS][:_WORDS]
        self._forms = [forms[row] for row in rows]
        self._row_of = {form: row for row, form in enumerate(self._forms)}
        lengths = np.linalg.norm(vectors.vectors[rows], axis=1, keepdims=True)
        self._vectors = vectors.vectors[rows] / np.maximum(lengths, 1e-9)
        self._neighbours = min(neighbours, len(rows) - 1)
        self._known: dict[int, list[int]] = {}

    def neighbours(self, form: str) -> list[str]:
        """The words nearest to this one, itself left out; none for a word without a vector."""
        row = self._row_of.get(form)
        if row is None:
            return []
        if row not in self._known:
            likeness = self._vectors @ self._vectors[row]
            likeness[row] = -np.inf
            self._known[row] = np.argpartition(-likeness, self._neighbours - 1)[: self._neighbours].tolist()
        return [self._forms[near] for near in self._known[row]]

    def swapped(self, text: str, share: float, drawn: random.Random) -> str:
        """The text with this share of the words that have neighbours swapped, written as they were: Oslo → Bergen.

        share  the probability that such a word is swapped, by itself; each of its neighbours is as likely
        """
        tokens = tokenize(text)
        parts, at = [], 0
        for surface, form, start, end in zip(tokens.surfaces, tokens.forms, tokens.starts, tokens.ends, strict=True):
            others = self.neighbours(form) if drawn.random() < share else []
            parts += [text[at:start], _written_like(surface, drawn.choice(others)) if others else surface]
            at = end
        return "".join([*parts, text[at:]])


def _written_like(surface: str, word: str) -> str:
    if len(surface) > 1 and surface.isupper():
        return word.upper()
    return word.capitalize() if surface[0].isupper() else word
