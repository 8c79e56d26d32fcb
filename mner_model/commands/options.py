"""Options that several commands have, so that each is one thing with one help text everywhere."""

from pathlib import Path

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N")
CHECKPOINT = click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="Checkpoint folder.  [default: the one in the package]"
)
TRAIN = click.option(
    "--train",
    "train_files",
    type=FILE,
    multiple=True,
    required=True,
    help="Posts with gold to learn from, CoNLL or JSON lines; repeatable.",
)
VALID = click.option(
    "--valid", "valid_files", type=FILE, multiple=True, required=True, help="Posts with gold to choose by; repeatable."
)
VECTORS = click.option(
    "--vectors", type=FILE, help="Word vectors in GloVe's text format (plain, .gz, .xz); for words and images."
)
PIECE_VECTORS = click.option(
    "--piece-vectors", type=FILE, help="What `mner-model piece-vectors` wrote; for the modality piece."
)
SOFT_TARGETS = click.option(
    "--soft-targets",
    type=FILE,
    multiple=True,
    help="What `mner-model teach` wrote, to learn from other taggers as well; of several the mean.",
)
SEED = click.option("--seed", type=int, default=0, show_default=True, help="Start of all random numbers.")
EPOCHS = click.option("--epochs", type=click.IntRange(1), help="Passes over the data.  [default: the preset's]")
