import numpy as np
import pytest
import torch

from mner_model.encoders import BiLSTM, CharBiLSTM, CharCNN, WordEncoder, quantise, reverse_by_length
from mner_model.vocabulary import PADDING


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


@pytest.mark.parametrize("make", [CharBiLSTM, CharCNN])
def test_a_word_is_read_alike_alone_and_beside_longer_ones(make: type[CharBiLSTM] | type[CharCNN]) -> None:
    torch.manual_seed(0)
    encoder = make(20, 5, 6).eval()
    together = torch.tensor([[3, 4, 0, 0, 0, 0], [5, 6, 7, 8, 9, 10], [2, 0, 0, 0, 0, 0]])
    alone = [encoder(together[:1, :2]), encoder(together[1:2]), encoder(together[2:3, :1])]
    assert torch.allclose(encoder(together), torch.cat(alone), atol=1e-6)
    assert encoder(together).shape == (3, encoder.dimension)


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


def test_reversal_leaves_padding_behind() -> None:
    rows = torch.tensor([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]]).unsqueeze(2)
    assert reverse_by_length(rows, torch.tensor([3, 1])).squeeze(2).tolist() == [[3, 2, 1, 0], [4, 0, 0, 0]]
