import math

import numpy as np
import pytest
import torch

from mner_model.network.encoders import (
    BiLSTM,
    CharBiGRU,
    CharBiLSTM,
    CharCNN,
    PieceEncoder,
    SideWords,
    WordEncoder,
    quantise,
    reverse_by_length,
)
from mner_model.text.vocabulary import PADDING


def test_eight_bits_keep_vectors_within_half_a_step() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    codes, scales = quantise(vectors)
    error = (codes.float() * scales.float() - torch.from_numpy(vectors)).abs()
    assert bool((error <= scales.float() * 0.51 + 1e-4).all())


def test_a_row_of_zeros_stays_zero() -> None:
    codes, scales = quantise(np.zeros((2, 3), dtype=np.float32))
    assert not bool((codes.float() * scales.float()).any())


def test_a_word_is_its_pretrained_vector_and_what_training_added() -> None:
    encoder = WordEncoder(words=4, trained=3, dimension=2)
    encoder.set_pretrained(np.array([[0, 0], [0, 0], [1, -1], [0.5, 0.25]], dtype=np.float32), unknown_deviation=1.0)
    with torch.no_grad():
        encoder.correction.weight[2] = torch.tensor([0.5, 0.5])
    vectors = encoder(torch.tensor([[PADDING, 1, 2, 3]]))[0]
    assert not bool(vectors[0].any())
    assert bool(vectors[1].any())  # no pretrained vector: a random start
    assert vectors[2].tolist() == pytest.approx([1.5, -0.5], abs=1e-2)
    assert vectors[3].tolist() == pytest.approx([0.5, 0.25], abs=1e-2)


def test_vectors_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected vectors \[4, 2\], got \[4, 3\]"):
        WordEncoder(4, 3, 2).set_pretrained(np.ones((4, 3), dtype=np.float32), unknown_deviation=1.0)


@pytest.mark.parametrize("make", [CharBiLSTM, CharBiGRU, CharCNN])
def test_a_word_is_read_alike_alone_and_beside_longer_ones(
    make: type[CharBiLSTM] | type[CharBiGRU] | type[CharCNN],
) -> None:
    torch.manual_seed(0)
    encoder = make(20, 5, 6).eval()
    together = torch.tensor([[3, 4, 0, 0, 0, 0], [5, 6, 7, 8, 9, 10], [2, 0, 0, 0, 0, 0]])
    alone = [encoder(together[:1, :2]), encoder(together[1:2]), encoder(together[2:3, :1])]
    assert torch.allclose(encoder(together), torch.cat(alone), atol=1e-6)
    assert encoder(together).shape == (3, encoder.dimension)


@pytest.mark.parametrize(("make", "cell"), [(CharBiLSTM, "lstm"), (CharBiGRU, "gru")])
def test_a_word_is_the_last_state_of_each_direction(make: type[CharBiLSTM] | type[CharBiGRU], cell: str) -> None:
    torch.manual_seed(0)
    encoder = make(20, 5, 6).requires_grad_(False)
    torchs = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](5, 6, batch_first=True, bidirectional=True)
    ahead, back = (getattr(encoder, f"{direction}_{cell}").state_dict() for direction in ("forward", "backward"))
    torchs.load_state_dict({**ahead, **{f"{name}_reverse": value for name, value in back.items()}})
    words = [[3, 4, 5, 6], [7, 8]]
    found = encoder(torch.tensor([words[0], [*words[1], PADDING, PADDING]]))
    for word, vector in zip(words, found, strict=True):
        _, last = torchs(encoder.characters(torch.tensor([word])))
        states = last[0] if cell == "lstm" else last
        assert torch.allclose(vector, states.detach().flatten(), atol=1e-6)


def test_a_word_is_the_strongest_response_of_each_filter_at_any_window_that_holds_a_character() -> None:
    torch.manual_seed(0)
    encoder = CharCNN(20, 5, 6).requires_grad_(False)
    words = [[3, 4, 5], [7]]
    found = encoder(torch.tensor([words[0], [words[1][0], PADDING, PADDING]]))
    for word, vector in zip(words, found, strict=True):
        expected = []
        for width, conv in zip(encoder.widths, encoder.filters, strict=True):
            around = torch.zeros(width - 1, 5)
            characters = torch.cat([around, encoder.characters.weight[torch.tensor(word)], around])
            windows = [characters[start : start + width] for start in range(len(word) + width - 1)]
            responses = [(conv.weight * window.T).sum(dim=(1, 2)) + conv.bias for window in windows]
            expected.append(torch.stack(responses).amax(dim=0))
        assert torch.allclose(vector, torch.cat(expected).relu(), atol=1e-6)


