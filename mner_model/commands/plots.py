"""`mner-model plot`: which modality counted for which token, and how a training went."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mner_model.commands.console import failures, say
from mner_model.commands.options import CHECKPOINT, DEVICE, FILE

if TYPE_CHECKING:
    from torch import Tensor

_OUT = click.Path(dir_okay=False, path_type=Path)


@click.group("plot")
def plot() -> None:
    """Pictures of what a tagger does and how it was trained."""


@plot.command()
@CHECKPOINT
@click.option("--image", type=FILE, help="The post's image.")
@click.option("--caption", help="To be read in place of what the image says.")
@click.option("--out", type=_OUT, help="PNG to write, FILE.png.  [default: a table on the terminal]")
@DEVICE
@click.argument("text")
def attention(
    checkpoint: Path | None, image: Path | None, caption: str | None, out: Path | None, device: str, text: str
) -> None:
    """Show how much each modality counted for each token of TEXT (Moon et al. 2018, Figure 3)."""
    from rich.console import Console

    from mner_model.plotting.attention_map import AttentionMap
    from mner_model.plotting.attention_picture import save_attention_picture
    from mner_model.plotting.attention_terminal import print_attention
    from mner_model.predictor import Predictor

    with failures():
        predictor = Predictor.load(checkpoint, device)
        shown = AttentionMap.of(predictor, text, None if image is None else _decoded(image), caption)
        if out is not None:
            save_attention_picture(shown, out)
            say(f"wrote {out}")
        else:
            print_attention(shown, Console())


def _decoded(file: Path) -> "Tensor":
    from mner_model.imaging.decoding import ImageUndecodable, decode
    from mner_model.plotting.figures import PlotError

    try:
        return decode(file.read_bytes())
    except (ImageUndecodable, OSError) as error:
        raise PlotError(f"{file}: cannot be decoded: {error}") from error


@plot.command("learning-curve")
@CHECKPOINT
@click.option("--out", type=_OUT, required=True, help="PNG to write, FILE.png.")
def learning_curve(checkpoint: Path | None, out: Path) -> None:
    """Show loss and validation F1 of a checkpoint's training, pass by pass."""
    from mner_model.checkpoints.checkpoint import default_checkpoint
    from mner_model.checkpoints.config_file import CONFIG_FILE, training_story
    from mner_model.plotting.learning_curve import LearningCurve, save_learning_curve

    with failures():
        folder = checkpoint or default_checkpoint()
        curve = LearningCurve.of(training_story(folder), f"checkpoint {folder}: {CONFIG_FILE}")
        save_learning_curve(curve, out)
        say(f"wrote {out}")
