"""The paper's cell, against its equation written out gate by gate, and its independence of padding."""

import pytest
import torch
from torch import Tensor

from mner_model.network.coupled_lstm import CoupledLSTM, coupled_scan


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


def plain_scan(
    vectors: Tensor,
    from_input: Tensor,
    bias: Tensor,
    from_hidden: Tensor,
    cell_to_input: Tensor,
    cell_to_output: Tensor,
) -> Tensor:
    """As `coupled_scan`, left to autograd."""
    hidden = cell = vectors.new_zeros(2, vectors.shape[2], from_hidden.shape[1])
    states = []
    for read in vectors.unbind(dim=1):
        take, candidate, output = (read @ from_input + hidden @ from_hidden + bias).chunk(3, dim=2)
        take = torch.sigmoid(take + cell @ cell_to_input)
        cell = (1 - take) * cell + take * torch.tanh(candidate)
        hidden = torch.sigmoid(output + cell @ cell_to_output) * torch.tanh(cell)
        states.append(hidden)
    return torch.stack(states, dim=1)


def scan_arguments(size: int = 3, dimension: int = 2) -> list[Tensor]:
    """float64, with gradients: two directions, four tokens, batch 2."""
    torch.manual_seed(0)
    shapes = [(4, 2, dimension), (dimension, 3 * size), (1, 3 * size), (size, 3 * size), (size, size), (size, size)]
    return [torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(coupled_scan, scan_arguments())


def test_states_and_gradients_are_those_of_autograd() -> None:
    arguments = scan_arguments()
    found, expected = coupled_scan(*arguments), plain_scan(*arguments)
    assert torch.allclose(found, expected)
    weight = torch.randn_like(found)
    of_found, of_expected = (torch.autograd.grad(states, arguments, weight) for states in (found, expected))
    assert all(torch.allclose(a, b) for a, b in zip(of_found, of_expected, strict=True))


def test_gradients_can_be_asked_for_again(lstm: CoupledLSTM) -> None:
    loss = lstm(*padded([torch.randn(4, 5)])).square().sum()
    parameters = list(lstm.parameters())
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(loss, parameters), strict=True))


def test_inference_mode_changes_nothing(lstm: CoupledLSTM) -> None:
    post = padded([torch.randn(4, 5)])
    with torch.inference_mode():
        states = lstm(*post).clone()
    assert torch.equal(states, lstm(*post).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_states_and_gradients_are_those_without_to_rounding(
    lstm: CoupledLSTM, dtype: torch.dtype
) -> None:
    vectors, mask = padded([torch.randn(4, 5), torch.randn(2, 5)])
    parameters = list(lstm.parameters())
    expected = lstm(vectors, mask)
    of_expected = torch.autograd.grad(expected.square().sum(), parameters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = lstm(vectors.to(dtype), mask)
        found = torch.autograd.grad(states.float().square().sum(), parameters)
    assert states.dtype == dtype
    assert torch.allclose(states.float(), expected, atol=0.03)
    assert all(a.dtype == b.dtype for a, b in zip(found, of_expected, strict=True))
    assert all(torch.allclose(a, b, atol=0.05, rtol=0.05) for a, b in zip(found, of_expected, strict=True))
