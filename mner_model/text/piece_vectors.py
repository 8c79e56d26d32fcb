"""Vectors of pieces of words, reduced from a Transformer's: the file that `mner-model piece-vectors` writes."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mner_model.errors import Failure
from mner_model.text.tokenizer import Tokens
from mner_model.text.word_pieces import FIRST_PIECE, WordPieces

_FORMAT = "mner piece vectors 1"


class PieceVectorsError(Failure, ValueError):
    """A file of piece vectors that cannot be read; the message names it."""


@dataclass(frozen=True)
class PieceVectors:
    """Pieces with their log-probabilities and vectors, the most wanted first.

    pieces   [pieces]
    scores   float32 [pieces]
    vectors  float32 [pieces, dimension]
    """

    pieces: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]


def write_piece_vectors(path: Path, vectors: PieceVectors) -> None:
    """Writes the file; the vectors in float16."""
    texts = [piece.encode() for piece in vectors.pieces]
    tensors: dict[str, npt.NDArray[Any]] = {
        "texts": np.frombuffer(b"".join(texts), dtype=np.uint8),
        "offsets": np.cumsum([0, *map(len, texts)], dtype=np.int64),
        "scores": vectors.scores.astype(np.float32),
        "vectors": vectors.vectors.astype(np.float16),
    }
    save_file(tensors, path, {"format": _FORMAT})


def read_piece_vectors(path: Path) -> PieceVectors:
    """What `write_piece_vectors` wrote. Raises PieceVectorsError in one sentence for another file, or a damaged one."""
    try:
        with safe_open(path, "numpy") as file:
            if (file.metadata() or {}).get("format") != _FORMAT:
                raise PieceVectorsError(f"{path}: expected the file that `mner-model piece-vectors` writes")
            texts, offsets, scores, vectors = (
                file.get_tensor(name) for name in ("texts", "offsets", "scores", "vectors")
            )
        whole = texts.tobytes()
        pieces = tuple(whole[start:end].decode() for start, end in pairwise(offsets.tolist()))
    except FileNotFoundError:
        raise PieceVectorsError(f"{path}: no such file") from None
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise PieceVectorsError(f"{path}: damaged, or not piece vectors: {error}") from error
    if not len(pieces) == len(scores) == len(vectors) or not np.isfinite(vectors).all():
        raise PieceVectorsError(f"{path}: damaged: {len(pieces)} pieces, {len(scores)} scores, {len(vectors)} vectors")
    return PieceVectors(pieces, scores, vectors.astype(np.float32))


def trained_pieces_first(
    posts: Iterable[Tokens], vectors: PieceVectors
) -> tuple[WordPieces, npt.NDArray[np.float32], int]:
    """The pieces, those of posts first; their vectors, float32 [numbers, dimension]; how many rows posts make use of.

    The rows of no piece and of marks are zeros.
    """
    cutter = WordPieces(vectors.pieces, vectors.scores.tolist())
    used = {number for tokens in posts for of_token in cutter.ids(tokens) for number in of_token}
    seen = {number - FIRST_PIECE for number in used if number >= FIRST_PIECE}
    order = [*sorted(seen), *(number for number in range(len(vectors.pieces)) if number not in seen)]
    table = np.zeros((len(order) + FIRST_PIECE, vectors.vectors.shape[1]), dtype=np.float32)
    table[FIRST_PIECE:] = vectors.vectors[order]
    # rounded as a checkpoint keeps them
    scores = [round(float(vectors.scores[number]), 4) for number in order]
    pieces = WordPieces((vectors.pieces[number] for number in order), scores)
    return pieces, table, len(seen) + FIRST_PIECE
