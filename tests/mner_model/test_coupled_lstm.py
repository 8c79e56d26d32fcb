"""The paper's cell, against its equation written out gate by gate, and its independence of padding."""

import pytest
import torch
from torch import Tensor

from mner_model.coupled_lstm import CoupledLSTM


def as_written(lstm: CoupledLSTM, direction: int, vectors: Tensor) -> Tensor:
    """Moon et al. 2018, eq. 1, for one post: [tokens, dimension] → [tokens, hidden]."""
    size = lstm.hidden
    w_xi, w_xc, w_xo = lstm.from_input[direction].T.split(size)
    w_hi, w_hc, w_ho = lstm.from_hidden[direction].T.split(size)
    w_ci, w_co = lstm.cell_to_input[direction].T, lstm.cell_to_output[direction].T
    b_i, b_c, b_o = lstm.bias[direction, 0].split(size)
    hidden, cell, states = torch.zeros(size), torch.zeros(size), []
    for x in vectors:
        i = torch.sigmoid(w_xi @ x + w_hi @ hidden + w_ci @ cell + b_i)
        cell = (1 - i) * cell + i * torch.tanh(w_xc @ x + w_hc @ hidden + b_c)
        o = torch.sigmoid(w_xo @ x + w_ho @ hidden + w_co @ cell + b_o)
        hidden = o * torch.tanh(cell)
        states.append(hidden)
    return torch.stack(states)


@pytest.fixture
def lstm() -> CoupledLSTM:
    torch.manual_seed(0)
    made = CoupledLSTM(5, 4)
    torch.nn.init.normal_(made.bias)
    return made


def padded(posts: list[Tensor]) -> tuple[Tensor, Tensor]:
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(post), dtype=torch.bool) for post in posts], True)
    return torch.nn.utils.rnn.pad_sequence(posts, True, padding_value=7.0), mask


def test_states_are_those_of_the_equation_in_both_directions(lstm: CoupledLSTM) -> None:
    posts = [torch.randn(length, 5) for length in (7, 1, 4)]
    states = lstm(*padded(posts))
    for row, post in enumerate(posts):
        ahead, back = as_written(lstm, 0, post), as_written(lstm, 1, post.flip(0)).flip(0)
        assert torch.allclose(states[row, : len(post)], torch.cat([ahead, back], dim=1), atol=1e-6)


def test_gradients_are_those_of_the_equation(lstm: CoupledLSTM) -> None:
    post = torch.randn(6, 5)
    lstm(*padded([post])).square().sum().backward()
    found = [parameter.grad.clone() for parameter in lstm.parameters() if parameter.grad is not None]
    lstm.zero_grad()
    for direction, read in ((0, post), (1, post.flip(0))):
        as_written(lstm, direction, read).square().sum().backward()  # type: ignore[no-untyped-call]
    expected = [parameter.grad for parameter in lstm.parameters() if parameter.grad is not None]
    assert len(found) == len(expected) == 5
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_padding_and_neighbours_change_nothing(lstm: CoupledLSTM) -> None:
    short, long = torch.randn(3, 5), torch.randn(9, 5)
    together = lstm(*padded([short, long]))[0, :3]
    assert torch.allclose(together, lstm(*padded([short]))[0], atol=1e-6)
