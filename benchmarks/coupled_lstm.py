"""python benchmarks/coupled_lstm.py [--rounds 30]

How long the paper's LSTM (`mner_model.network.coupled_lstm`: coupled gates and peepholes with full matrices, in Python
over torch's products) takes beside torch's own (`mner_model.network.encoders.BiLSTM`: four gates, no peepholes, in
C++), both ways over posts of 25 tokens, dimension 200, hidden 200, on one thread. The first row is what tagging costs,
the second a step of training without the optimizer.

Milliseconds of processor time, the median of the rounds: other work on the machine counts less so than by the clock.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mner_model.network.coupled_lstm import CoupledLSTM  # noqa: E402
from mner_model.network.encoders import BiLSTM  # noqa: E402

TOKENS, DIMENSION, HIDDEN = 25, 200, 200
BATCHES = (10, 64)
WARM_UP_ROUNDS = 3


def forward(layer: nn.Module, vectors: Tensor, mask: Tensor) -> None:
    """As tagging does."""
    with torch.inference_mode():
        layer(vectors, mask)


def forward_and_backward(layer: nn.Module, vectors: Tensor, mask: Tensor) -> None:
    """As training does, with gradients of the weights and of the vectors."""
    layer.zero_grad()
    layer(vectors, mask).sum().backward()


PASSES = {"forward": forward, "forward + backward": forward_and_backward}


def milliseconds(batch: int, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """What each round of each pass took: ours, torch's. They take turns."""
    layers = (CoupledLSTM(DIMENSION, HIDDEN), BiLSTM(DIMENSION, HIDDEN))
    vectors = torch.randn(batch, TOKENS, DIMENSION, requires_grad=True)
    mask = torch.ones(batch, TOKENS, dtype=torch.bool)
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in PASSES}
    for round_number in range(WARM_UP_ROUNDS + rounds):
        for name, run in PASSES.items():
            for layer, times in zip(layers, taken[name], strict=True):
                started = time.process_time()
                run(layer, vectors, mask)
                if round_number >= WARM_UP_ROUNDS:
                    times.append((time.process_time() - started) * 1000)
    return taken


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(
        f"machine      {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f} before"
    )
    print(f"{'milliseconds':34}{'ours':>7}{'min':>7}{'max':>7}{'torch':>9}{'min':>7}{'max':>7}   ours takes")
    for batch in BATCHES:
        for name, (ours, torchs) in milliseconds(batch, rounds).items():
            middle, its_middle = statistics.median(ours), statistics.median(torchs)
            print(
                f"{f'batch {batch}, {name}':34}{middle:7.1f}{min(ours):7.1f}{max(ours):7.1f}"
                f"{its_middle:9.1f}{min(torchs):7.1f}{max(torchs):7.1f}{middle / its_middle:9.2f} ×"
            )
    print(f"{rounds} rounds, alternating; one thread, {TOKENS} tokens a post, dimension {DIMENSION}, hidden {HIDDEN}")


if __name__ == "__main__":
    main()
