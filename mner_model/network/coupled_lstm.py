"""The entity LSTM of Moon et al. 2018, eq. 1: input and forget gate coupled, gates that see the cell (peepholes).

    i = σ(W_xi x + W_hi h₋ + W_ci c₋ + b_i)
    c = (1 − i) ⊙ c₋ + i ⊙ tanh(W_xc x + W_hc h₋ + b_c)
    o = σ(W_xo x + W_ho h₋ + W_co c + b_o)
    h = o ⊙ tanh(c)

torch has no such cell. Here autograd sees the scan over all tokens as one operation whose gradient is written by hand:
a token costs a few products and the gates' own functions, in place, both directions together; and the gradients of the
weights are one product each over all tokens when the scan has come back.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mner_model.network.encoders import reverse_by_length


class CoupledLSTM(nn.Module):
    """Both directions over padded posts, as `mner_model.network.encoders.BiLSTM` with the paper's cell."""

    def __init__(self, dimension: int, hidden: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden)
        # Gates in the order input, candidate, output; directions forward, backward.
        self.from_input = nn.Parameter(torch.empty(2, dimension, 3 * hidden).uniform_(-bound, bound))
        self.from_hidden = nn.Parameter(torch.empty(2, hidden, 3 * hidden).uniform_(-bound, bound))
        self.cell_to_input = nn.Parameter(torch.empty(2, hidden, hidden).uniform_(-bound, bound))
        self.cell_to_output = nn.Parameter(torch.empty(2, hidden, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(2, 1, 3 * hidden))
        self.hidden = hidden
        self.dimension = 2 * hidden

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """vectors [batch, tokens, dimension], mask bool [batch, tokens] → [batch, tokens, 2 × hidden]."""
        lengths = mask.sum(dim=1)
        read = torch.stack([vectors, reverse_by_length(vectors, lengths)]).transpose(1, 2)
        weights = (self.from_input, self.bias, self.from_hidden, self.cell_to_input, self.cell_to_output)
        # autocast would give some of the products another type than the states they are added to
        with torch.autocast(vectors.device.type, enabled=False):
            states = coupled_scan(read, *(weight.to(read.dtype) for weight in weights))
        ahead, back = states.transpose(1, 2)
        return torch.cat([ahead, reverse_by_length(back, lengths)], dim=2)


def coupled_scan(
    vectors: Tensor,
    from_input: Tensor,
    bias: Tensor,
    from_hidden: Tensor,
    cell_to_input: Tensor,
    cell_to_output: Tensor,
) -> Tensor:
    """The hidden state of eq. 1 after each token, from zeros on. All of one floating type; gradients once, not twice.

    vectors         [directions, tokens, batch, dimension]  each direction in its own order
    from_input      [directions, dimension, 3 × hidden]     W_xi, W_xc, W_xo
    bias            [directions, 1, 3 × hidden]             b_i, b_c, b_o
    from_hidden     [directions, hidden, 3 × hidden]        W_hi, W_hc, W_ho
    cell_to_input   [directions, hidden, hidden]            W_ci
    cell_to_output  [directions, hidden, hidden]            W_co
    returns         [directions, tokens, batch, hidden]
    """
    states = _CoupledScan.apply(vectors, from_input, bias, from_hidden, cell_to_input, cell_to_output)
    return cast(Tensor, states)


class _CoupledScan(torch.autograd.Function):
    """Gradients are named for what they are of: `of_cell` is that of the loss in the cell."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, from_input: Tensor, bias: Tensor, *recurrent: Tensor) -> Tensor:
        from_hidden, cell_to_input, cell_to_output = recurrent
        directions, tokens, batch, _ = vectors.shape
        size = from_hidden.shape[1]
        rows = vectors.flatten(1, 2)
        # what depends on the input alone, for all tokens; each token adds the rest
        gates = torch.baddbmm(bias, rows, from_input).view(directions, tokens, batch, 3 * size)
        take, candidate, output = gates.chunk(3, dim=3)
        # states before token t at t, after it at t + 1
        hidden, cell = (gates.new_empty(directions, tokens + 1, batch, size) for _ in range(2))
        hidden[:, 0] = cell[:, 0] = 0
        shown = gates.new_empty(directions, tokens, batch, size)
        for t in range(tokens):
            gates[:, t].baddbmm_(hidden[:, t], from_hidden)
            take[:, t].baddbmm_(cell[:, t], cell_to_input).sigmoid_()
            torch.lerp(cell[:, t], candidate[:, t].tanh_(), take[:, t], out=cell[:, t + 1])
            output[:, t].baddbmm_(cell[:, t + 1], cell_to_output).sigmoid_()
            torch.tanh(cell[:, t + 1], out=shown[:, t])
            torch.mul(output[:, t], shown[:, t], out=hidden[:, t + 1])
        ctx.save_for_backward(rows, gates, hidden, cell, shown, from_input, *recurrent)
        return hidden[:, 1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_states: Tensor) -> tuple[Tensor, ...]:
        rows, gates, hidden, cell, shown, from_input, *recurrent = ctx.saved_tensors
        to_hidden, input_to_cell, output_to_cell = (weight.mT for weight in recurrent)
        take, candidate, output = gates.chunk(3, dim=3)
        # how h answers to o's pre-activation and to c, and c to those of i and the candidate: this needs no scan
        hidden_by_output = torch.ops.aten.sigmoid_backward(shown, output)
        hidden_by_cell = torch.ops.aten.tanh_backward(output, shown)
        cell_by_take = torch.ops.aten.sigmoid_backward(candidate - cell[:, :-1], take)
        cell_by_candidate = torch.ops.aten.tanh_backward(take, candidate)

        of_gates = torch.empty_like(gates)
        of_take, of_candidate, of_output = of_gates.chunk(3, dim=3)
        of_hidden, of_cell = of_states[:, -1].clone(), torch.zeros_like(cell[:, -1])
        for t in reversed(range(gates.shape[1])):
            torch.mul(of_hidden, hidden_by_output[:, t], out=of_output[:, t])
            of_cell.addcmul_(of_hidden, hidden_by_cell[:, t]).baddbmm_(of_output[:, t], output_to_cell)
            torch.mul(of_cell, cell_by_take[:, t], out=of_take[:, t])
            torch.mul(of_cell, cell_by_candidate[:, t], out=of_candidate[:, t])
            of_cell.addcmul_(of_cell, take[:, t], value=-1).baddbmm_(of_take[:, t], input_to_cell)
            if t > 0:
                torch.baddbmm(of_states[:, t - 1], of_gates[:, t], to_hidden, out=of_hidden)

        of_rows = of_gates.flatten(1, 2)
        of_vectors = (of_rows @ from_input.mT).view(*gates.shape[:3], -1)
        of_recurrent = [
            states.flatten(1, 2).mT @ of_what.flatten(1, 2)
            for states, of_what in ((hidden[:, :-1], of_gates), (cell[:, :-1], of_take), (cell[:, 1:], of_output))
        ]
        return of_vectors, rows.mT @ of_rows, of_rows.sum(dim=1, keepdim=True), *of_recurrent
