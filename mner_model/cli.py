"""`mner-model`: train, evaluate and tag from the command line.

Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mner_model.captioning.commands import caption, train_captioner
from mner_model.config import ConfigError, TrainingConfig
from mner_model.console import ProgressCallback, failures, progress, say, say_epoch
from mner_model.options import CHECKPOINT, DEVICE, EPOCHS, FILE, TRAIN, VALID, VECTORS
from mner_model.output import Commands
from mner_model.plotting.commands import plot
from mner_model.reporting.commands import presets, report
from mner_model.segmenter.commands import evaluate_segmenter, segment, train_segmenter
from mner_model.training.teaching_commands import teach

if TYPE_CHECKING:
    from mner_model.post import Post
    from mner_model.predictor import Predictor
    from mner_model.presets import Preset


_MOST_NAMES = 8


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("mner-stream"), prog_name="mner-model")
def main() -> None:
    """Find the people, places and organisations in posts; train and score what does it.

    Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
    """


for command in (report, presets, teach, train_captioner, caption, plot, segment, train_segmenter, evaluate_segmenter):
    main.add_command(command)


@main.command()
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
@click.option("--soft-targets", type=FILE, help="What `mner-model teach` wrote; to learn from other taggers as well.")
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
@click.option("--seed", type=int, default=TrainingConfig.seed, show_default=True, help="Of all that is random.")
@DEVICE
def train(
    preset_name: str,
    train_files: tuple[Path, ...],
    valid_files: tuple[Path, ...],
    vectors: Path | None,
    words: int | None,
    soft_targets: Path | None,
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

    Data are CoNLL files: a word, a TAB and a BIO tag a line, a blank line after each post, and IMGID:… before one with
    an image. Captions of the posts' images are read from FILE.captions.tsv beside each FILE.txt, where there are any.
    The weights with the best mean lenient F1 over the --valid files are kept, read with their captions where the recipe
    says choose_with_images and else from text alone; no other data has a say. Where the training stands is kept beside
    OUT, in OUT.training; the same command goes on from there after a stop.
    """
    from mner_model.image_encoder import ImageEncoderConfig
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
        chosen = preset(preset_name).changed(of_model, of_recipe, is_taught=soft_targets is not None)
        chosen.check_soft_targets(soft_targets)
        _check_read(chosen, vectors, words, image_encoder, image_weights)
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
            Sources(train_files, valid_files, vectors, words, images, soft_targets, captioner),
            device=str(device_of(device)),
            say=say,
            on_epoch=say_epoch,
        )
        say(f"wrote {out}, fingerprint {fingerprint[:12]}")


