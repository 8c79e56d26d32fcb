"""Posts as tensors: one padded batch of numbers, the same for training and serving."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.network.soft_targets import SoftTargetBatch, SoftTargets, collate_soft_targets
from mner_model.text.pieces import PieceBatch, TextPieces, collate_pieces
from mner_model.text.vocabulary import PADDING, Alphabet

BATCH_MAX_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Features:
    """One post in numbers.

    word_ids         int64 [tokens]
    surfaces         [tokens]           read character by character
    image_embedding  float32 [dimension], None without an image
    pieces           for the pretrained text encoder, None without one
    caption_ids      [words]            of the image's caption, as word numbers; none without one
    hashtag_ids      [words]            of the post's hashtags
    piece_ids        [tokens]           numbers of each token's pieces of words; empty for a tagger without them
    bounds           int8 [tokens]      what mentions may not run over, as `text.tokenizer.Bound` has it
    tags             int64 [tokens], None where there is no gold
    allowed          bool [tokens, tags] which tags the gold leaves open, None where it leaves one for each token
    soft_targets     to learn instead of the gold, None where the gold is certain
    gold_share       of what is `allowed` in what is learned, the rest is of the soft targets
    """

    word_ids: npt.NDArray[np.int64]
    surfaces: tuple[str, ...]
    image_embedding: npt.NDArray[np.float32] | None = None
    pieces: TextPieces | None = None
    caption_ids: tuple[int, ...] = ()
    hashtag_ids: tuple[int, ...] = ()
    piece_ids: tuple[tuple[int, ...], ...] = ()
    bounds: npt.NDArray[np.int8] | None = None
    tags: npt.NDArray[np.int64] | None = None
    allowed: npt.NDArray[np.bool_] | None = None
    soft_targets: SoftTargets | None = None
    gold_share: float = 1.0

    def __len__(self) -> int:
        return len(self.surfaces)


def features_fingerprint(posts: Iterable[Features]) -> str:
    """sha256 over all that a tagger reads of posts, in order; what is to be learned of them has no part in it."""
    digest = hashlib.sha256()
    for post in posts:
        image, pieces = post.image_embedding, post.pieces
        read: list[object] = [post.word_ids.tolist(), post.surfaces, post.caption_ids, post.hashtag_ids]
        if post.piece_ids:
            read.append(post.piece_ids)
        if post.bounds is not None and post.bounds.any():
            read.append(post.bounds.tolist())
        read.append(None if image is None else image.tolist())
        if pieces is not None:
            read += [[window.tolist() for window in part] for part in (pieces.windows, pieces.segments)]
            read.append(pieces.token_piece.tolist())
        digest.update(repr(read).encode())
    return digest.hexdigest()


def rows_by_length(lengths: Sequence[int], max_tokens: int = BATCH_MAX_TOKENS) -> Iterator[list[int]]:
    """Which posts go through the model together: those of like length, the shortest first, those without tokens never.

    lengths     [posts]  in tokens; of hashtags, which a segmenter reads, in characters
    max_tokens  token places (posts × longest) of those together; a longer post goes alone
    """
    rows: list[int] = []
    for i in sorted((i for i, length in enumerate(lengths) if length), key=lambda i: lengths[i]):
        if rows and (len(rows) + 1) * lengths[i] > max_tokens:
            yield rows
            rows = []
        rows.append(i)
    if rows:
        yield rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded posts.

    word_ids       int64 [batch, tokens]
    mask           bool [batch, tokens]         True where a token is
    char_ids       int64 [surfaces, characters] each distinct surface of the batch once
    surface_index  int64 [batch, tokens]        row of char_ids
    image          float32 [batch, dimension]   zeros where there is none
    has_image      bool [batch]
    caption_ids    int64 [batch, words]         0 for padding, as for those below
    hashtag_ids    int64 [batch, words]
    piece_ids      int64 [rows, pieces]         each distinct bag of pieces once, the first row empty
    piece_index    int64 [batch, tokens]        row of piece_ids
    pieces         windows for the pretrained text encoder, None without one
    bounds         int8 [batch, tokens]         what mentions may not run over, 0 for padding
    tags           int64 [batch, tokens], None without gold
    allowed        bool [batch, tokens, tags]   which tags the gold leaves open; None where it leaves one everywhere
    gold_share     float32 [batch]              of what is allowed in what is learned; None without `allowed`
    soft_targets   to learn instead of the gold, None without any
    """

    word_ids: Tensor
    mask: Tensor
    char_ids: Tensor
    surface_index: Tensor
    image: Tensor
    has_image: Tensor
    caption_ids: Tensor
    hashtag_ids: Tensor
    piece_ids: Tensor
    piece_index: Tensor
    bounds: Tensor
    pieces: PieceBatch | None = None
    tags: Tensor | None = None
    allowed: Tensor | None = None
    gold_share: Tensor | None = None
    soft_targets: SoftTargetBatch | None = None

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        parts = (getattr(self, field.name) for field in fields(self))
        moved: list[Any] = [None if part is None else part.to(device) for part in parts]
        return type(self)(*moved)


