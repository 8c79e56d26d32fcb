"""`mner-model train-captioner` and `mner-model caption`.

As everywhere: data to stdout, everything else to stderr; exit status 0 done, 1 failed, 2 wrong usage.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mner_model.commands.console import failures, progress, say
from mner_model.commands.options import DEVICE, FILE, SEED

if TYPE_CHECKING:
    from torch import Tensor

    from mner_model.captioning.captioner import Captioner
    from mner_model.captioning.training import CaptionEpochReport

_IMAGES_PER_CALL = 16


@click.command("train-captioner")
@click.option("--train", "train_file", type=FILE, required=True, help="Image file TAB caption a line, to learn from.")
@click.option("--valid", "valid_file", type=FILE, required=True, help="Likewise, of other images, to choose by.")
@click.option(
    "--backbone", default="resnet50", show_default=True, help="Image encoder; efficientnet-lite0 needs no download."
)
@click.option("--weights", type=FILE, help="State dict for it (.safetensors, .pth).  [default: as published]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write the captioner to.")
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True, help="Passes over the data.")
@SEED
@DEVICE
def train_captioner(
    train_file: Path,
    valid_file: Path,
    backbone: str,
    weights: Path | None,
    out: Path,
    epochs: int,
    seed: int,
    device: str,
) -> None:
    """Train a captioner on images with captions.

    Names of image files start from the folder of the file they stand in; an image may have several captions. The
    weights with the lowest loss on --valid are kept, so its images should show what others in --train show too. Where
    the training stands is kept beside OUT, in OUT.training; the same command goes on from there after a stop.
    """
    from mner_model.captioning.captioner import check_captioner_destination
    from mner_model.captioning.training import CaptionTrainer, CaptionTrainingConfig, read_captioned_images
    from mner_model.imaging.encoder import ImageEncoderConfig
    from mner_model.predictor import device_of

    def say_epoch(report: "CaptionEpochReport") -> None:
        best = "  best so far" if report.best else ""
        losses = f"loss {report.loss:6.3f}  on validation {report.validation_loss:6.3f}"
        say(f"pass {report.epoch:3}  {losses} nats a word{best}")

    with failures():
        check_captioner_destination(out)
        train, validation = read_captioned_images(train_file), read_captioned_images(valid_file)
        say(f"{len(train):,} captions to learn from, {len(validation):,} to choose by")
        with progress("encoding images") as on_progress:
            trainer = CaptionTrainer(
                train,
                validation,
                ImageEncoderConfig(backbone, str(weights) if weights else None),
                CaptionTrainingConfig(seed=seed, epochs=epochs),
                device=device_of(device),
                on_image=on_progress,
            )
        place = Path(os.path.abspath(out))  # "." has no name to write another beside
        state_file = place.with_name(place.name + ".training")
        captioner = trainer.run(say_epoch, state_file)
        fingerprint = captioner.save(place)
        state_file.unlink(missing_ok=True)
        say(f"wrote {out}, fingerprint {fingerprint[:12]}")


@click.command("caption")
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="Folder of a captioner.")
@click.option("--weights", type=FILE, help="Its backbone's state dict, where that has moved.")
@click.option("--beam", type=click.IntRange(1), default=3, show_default=True, help="Width of the beam search.")
@click.option("--max-words", type=click.IntRange(1), default=20, show_default=True, help="Of a caption.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@DEVICE
@click.argument("files", metavar="FILE...", type=click.Path(), nargs=-1, required=True)
def caption(
    checkpoint: Path,
    weights: Path | None,
    beam: int,
    max_words: int,
    as_json: bool,
    device: str,
    files: tuple[str, ...],
) -> None:
    """Say what images show.

    One line an image, file TAB caption, in their order.

    A file that is missing or no image is named on stderr, with --json as {"file": …, "error": …} in its place too; the
    others are captioned all the same, and the exit status is 1.
    """
    import torch

    from mner_model.captioning.captioner import Captioner
    from mner_model.errors import reason
    from mner_model.imaging.decoding import ImageUndecodable
    from mner_model.predictor import device_of

    with failures():
        captioner = Captioner.load(checkpoint, device_of(device), weights=weights)
    refused = 0
    for start in range(0, len(files), _IMAGES_PER_CALL):
        some = files[start : start + _IMAGES_PER_CALL]
        images: dict[str, Tensor] = {}
        errors: dict[str, str] = {}
        for file in some:
            try:
                images[file] = _picture(captioner, file)
            except ImageUndecodable as error:
                errors[file] = str(error)
                say(f"mner-model: {file}: cannot be decoded: {error}")
            except OSError as error:
                errors[file] = f"cannot be read: {reason(error)}"
                say(f"mner-model: {file}: {errors[file]}")
        refused += len(errors)
        captions = {}
        if images:
            said = captioner.words(torch.stack([*images.values()]), beam, max_words)
            captions = {file: captioner.text(words) for file, words in zip(images, said, strict=True)}
        for file in some:
            if as_json:
                answer = {"error": errors[file]} if file in errors else {"caption": captions[file]}
                click.echo(json.dumps({"file": file, **answer}, ensure_ascii=False))
            elif file in captions:
                click.echo(f"{file}\t{captions[file]}")
    if refused:
        sys.exit(1)


def _picture(captioner: "Captioner", file: str) -> "Tensor":
    """Cut and resized at once: a batch of large photos would not fit into memory."""
    from mner_model.imaging.decoding import decode

    return captioner.encoder.preprocess(decode(Path(file).read_bytes()))