@main.command()
@CHECKPOINT
@click.option("--data", type=FILE, required=True, help="CoNLL file with gold tags.")
@click.option("--captions", type=FILE, help="Image id TAB caption a line, to score with images too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@DEVICE
def evaluate(checkpoint: Path | None, data: Path, captions: Path | None, as_json: bool, device: str) -> None:
    """Score a checkpoint against gold tags.

    Precision, recall and F1 per type, and of mentions seen and unseen in training. Strict takes the gold tags as IOB2
    has them, where an I- that continues nothing begins nothing; lenient lets it begin a mention, as conlleval does.
    """
    from mner_model.data import repairs, set_name
    from mner_model.evaluation_run import evaluate_checkpoint
    from mner_model.predictor import Predictor

    with failures(), progress("evaluating") as on_progress:
        predictor = Predictor.load(checkpoint, device)
        if captions is not None and not predictor.reads_captions:
            say(f"model {predictor.name} reads no images: scored without --captions")
        if borne_with := repairs(data):
            say(f"{set_name(data)}: not sound, read all the same: {borne_with}")
        result = evaluate_checkpoint(predictor, data, captions, on_progress)
    if as_json:
        click.echo(json.dumps(result))
    else:
        _print_table(data, result)


@main.command()
@CHECKPOINT
@click.option("--image-effect", is_flag=True, help="Say of each mention what the image did to its confidence.")
@DEVICE
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def tag(checkpoint: Path | None, image_effect: bool, device: str, file: str) -> None:
    """Tag the posts of FILE (- for standard input).

    A post as JSON or plain text a line in, an entity record as JSON a line out, in the same order.

    A post's JSON has an id and a text, and where there is an image its bytes as base64 in image_data; image_url is
    left alone, as this does no network. In a shell:

    \b
      printf '{"id": "1", "text": "Sunrise over the Golden Gate", "image_data": "%s"}\\n' \\
        "$(base64 < FILE | tr -d '\\n')" | mner-model tag -

    A line that is no post comes back as {"error": …, "detail": …, "line": …} in its place, and the exit status is 1.
    Fields that no post has are ignored, and named at the end.
    """
    from mner_model.predictor import Predictor
    from mner_model.refusals import shown
    from mner_model.tag_lines import POSTS_PER_CALL

    with failures():
        predictor = Predictor.load(checkpoint, device)
    size = None if file == "-" else Path(file).stat().st_size
    with click.open_file(file, "rb") as posts, progress("tagging", size) as on_progress:
        # from a terminal or a pipe each line is answered at once, from a file many together
        at_once = 1 if size is None else POSTS_PER_CALL
        met = _tag_all(predictor, posts, at_once, on_progress, size, image_effect)
    if met.ignored:
        names = ", ".join(map(shown, islice(met.ignored, _MOST_NAMES))) + ", …" * (len(met.ignored) > _MOST_NAMES)
        say(f"fields that no post has were ignored, from line {met.ignored_from} on: {names}")
    if image_effect and not met.images:
        why = "no post had an image that could be used"
        if predictor.image_dimension is None:
            why = f"model {predictor.name} reads no images"
        say(f"--image-effect: {why}, so no mention tells of one")
    if met.rejected:
        say("1 line was no post" if met.rejected == 1 else f"{met.rejected} lines were no posts")
        sys.exit(1)


@dataclass
class _Met:
    """What `tag` tells of at its end: lines that were no posts, images that were used, fields that no post has."""

    rejected: int = 0
    images: int = 0
    ignored: dict[str, None] = field(default_factory=dict)  # in the order in which they came
    ignored_from: int = 0  # line


def _tag_all(
    predictor: "Predictor",
    lines: Iterable[bytes],
    at_once: int,
    on_progress: ProgressCallback,
    size: int | None,
    image_effect: bool,
) -> _Met:
    """Prints the answer to every line."""
    from mner_model.image_status import ImageStatus
    from mner_model.refusals import PostRefused
    from mner_model.tag_lines import ignored_fields, read_line, tag_posts

    met, done = _Met(), 0
    pending: list[Post | bytes] = []

    def flush() -> None:
        posts = [line for line in pending if not isinstance(line, bytes)]
        records = tag_posts(predictor, posts, image_effect)
        met.images += sum(record.image.status is ImageStatus.USED for record in records)
        answers = iter(records)
        for line in pending:
            click.echo(line if isinstance(line, bytes) else next(answers).encode())
        pending.clear()
        on_progress(done, size)

    for number, line in enumerate(lines, start=1):
        done += len(line)
        if not line.strip():
            continue
        try:
            pending.append(read_line(line, number))
        except PostRefused as refused:
            met.rejected += 1
            answer = {"error": refused.kind, "detail": refused.detail, "line": number}
            pending.append(json.dumps(answer, ensure_ascii=False).encode())
        else:
            if ignored := ignored_fields(line, number):
                met.ignored_from = met.ignored_from or number
                met.ignored |= dict.fromkeys(ignored)
        if len(pending) >= at_once:
            flush()
    flush()
    return met


def _pairs(changes: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"expected FIELD=VALUE, got {change!r}")
        pairs[name] = value
    return pairs


def _check_read(
    chosen: "Preset", vectors: Path | None, words: int | None, image_encoder: str | None, image_weights: Path | None
) -> None:
    """Raises ConfigError for an option that would change nothing; None is for one that was not given."""
    images_read = "a model that reads images or captions", chosen.model.reads_images
    for option, given, (needed, is_here) in (
        ("--vectors", vectors, ("the modality word or image", bool(chosen.model.in_words))),
        ("--words", words, ("--vectors", vectors is not None)),
        ("--image-encoder", image_encoder, images_read),
        ("--image-weights", image_weights, images_read),
    ):
        if given is not None and not is_here:
            raise ConfigError(f"{option}: would change nothing in preset {chosen.name}, expected {needed} with it")


def _print_table(data: Path, result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from mner_model.data import set_name

    model, about = result["model"], result["data"]
    table = Table(title=f"{model['name']} {model['fingerprint'][:12]} on {set_name(data)}")
    table.add_column("")
    for column in ("precision", "recall", "F1", "mentions"):
        table.add_column(column, justify="right")
    rows = [(reading, result[reading]) for reading in ("strict", "lenient", "segmentation")]
    rows += [(f"{type_} (lenient)", score) for type_, score in result["per_type"].items()]
    rows += [(f"{reading} in training", result[reading]) for reading in ("seen", "unseen")]
    for label, score in rows:
        figures = [f"{score[key]:.2%}" for key in ("precision", "recall", "f1")]
        table.add_row(label, *figures, str(score.get("support", about["mentions"] if label != "strict" else "")))
    console = Console()
    console.print(table)
    low, high = result["lenient_f1_interval"]
    console.print(f"lenient F1 between {low:.2%} and {high:.2%} (95 %, bootstrap over posts)")
    if "without_images" in result:
        strict, lenient = (result["without_images"][reading]["f1"] for reading in ("strict", "lenient"))
        console.print(f"without the images: strict F1 {strict:.2%}, lenient {lenient:.2%}")
    captions = f", {about['captions']:,} with captions" if about["captions"] else ", text only"
    of_core = result["posts_per_core_second"]
    console.print(f"{about['posts']:,} posts{captions}, data {about['fingerprint'][:12]}")
    speed = f"{of_core:,.0f} posts/s of one core" if of_core else f"{result['posts_per_second']:,.0f} posts/s"
    console.print(f"{model['parameters']:,} parameters, {speed}")