def collate(posts: Sequence[Features], alphabet: Alphabet, image_dimension: int) -> Batch:
    """Pads posts into one batch; raises ValueError for an empty list, a post without tokens or a wrong image size."""
    if not posts or any(len(post) == 0 for post in posts):
        raise ValueError("expected one or more posts of at least one token each")
    shape = (len(posts), max(len(post) for post in posts))
    word_ids = np.full(shape, PADDING, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.bool_)
    surface_index = np.zeros(shape, dtype=np.int64)
    bounds = np.zeros(shape, dtype=np.int8)
    image = np.zeros((len(posts), image_dimension), dtype=np.float32)
    has_image = np.zeros(len(posts), dtype=np.bool_)
    row_of: dict[str, int] = {}
    piece_index = np.zeros(shape, dtype=np.int64)
    row_of_pieces: dict[tuple[int, ...], int] = {(): 0}
    for row, post in enumerate(posts):
        length = len(post)
        word_ids[row, :length] = post.word_ids
        mask[row, :length] = True
        if post.bounds is not None:
            bounds[row, :length] = post.bounds
        surface_index[row, :length] = [row_of.setdefault(surface, len(row_of)) for surface in post.surfaces]
        if post.piece_ids:
            rows = [row_of_pieces.setdefault(pieces, len(row_of_pieces)) for pieces in post.piece_ids]
            piece_index[row, :length] = rows
        if post.image_embedding is not None:
            if post.image_embedding.shape != (image_dimension,):
                raise ValueError(
                    f"expected an image embedding of {image_dimension} numbers, got {list(post.image_embedding.shape)}:"
                    " is it from another encoder?"
                )
            image[row] = post.image_embedding
            has_image[row] = True
    return Batch(
        torch.from_numpy(word_ids),
        torch.from_numpy(mask),
        _padded([alphabet.ids(surface) for surface in row_of]),
        torch.from_numpy(surface_index),
        torch.from_numpy(image),
        torch.from_numpy(has_image),
        _padded([post.caption_ids for post in posts]),
        _padded([post.hashtag_ids for post in posts]),
        _padded([*row_of_pieces]),
        torch.from_numpy(piece_index),
        torch.from_numpy(bounds),
        _pieces(posts, shape[1]),
        _tags(posts, shape),
        *_allowed(posts, shape[1]),
        _soft_targets(posts, shape[1]),
    )


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """int64 [rows, longest]."""
    padded = np.full((len(rows), max(map(len, rows))), PADDING, dtype=np.int64)
    for position, ids in enumerate(rows):
        padded[position, : len(ids)] = ids
    return torch.from_numpy(padded)


def _pieces(posts: Sequence[Features], longest: int) -> PieceBatch | None:
    pieces = [post.pieces for post in posts if post.pieces is not None]
    return collate_pieces(pieces, longest) if len(pieces) == len(posts) else None


def _tags(posts: Sequence[Features], shape: tuple[int, int]) -> Tensor | None:
    tags = np.zeros(shape, dtype=np.int64)
    for row, post in enumerate(posts):
        if post.tags is None:
            return None
        tags[row, : len(post)] = post.tags
    return torch.from_numpy(tags)


def _allowed(posts: Sequence[Features], longest: int) -> tuple[Tensor | None, Tensor | None]:
    """What is allowed, and its share: none of it where no post leaves anything open."""
    sizes = [post.allowed.shape[1] for post in posts if post.allowed is not None]
    if not sizes:
        return None, None
    is_soft = any(post.soft_targets is not None for post in posts)
    allowed = np.ones((len(posts), longest, sizes[0]), dtype=np.bool_)
    shares = np.zeros(len(posts), dtype=np.float32)
    for row, post in enumerate(posts):
        if post.allowed is not None:
            allowed[row, : len(post)] = post.allowed
            shares[row] = post.gold_share
        elif not is_soft and post.tags is not None:
            allowed[row, : len(post)] = np.eye(sizes[0], dtype=np.bool_)[post.tags]
            shares[row] = 1.0
    return torch.from_numpy(allowed), torch.from_numpy(shares)


def _soft_targets(posts: Sequence[Features], longest: int) -> SoftTargetBatch | None:
    """Those of all posts; of one that has none, but a gold that leaves something open, they count for nothing."""
    if not any(post.soft_targets is not None for post in posts):
        return None
    if any(post.soft_targets is None and post.allowed is None for post in posts):
        return None
    return collate_soft_targets([post.soft_targets for post in posts], longest)
