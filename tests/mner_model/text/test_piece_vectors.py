from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mner_model.text.piece_vectors import (
    PieceVectors,
    PieceVectorsError,
    read_piece_vectors,
    trained_pieces_first,
    write_piece_vectors,
)
from mner_model.text.tokenizer import tokenize

VECTORS = PieceVectors(
    ("▁in", "é", "▁Oslo", "▁Rio"),
    np.array([-1, -4, -2, -3.14159], dtype=np.float32),
    np.arange(8, dtype=np.float32).reshape(4, 2) / 8,
)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_piece_vectors(tmp_path / "pieces", VECTORS)
    read = read_piece_vectors(tmp_path / "pieces")
    assert read.pieces == VECTORS.pieces
    assert np.array_equal(read.scores, VECTORS.scores)
    assert np.array_equal(read.vectors, VECTORS.vectors)


def test_another_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PieceVectorsError, match="no such file"):
        read_piece_vectors(tmp_path / "nothing")
    (tmp_path / "text").write_text("Oslo 1 2")
    with pytest.raises(PieceVectorsError, match="damaged, or not piece vectors"):
        read_piece_vectors(tmp_path / "text")
    save_file({"a": np.zeros(1)}, tmp_path / "other")
    with pytest.raises(PieceVectorsError, match="expected the file that `mner-model piece-vectors` writes"):
        read_piece_vectors(tmp_path / "other")


def test_the_pieces_of_posts_come_first_with_their_vectors() -> None:
    pieces, table, trained = trained_pieces_first([tokenize("Rio")], VECTORS)
    assert (pieces.pieces, trained) == (("▁Rio", "▁in", "é", "▁Oslo"), 5)
    assert table.tolist() == [*[[0, 0]] * 4, *VECTORS.vectors[[3, 0, 1, 2]].tolist()]
    assert pieces.scores[0] == -3.1416, "as a checkpoint keeps it"