def test_both_directions_agree_with_torchs_packed_bilstm() -> None:
    torch.manual_seed(0)
    ours, theirs = BiLSTM(4, 3), torch.nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    theirs.load_state_dict(
        {
            **ours.forward_lstm.state_dict(),
            **{f"{name}_reverse": value for name, value in ours.backward_lstm.state_dict().items()},
        }
    )
    vectors, lengths = torch.randn(3, 5, 4), torch.tensor([5, 2, 3])
    mask = torch.arange(5) < lengths.unsqueeze(1)
    packed = torch.nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    assert torch.allclose(ours(vectors, mask)[mask], expected[mask], atol=1e-6)


@pytest.fixture
def side_words() -> SideWords:
    torch.manual_seed(0)
    return SideWords(4, 3, 5)


def test_each_token_takes_the_states_of_the_words_beside_by_their_likeness_to_it(side_words: SideWords) -> None:
    side_words.requires_grad_(False)
    gru = torch.nn.GRU(4, 3, batch_first=True, bidirectional=True)
    gru.load_state_dict(
        {
            **side_words.context.forward_gru.state_dict(),
            **{f"{name}_reverse": value for name, value in side_words.context.backward_gru.state_dict().items()},
        }
    )
    gru.requires_grad_(False)
    vectors, tokens = torch.randn(3, 6, 4), torch.randn(3, 2, 5)
    lengths = torch.tensor([6, 1, 3])
    found = side_words(vectors, torch.arange(6) < lengths.unsqueeze(1), tokens)
    assert found.shape == (3, 2, side_words.dimension)
    for post, length in enumerate(lengths.tolist()):
        [states], _ = gru(vectors[post : post + 1, :length])
        for token in range(2):
            query = side_words.query.weight @ tokens[post, token]
            likeness = [math.exp(float(query @ state) / math.sqrt(6)) for state in states]
            expected = sum(weight / sum(likeness) * state for weight, state in zip(likeness, states, strict=True))
            assert torch.allclose(found[post, token], torch.as_tensor(expected), atol=1e-6)


def test_words_beside_a_post_are_read_alike_however_far_they_are_padded(side_words: SideWords) -> None:
    vectors, tokens = torch.randn(2, 3, 4), torch.randn(2, 2, 5)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    wider = torch.cat([vectors, torch.full((2, 4, 4), 1e3)], dim=1)
    narrow, wide = side_words(vectors, mask, tokens), side_words(wider, torch.nn.functional.pad(mask, (0, 4)), tokens)
    assert torch.allclose(narrow, wide, atol=1e-6)


def test_a_post_without_words_beside_it_is_zeros_and_teaches_nothing(side_words: SideWords) -> None:
    vectors, tokens = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 2, 5, requires_grad=True)
    found = side_words(vectors, torch.tensor([[True, True, False], [False, False, False]]), tokens)
    found.sum().backward()
    assert not bool(found[1].any())
    assert vectors.grad is not None
    assert tokens.grad is not None
    assert bool(vectors.grad.isfinite().all())
    assert bool(tokens.grad[0].any())
    assert not bool(vectors.grad[1].any())
    assert not bool(tokens.grad[1].any())


def test_reversal_leaves_padding_behind() -> None:
    rows = torch.tensor([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]]).unsqueeze(2)
    assert reverse_by_length(rows, torch.tensor([3, 1])).squeeze(2).tolist() == [[3, 2, 1, 0], [4, 0, 0, 0]]


# Pieces of words


def piece_encoder(trained: int = 3) -> PieceEncoder:
    torch.manual_seed(0)
    encoder = PieceEncoder(5, 4, trained)
    encoder.set_pretrained(np.vstack([np.zeros((1, 4)), np.eye(4)]).astype(np.float32))
    return encoder


def test_a_token_is_the_mean_of_its_pieces_and_none_is_zero() -> None:
    found = piece_encoder()(torch.tensor([[1, 2, 0], [4, 0, 0], [0, 0, 0]]))
    assert torch.allclose(found, torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0, 1.0], [0, 0, 0, 0]]), atol=1e-2)


def test_training_moves_the_first_pieces_alone_and_is_folded_into_eight_bits() -> None:
    encoder = piece_encoder(trained=3)
    assert encoder.correction is not None
    with torch.no_grad():
        encoder.correction.weight[1:] = torch.randn(2, 4)
    ids = torch.tensor([[1], [2], [3], [4], [0]])
    before = encoder(ids)
    encoder.fold()
    assert encoder.correction is None
    assert torch.allclose(encoder(ids), before, atol=before.abs().max().item() / 100)
    assert set(encoder.state_dict()) == {"codes", "scales"}
    after = encoder(ids)
    encoder.fold()
    assert torch.equal(encoder(ids), after)


def test_vectors_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected vectors \[5, 4\], got \[2, 4\]"):
        piece_encoder().set_pretrained(np.zeros((2, 4), dtype=np.float32))
