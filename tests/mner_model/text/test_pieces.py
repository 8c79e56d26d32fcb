"""Tokens as pieces of a Transformer's vocabulary: every token finds its first piece, in windows of any size."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mner_model.text.pieces import PieceTokenizer, collate_pieces
from mner_model.text.tokenizer import Tokens, tokenize

tokenizers = pytest.importorskip("tokenizers")


def bert_tokenizer(words: str) -> str:
    """A small WordPiece tokenizer in BERT's form: [CLS] text [SEP] caption [SEP]."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words.split()]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: id_ for id_, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return str(tokenizer.to_str())


JSON = bert_tokenizer("in berlin ##er ber ##lin a b c http dog # @ o ##slo")


def surfaces_at(tokenizer: PieceTokenizer, tokens: Tokens, caption: str | None = None) -> list[str]:
    """The pieces that represent the tokens."""
    names = {id_: piece for piece, id_ in json.loads(JSON)["model"]["vocab"].items()}
    pieces = tokenizer.pieces(tokens, caption)
    flat = [int(id_) for window in pieces.windows for id_ in window]
    return [names[flat[place]] for place in pieces.token_piece]


def test_a_token_is_represented_by_its_first_piece() -> None:
    tokenizer = PieceTokenizer(JSON, 16)
    assert surfaces_at(tokenizer, tokenize("In Berliner Oslo")) == ["in", "berlin", "o"]


def test_an_address_is_one_word_and_a_sign_without_a_piece_is_its_windows_first() -> None:
    tokenizer = PieceTokenizer(JSON, 16)
    assert surfaces_at(tokenizer, tokenize("in https://t.co/x \ufe0f b")) == ["in", "http", "[CLS]", "b"]


def test_the_caption_goes_behind_the_text_and_changes_no_tokens_place() -> None:
    tokenizer = PieceTokenizer(JSON, 16)
    tokens = tokenize("in Oslo")
    alone, captioned = tokenizer.pieces(tokens), tokenizer.pieces(tokens, "a dog")
    assert alone.token_piece.tolist() == captioned.token_piece.tolist()
    assert captioned.windows[0].tolist()[len(alone.windows[0]) :] == [9, 13, 3]
    assert captioned.segments[0].tolist() == [0] * len(alone.windows[0]) + [1, 1, 1]


def test_a_post_too_long_for_one_window_goes_into_several_and_no_token_is_lost() -> None:
    tokenizer = PieceTokenizer(JSON, 8)
    text = " ".join("abc"[i % 3] for i in range(40))
    pieces = tokenizer.pieces(tokenize(text), "a dog")
    assert len(pieces.windows) > 1
    assert max(map(len, pieces.windows)) <= 8
    assert surfaces_at(tokenizer, tokenize(text), "a dog") == text.split()


@given(
    st.lists(st.sampled_from(["a", "\u200b", "berlin", "berliner", "oslo", "unheardof"]), min_size=1, max_size=9),
    st.sampled_from([None, "a dog"]),
    st.integers(8, 14),
)
def test_a_long_post_takes_as_few_windows_as_any_division_of_it(
    words: list[str], caption: str | None, longest: int
) -> None:
    tokenizer = PieceTokenizer(JSON, longest)
    second = caption.split() if caption else None
    fewest = [0]  # windows for so many of the words; each word fits a window of its own
    for end in range(1, len(words) + 1):
        starts = [start for start in range(end) if len(tokenizer._encode(words[start:end], second)) <= longest]
        fewest.append(1 + min(fewest[start] for start in starts))
    windows = tokenizer._windows(words, second)
    assert len(windows) == fewest[-1]
    assert sum(count for _, count in windows) == len(words)
    assert all(len(window) <= longest for window, _ in windows)


def test_a_word_too_long_for_a_window_is_cut() -> None:
    pieces = PieceTokenizer(JSON, 6).pieces(tokenize("berlin" + "er" * 20))
    assert [len(window) for window in pieces.windows] == [6]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5), st.integers(8, 40))
def test_whatever_the_posts_each_tokens_index_in_the_batch_is_its_own_piece(texts: list[str], longest: int) -> None:
    tokenizer = PieceTokenizer(JSON, longest)
    posts = [tokenizer.pieces(tokens) for text in texts if len(tokens := tokenize(text))]
    if not posts:
        return
    batch = collate_pieces(posts, max(len(post.token_piece) for post in posts))
    flat = batch.piece_ids.flatten()
    for row, post in enumerate(posts):
        own = [int(id_) for window in post.windows for id_ in window]
        wanted = [own[place] for place in post.token_piece]
        assert flat[batch.token_index[row, : len(wanted)]].tolist() == wanted
    assert int(batch.piece_mask.sum()) == sum(len(window) for post in posts for window in post.windows)
    assert torch.equal(batch.piece_ids.bool() & ~batch.piece_mask, torch.zeros_like(batch.piece_mask))


# A tokenizer of XLM-R's kind, which marks what begins a word


def unigram_tokenizer(pieces: str) -> str:
    vocabulary = [
        ("<unk>", 0.0),
        ("<s>", 0.0),
        ("</s>", 0.0),
        *((piece, -float(len(piece) < 2)) for piece in pieces.split()),
    ]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return str(tokenizer.to_str())


def test_only_what_follows_a_space_begins_a_word() -> None:
    described = unigram_tokenizer("▁ ▁in ▁東 東 京 ▁京 ▁US - ▁- China ▁China ▁a ▁dog")
    tokenizer = PieceTokenizer(described, 16)
    names = [piece for piece, _ in json.loads(described)["model"]["vocab"]]
    [window] = tokenizer.pieces(tokenize("in 東京 US-China"), "a dog").windows
    assert [names[piece] for piece in window] == "<s> ▁in ▁東 京 ▁US - China </s> ▁a ▁dog </s>".split()
    assert tokenizer.json == described, "what a checkpoint keeps is the Transformer's own"
