"""The entity LSTM of Moon et al. 2018, eq. 1: input and forget gate coupled, gates that see the cell (peepholes).

    i = σ(W_xi x + W_hi h₋ + W_ci c₋ + b_i)
    c = (1 − i) ⊙ c₋ + i ⊙ tanh(W_xc x + W_hc h₋ + b_c)
    o = σ(W_xo x + W_ho h₋ + W_co c + b_o)
    h = o ⊙ tanh(c)

torch has no such cell. What depends on x alone is one product over all steps; both directions take each step
together; a step is then two products: one of [h₋; c₋] for all gates, one of c for the output gate.
"""

import math

import torch
from torch import Tensor, nn

from mner_model.encoders import reverse_by_length


class CoupledLSTM(nn.Module):
    """Both directions over padded posts, as `mner_model.encoders.BiLSTM` with the paper's cell."""

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
        batch, tokens, dimension = vectors.shape
        lengths = mask.sum(dim=1)
        both = torch.stack([vectors, reverse_by_length(vectors, lengths)]).view(2, batch * tokens, dimension)
        inputs = torch.baddbmm(self.bias, both, self.from_input).view(2, batch, tokens, 3 * self.hidden)
        ahead, back = self._scan(inputs)
        return torch.cat([ahead, reverse_by_length(back, lengths)], dim=2)

    def _scan(self, inputs: Tensor) -> Tensor:
        """[2, batch, tokens, 3 × hidden] of the inputs → [2, batch, tokens, hidden]."""
        size = self.hidden
        cell_to_gates = torch.cat([self.cell_to_input, self.cell_to_input.new_zeros(2, size, 2 * size)], dim=2)
        from_state = torch.cat([self.from_hidden, cell_to_gates], dim=1)
        hidden = cell = inputs.new_zeros(2, inputs.shape[1], size)
        steps = []
        for of_input in inputs.unbind(dim=2):
            gates = torch.baddbmm(of_input, torch.cat([hidden, cell], dim=2), from_state)
            take, candidate, output = gates.chunk(3, dim=2)
            cell = torch.lerp(cell, torch.tanh(candidate), torch.sigmoid(take))
            hidden = torch.sigmoid(torch.baddbmm(output, cell, self.cell_to_output)) * torch.tanh(cell)
            steps.append(hidden)
        return torch.stack(steps, dim=2)
