"""Vectors of pieces of words for a small tagger, taken from a large one and reduced.

Each piece is read alone by the Transformer; what its last layer says of it is its vector, as Model2Vec does (Tulkens
and van Dongen 2024). The principal components of all of them are kept.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import regex
import torch

from mner_model.config import ConfigError
from mner_model.network.text_encoder import TextEncoder
from mner_model.text.piece_vectors import PieceVectors
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.tokenizer import tokenize
from mner_model.text.word_pieces import FIRST_PIECE, WordPieces

_DEVIATION = 0.4  # of the numbers of all vectors; about that of GloVe's
_PIECES_AT_ONCE = 512
_SCRIPTS = (
    "Latin Cyrillic Greek Arabic Hebrew Armenian Georgian Devanagari Bengali Tamil Telugu Thai Lao Khmer Myanmar "
    "Ethiopic Han Hiragana Katakana Hangul Gurmukhi Gujarati Kannada Malayalam Oriya Sinhala Tibetan"
).split()
_SCRIPT_SHARE = 0.001  # of the letters of the texts: what occurs less is quoted


def reduced_pieces(
    encoder: TextEncoder,
    tokenizer: PieceTokenizer,
    texts: Iterable[str],
    size: int,
    dimension: int,
    on_progress: Callable[[int, int], None] = lambda done, pieces: None,
) -> PieceVectors:
    """The `size` pieces that matter most: those of the texts, the most frequent first, then the most probable others.

    Of scripts that the texts have nothing of, none is kept. Raises ConfigError for a tokenizer of another kind than
    unigram, and for fewer pieces or numbers than are asked for.
    """
    pieces, scores = _unigrams(tokenizer)
    cutter = WordPieces(pieces, scores)
    counts: Counter[int] = Counter()
    letters: Counter[str] = Counter()
    for text in texts:
        tokens = tokenize(text)
        numbers = (number for of_token in cutter.ids(tokens) for number in of_token)
        counts.update(number - FIRST_PIECE for number in numbers if number >= FIRST_PIECE)
        letters.update("".join(tokens.surfaces))
    written = _of_scripts(letters)
    rest = (n for n in np.argsort(-np.array(scores)).tolist() if n not in counts and written.fullmatch(pieces[n]))
    kept = [*(number for number, _ in counts.most_common()), *rest][:size]
    if len(kept) < size:
        raise ConfigError(f"--size {size}: expected at most the {len(kept):,} pieces of the texts' scripts")
    number_of = _numbers(tokenizer)
    vectors = _read_alone(encoder, tokenizer, [number_of[pieces[number]] for number in kept], on_progress)
    if dimension > vectors.shape[1]:
        raise ConfigError(f"--dimension {dimension}: expected at most the {vectors.shape[1]} of the Transformer")
    return PieceVectors(
        tuple(pieces[number] for number in kept),
        np.array([scores[number] for number in kept], dtype=np.float32),
        _principal_components(vectors, dimension),
    )


def _unigrams(tokenizer: PieceTokenizer) -> tuple[list[str], list[float]]:
    """All pieces but the special ones, with their log-probabilities."""
    described = json.loads(tokenizer.json)
    if described["model"].get("type") != "Unigram":
        raise ConfigError(f"expected a tokenizer of the type Unigram, got {described['model'].get('type')}")
    special = {token["content"] for token in described["added_tokens"]}
    kept = [(piece, score) for piece, score in described["model"]["vocab"] if piece not in special]
    return [piece for piece, _ in kept], [score for _, score in kept]


def _numbers(tokenizer: PieceTokenizer) -> dict[str, int]:
    return {piece: number for number, (piece, _) in enumerate(json.loads(tokenizer.json)["model"]["vocab"])}


def _of_scripts(letters: Counter[str]) -> "regex.Pattern[str]":
    """What is written in the scripts of these letters, and in signs that belong to none."""
    least = _SCRIPT_SHARE * letters.total()
    found = []
    for script in _SCRIPTS:
        of_script = regex.compile(rf"\p{{{script}}}")
        if sum(count for letter, count in letters.items() if of_script.match(letter)) > least:
            found.append(rf"\p{{{script}}}")
    return regex.compile(rf"[▁\p{{Common}}\p{{Inherited}}{''.join(found)}]+")


@torch.inference_mode()
def _read_alone(
    encoder: TextEncoder, tokenizer: PieceTokenizer, numbers: list[int], on_progress: Callable[[int, int], None]
) -> npt.NDArray[np.float32]:
    """float32 [pieces, hidden]: what the Transformer makes of each piece between its two special ones."""
    [window] = tokenizer.pieces(tokenize("")).windows
    before, after = window.tolist()
    read = []
    for start in range(0, len(numbers), _PIECES_AT_ONCE):
        ids = torch.tensor([[before, number, after] for number in numbers[start : start + _PIECES_AT_ONCE]])
        hidden = encoder.eval().transformer(input_ids=ids).last_hidden_state
        read.append(hidden[:, 1].float().numpy())
        on_progress(start + len(ids), len(numbers))
    return np.concatenate(read)


def _principal_components(vectors: npt.NDArray[np.float32], dimension: int) -> npt.NDArray[np.float32]:
    """float32 [pieces, dimension], of one deviation in all: those directions in which the vectors differ most."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    reduced = centred @ directions[:, ::-1][:, :dimension]
    return np.asarray(reduced * (_DEVIATION / reduced.std()), dtype=np.float32)
