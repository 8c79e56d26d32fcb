import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import (
    SPECIAL_FORMS,
    UNKNOWN,
    Alphabet,
    VectorsError,
    Vocabulary,
    alphabet_of,
    count_forms,
    read_vectors,
)

GLOVE = "the 0.5 -1\nrio 0.25 2\n"


def test_words_are_found_by_their_form_then_by_their_likes() -> None:
    vocabulary = Vocabulary(["good", "beyonce", "!"])
    tokens = tokenize("Goooood Beyoncé 12 xyzzy !!!!")
    number = SPECIAL_FORMS.index("<number>")
    first = len(SPECIAL_FORMS)
    assert vocabulary.ids(tokens) == [first, first + 1, number, UNKNOWN, first + 2]


def test_a_form_given_twice_is_named() -> None:
    with pytest.raises(ValueError, match="'rio' is in the vocabulary twice"):
        Vocabulary(["rio", "rio"])


def test_a_long_word_keeps_its_ends() -> None:
    alphabet = Alphabet("ab", longest=4)
    assert alphabet.ids("aaXXXbb") == alphabet.ids("aabb")
    assert alphabet.ids("c") == [UNKNOWN]


def test_rare_characters_are_left_out_of_the_alphabet() -> None:
    assert alphabet_of([tokenize("aab bZ")]).characters == "ab"


def test_forms_are_counted_without_the_special_ones() -> None:
    assert count_forms([tokenize("Rio rio @me http://t.co")]) == {"rio": 2, "@": 1}


@pytest.mark.parametrize(("suffix", "open_"), [("txt", open), ("xz", lzma.open), ("gz", gzip.open)])
def test_vectors_are_read_from_plain_and_packed_files(
    tmp_path: Path, suffix: str, open_: Callable[..., object]
) -> None:
    path = tmp_path / f"vectors.{suffix}"
    with open_(path, "wt") as file:  # type: ignore[attr-defined]
        file.write(GLOVE)
    read = read_vectors(path)
    assert read.forms == ["the", "rio"]
    assert read.vectors.tolist() == [[0.5, -1], [0.25, 2]]
    assert read.vectors.dtype == np.float32
    assert read_vectors(path, limit=1).forms == ["the"]


@pytest.mark.parametrize("limit", [None, 1])
def test_a_header_as_word2vec_writes_it_is_left_out(tmp_path: Path, limit: int | None) -> None:
    (tmp_path / "v.txt").write_text("2 2\n" + GLOVE)
    read = read_vectors(tmp_path / "v.txt", limit)
    assert read.forms == ["the", "rio"][:limit]
    assert read.vectors.tolist() == [[0.5, -1], [0.25, 2]][:limit]


def test_a_number_with_a_vector_is_a_word_and_no_header(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("1999 2\nrio 3\n")
    assert read_vectors(tmp_path / "v.txt").forms == ["1999", "rio"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2 3\nthe 1 2\nrio 1 2\n", ":2: expected 1 numbers, got 2"),
        ("2 1\nthe 1\nthe 2\n", ":3: expected each word once, 'the' is in line 2 too"),
        ("2 1\nthe 1\nrio nan\n", ":3: expected finite numbers"),
        ("the 1 2\nrio 1\n", ":2: expected 2 numbers, got 1"),
        ("the one two\n", ":1: expected a word and numbers"),
        ("the 1 2\nrio nan 1\n", ":2: expected finite numbers, 'rio' has one that is not"),
        ("the 1 inf\n", ":1: expected finite numbers, 'the' has one that is not"),
        ("the 1\nrio 1\nthe 2\n", ":3: expected each word once, 'the' is in line 1 too"),
        ("the 1\nr\udce9o 1\n", ":2: byte 0xe9 is not UTF-8"),
        ("", "holds no vector"),
    ],
)
def test_a_bad_file_of_vectors_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "v.txt").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(VectorsError, match=message):
        read_vectors(tmp_path / "v.txt")


@pytest.mark.parametrize(("name", "pack", "spoiled"), [("v.gz", gzip.compress, 10), ("v.xz", lzma.compress, 30)])
def test_a_damaged_file_of_vectors_is_named(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], spoiled: int
) -> None:
    whole = pack(GLOVE.encode())
    for damaged in (whole[:-4], whole[:spoiled] + b"\xff" * 8 + whole[spoiled + 8 :]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(VectorsError, match=f"{name}: damaged: "):
            read_vectors(tmp_path / name)


def test_a_missing_file_of_vectors_is_named(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match="no such file"):
        read_vectors(tmp_path / "v.txt")


@pytest.mark.parametrize("name", ["v.txt", "v.gz", "v.xz"])
def test_vectors_that_cannot_be_read_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(VectorsError, match=f"{name}: cannot be read: Is a directory"):
        read_vectors(tmp_path / name)
