"""Words and characters as numbers, and the reader of pretrained word vectors."""

import gzip
import lzma
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from mner_model.errors import Failure
from mner_model.text.tokenizer import NUMBER_FORM, URL_FORM, USER_FORM, Tokens, fallback_forms

PADDING = 0
UNKNOWN = 1
SPECIAL_FORMS = ("<padding>", "<unknown>", URL_FORM, USER_FORM, NUMBER_FORM)


class VectorsError(Failure, ValueError):
    """A file of word vectors that cannot be read; the message names file and line."""


class Vocabulary:
    """Vocabulary forms in the order of their numbers; the special forms come first."""

    def __init__(self, forms: Iterable[str]) -> None:
        """`forms` without the special ones; raises ValueError on a form that comes twice."""
        self.forms: tuple[str, ...] = (*SPECIAL_FORMS, *forms)
        self._ids: Mapping[str, int] = {form: id_ for id_, form in enumerate(self.forms)}
        if len(self._ids) != len(self.forms):
            twice = next(form for form, count in Counter(self.forms).items() if count > 1)
            raise ValueError(f"{twice!r} is in the vocabulary twice")

    def __len__(self) -> int:
        return len(self.forms)

    def __contains__(self, form: str) -> bool:
        return form in self._ids

    def id_of(self, form: str) -> int:
        """The form's number, else that of its first known fallback form, else UNKNOWN."""
        found = self._ids.get(form)
        if found is not None:
            return found
        return next((self._ids[other] for other in fallback_forms(form) if other in self._ids), UNKNOWN)

    def ids(self, tokens: Tokens) -> list[int]:
        """[tokens] word numbers."""
        return [self.id_of(form) for form in tokens.forms]


class Alphabet:
    """Characters by number; 0 is padding, 1 any character unseen in training."""

    def __init__(self, characters: str, longest: int = 24) -> None:
        self.characters = characters
        self.longest = longest
        self._ids = {character: id_ for id_, character in enumerate(characters, start=2)}

    def __len__(self) -> int:
        return len(self.characters) + 2

    def ids(self, surface: str) -> list[int]:
        """[characters] numbers of a token's code points; of a longer one the first and the last are kept."""
        if len(surface) > self.longest:
            surface = surface[: self.longest // 2] + surface[-self.longest // 2 :]
        return [self._ids.get(character, UNKNOWN) for character in surface]


@dataclass(frozen=True)
class WordVectors:
    """Pretrained vectors: forms, most frequent first, and float32 [forms, dimension]."""

    forms: Sequence[str]
    vectors: npt.NDArray[np.float32]

    def table(self, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
        """The vectors in a vocabulary's order, float32 [vocabulary, dimension], 0 where there is none."""
        table = np.zeros((len(vocabulary), self.vectors.shape[1]), dtype=np.float32)
        rows = [(vocabulary.id_of(form), row) for row, form in enumerate(self.forms) if form in vocabulary]
        ids, sources = (list(column) for column in zip(*rows, strict=True))
        table[ids] = self.vectors[sources]
        return table


def trained_vocabulary(posts: Iterable[Tokens], vectors: WordVectors | None) -> tuple[Vocabulary, int]:
    """The forms of posts (there twice, or with a vector), then all others that have a vector; and how many are trained.

    Those of the posts and the special ones are.
    """
    forms = vectors.forms if vectors is not None else ()
    known = set(forms)
    trained = [form for form, count in count_forms(posts).most_common() if count > 1 or form in known]
    own = {*trained, *SPECIAL_FORMS}
    return Vocabulary([*trained, *(form for form in forms if form not in own)]), len(SPECIAL_FORMS) + len(trained)


def count_forms(posts: Iterable[Tokens]) -> Counter[str]:
    """How often each vocabulary form occurs."""
    return Counter(form for tokens in posts for form in tokens.forms if form not in SPECIAL_FORMS)


def alphabet_of(posts: Iterable[Tokens]) -> Alphabet:
    """The characters that occur at least twice, in code-point order."""
    counts = Counter(character for tokens in posts for surface in tokens.surfaces for character in surface)
    return Alphabet("".join(sorted(character for character, count in counts.items() if count >= 2)))


def read_vectors(path: str | Path, limit: int | None = None) -> WordVectors:
    """Reads word vectors in GloVe's text format (a word and its numbers a line), plain, .gz or .xz.

    A first line as word2vec writes it, how many words and how many numbers each, is left out.

    limit  most words to read, from the file's beginning (most frequent first, as such files are); None for all

    Raises VectorsError with the line where the dimension changes, a number is none or not finite, a byte is not UTF-8,
    or a word comes again.
    """
    path = Path(path)
    words: list[str] = []
    rows: list[npt.NDArray[np.float32]] = []
    first = 0  # line
    with _open(path) as file:
        for number, word, row in _without_header(_rows(path, file)):
            first = first or number
            if rows and len(row) != len(rows[0]):
                raise VectorsError(f"{path}:{number}: expected {len(rows[0])} numbers, got {len(row)}")
            words.append(word)
            rows.append(row)
            if limit is not None and len(words) >= limit:
                break
    if not rows:
        raise VectorsError(f"{path}: holds no vector")
    vectors = np.stack(rows)
    if not np.isfinite(vectors).all():
        at = int(np.isfinite(vectors).all(axis=1).argmin())
        raise VectorsError(f"{path}:{first + at}: expected finite numbers, {words[at]!r} has one that is not")
    if len(set(words)) < len(words):
        raise VectorsError(f"{path}:{_repeated(words, first)}")
    return WordVectors(words, vectors)


def _repeated(words: Iterable[str], first_line: int) -> str:
    """The line of the first word that comes again, and what is wrong with it."""
    lines: dict[str, int] = {}
    for number, word in enumerate(words, start=first_line):
        first = lines.setdefault(word, number)
        if first != number:
            return f"{number}: expected each word once, {word!r} is in line {first} too"
    raise ValueError("expected words of which one comes again")


_Row = tuple[int, str, npt.NDArray[np.float32]]  # line, word, numbers


def _without_header(rows: Iterator[_Row]) -> Iterator[_Row]:
    for first in islice(rows, 1):
        _, count, dimension = first
        second = next(rows, None) if count.isdecimal() and len(dimension) == 1 else None
        if second is None or dimension[0] != len(second[2]):
            yield first
        if second is not None:
            yield second
    yield from rows


def _rows(path: Path, file: Iterable[bytes]) -> Iterator[_Row]:
    for number, line in enumerate(_unpacked(path, file), start=1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise VectorsError(f"{path}:{number}: byte 0x{line[error.start]:02x} is not UTF-8") from None
        word, _, numbers = text.rstrip().partition(" ")
        try:
            row = np.array(numbers.split(" "), dtype=np.float32)
        except ValueError:
            raise VectorsError(f"{path}:{number}: expected a word and numbers, got {text[:60]!r}") from None
        yield number, word, row


def _unpacked(path: Path, file: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from file
    except (lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise VectorsError(f"{path}: damaged: {error}") from None


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    try:
        if path.suffix == ".xz":
            return lzma.open(path)
        if path.suffix == ".gz":
            return gzip.open(path)
        return path.open("rb")
    except FileNotFoundError:
        raise VectorsError(f"{path}: no such file") from None
    except OSError as error:
        raise VectorsError(f"{path}: cannot be read: {error.strerror}") from None
