"""`mner-model train`."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mner_model.commands.console import failures, say, say_epoch
from mner_model.commands.options import DEVICE, EPOCHS, FILE, PIECE_VECTORS, SEED, SOFT_TARGETS, TRAIN, VALID, VECTORS
from mner_model.config import ConfigError

if TYPE_CHECKING:
    from mner_model.presets import Preset


@click.command()
@click.option(
    "--preset",
    "preset_name",
    default="word-char-image",
    show_default=True,
    help="A name of `presets`; NAME+FIELD=VALUE for a variant.",
)
@TRAIN
@VALID
@VECTORS
@click.option("--words", type=click.IntRange(1), help="Read only the first so many words.  [default: all]")
@PIECE_VECTORS
@SOFT_TARGETS
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write the checkpoint to.")
@click.option("--name", help="The model's name in its records.  [default: the preset's]")
@click.option(
    "--image-encoder",
    show_default="efficientnet-lite0",
    help="Its labels stand for an image, or for its caption, when tagging.",
)
@click.option("--image-weights", type=FILE, help="State dict for it (.safetensors, .pth).  [default: as published]")
@click.option(
    "--captioner",
    type=click.Path(path_type=Path),
    help="Folder of what captions images when tagging, in place of labels; for models that read captions.",
)
@click.option(
    "--model", "model_changes", multiple=True, metavar="FIELD=VALUE", help="Change the preset's model; repeatable."
)
@click.option(
    "--recipe", "recipe_changes", multiple=True, metavar="FIELD=VALUE", help="Change the preset's training; repeatable."
)
@EPOCHS
@SEED
@DEVICE
def train(
    preset_name: str,
    train_files: tuple[Path, ...],
    valid_files: tuple[Path, ...],
    vectors: Path | None,
    words: int | None,
    piece_vectors: Path | None,
    soft_targets: tuple[Path, ...],
    out: Path,
    name: str | None,
    image_encoder: str | None,
    image_weights: Path | None,
    captioner: Path | None,
    model_changes: tuple[str, ...],
    recipe_changes: tuple[str, ...],
    epochs: int | None,
    seed: int,
    device: str,
) -> None:
    """Train a tagger and write its checkpoint.

    Data are raw texts with spans, one JSON object a line, in files whose names end in .jsonl or .jsonl.xz. Other files
    are CoNLL: a word, a TAB and a BIO tag a line, a blank line after each post, and IMGID:… before one with an image.
    Captions of the images are read from FILE.captions.tsv beside each FILE.txt, where there are any. Sets that annotate
    other types are learned together: a set has no say on a type that it does not name.

    The weights with the best mean lenient F1 over the --valid files are kept, read with their captions where the recipe
    says choose_with_images and else from text alone; no other data has a say. Where the training stands is kept beside
    OUT, in OUT.training; the same command goes on from there after a stop.
    """
    from mner_model.imaging.encoder import ImageEncoderConfig
    from mner_model.predictor import device_of
    from mner_model.presets import preset, variant_fields
    from mner_model.training.run import Sources, train_to

    with failures():
        of_model, of_recipe = _pairs(model_changes), _pairs(recipe_changes)
        for said in variant_fields(preset_name):
            if said in of_model or said in of_recipe:
                raise ConfigError(f"--preset {preset_name}: says {said} already, expected it once")
        if "seed" in of_recipe or (epochs and "epochs" in of_recipe):
            raise ConfigError("--recipe: expected the seed by --seed, and the epochs by --epochs or here, not by both")
        chosen = preset(preset_name).changed(of_model, of_recipe, is_taught=bool(soft_targets))
        chosen.check_soft_targets(soft_targets)
        _check_read(chosen, vectors, words, piece_vectors, image_encoder, image_weights)
        recipe = replace(chosen.recipe, seed=seed, epochs=epochs or chosen.recipe.epochs)
        if captioner is not None and (image_encoder or image_weights):
            raise ConfigError("--captioner: expected no --image-encoder and no --image-weights: it has its own")
        images = ImageEncoderConfig(
            image_encoder or ImageEncoderConfig().backbone, str(image_weights) if image_weights else None
        )
        fingerprint = train_to(
            out,
            name or chosen.name,
            chosen.model,
            recipe,
            Sources(train_files, valid_files, vectors, words, images, soft_targets, captioner, piece_vectors),
            device=str(device_of(device)),
            say=say,
            on_epoch=say_epoch,
        )
        say(f"wrote {out}, fingerprint {fingerprint[:12]}")


def _pairs(changes: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"expected FIELD=VALUE, got {change!r}")
        pairs[name] = value
    return pairs


def _check_read(
    chosen: "Preset",
    vectors: Path | None,
    words: int | None,
    piece_vectors: Path | None,
    image_encoder: str | None,
    image_weights: Path | None,
) -> None:
    """Raises ConfigError for an option that would change nothing; None is for one that was not given."""
    images_read = "a model that reads images or captions", chosen.model.reads_images
    for option, given, (needed, is_here) in (
        ("--vectors", vectors, ("the modality word or image", bool(chosen.model.in_words))),
        ("--words", words, ("--vectors", vectors is not None)),
        ("--piece-vectors", piece_vectors, ("the modality piece", "piece" in chosen.model.modalities)),
        ("--image-encoder", image_encoder, images_read),
        ("--image-weights", image_weights, images_read),
    ):
        if given is not None and not is_here:
            raise ConfigError(f"{option}: would change nothing in preset {chosen.name}, expected {needed} with it")
