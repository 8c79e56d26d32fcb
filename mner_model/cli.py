"""`mner-model`: train, evaluate and tag from the command line.

Data goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mner_model.config import ConfigError, TrainingConfig

if TYPE_CHECKING:
    from mner_model.data import Example
    from mner_model.post import Post
    from mner_model.predictor import Predictor
    from mner_model.presets import Preset
    from mner_model.train import EpochReport

_Callback = Callable[[int, int | None], None]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N")
_CHECKPOINT = click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="Checkpoint folder.  [default: the one in the package]"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("mner-stream"), prog_name="mner-model")
def main() -> None:
    """The tagger as a command: train one, evaluate one, tag with one."""


@main.command()
@click.option("--preset", "preset_name", default="word-char-image", show_default=True, help="See `mner-model presets`.")
@click.option("--train", "train_files", type=_FILE, multiple=True, required=True, help="CoNLL file to learn from.")
@click.option("--valid", "valid_files", type=_FILE, multiple=True, required=True, help="CoNLL file to choose by.")
@click.option("--vectors", type=_FILE, help="Word vectors in GloVe's text format, plain, .gz or .xz.")
@click.option("--words", type=int, help="Most pretrained words to keep.  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write the checkpoint to.")
@click.option("--name", help="The model's name in its records.  [default: the preset's]")
@click.option("--image-encoder", default="efficientnet-lite0", show_default=True, help="Whose labels describe images.")
@click.option("--image-weights", type=_FILE, help="State dict for it (.safetensors, .pth).  [default: as published]")
@click.option("--model", "model_changes", multiple=True, metavar="FIELD=VALUE", help="Change a field of ModelConfig.")
@click.option(
    "--recipe", "recipe_changes", multiple=True, metavar="FIELD=VALUE", help="Change a field of TrainingConfig."
)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data.  [default: the preset's]")
@click.option("--seed", type=int, default=TrainingConfig.seed, show_default=True)
@_DEVICE
def train(
    preset_name: str,
    train_files: tuple[Path, ...],
    valid_files: tuple[Path, ...],
    vectors: Path | None,
    words: int | None,
    out: Path,
    name: str | None,
    image_encoder: str,
    image_weights: Path | None,
    model_changes: tuple[str, ...],
    recipe_changes: tuple[str, ...],
    epochs: int | None,
    seed: int,
    device: str,
) -> None:
    """Train a tagger and write its checkpoint.

    Captions of the posts' images are read from FILE.captions.tsv beside each FILE.txt, where there are any.
    The weights with the best mean lenient F1 over the --valid files are kept; no other data has a say. Where the
    training stands is kept beside OUT, in OUT.training; the same command goes on from there after a stop.
    """
    from mner_model.checkpoint import check_destination
    from mner_model.image_encoder import ImageEncoderConfig
    from mner_model.image_words import check_image_encoder
    from mner_model.predictor import device_of
    from mner_model.presets import preset
    from mner_model.text_encoder import TextEncoder
    from mner_model.train import Trainer, WordVectors
    from mner_model.vocabulary import read_vectors

    with _failures():
        chosen = preset(preset_name)
        model_config = chosen.model.changed(_pairs(model_changes))
        recipe = replace(chosen.recipe, seed=seed, epochs=epochs or chosen.recipe.epochs)
        recipe = recipe.changed(_pairs(recipe_changes))
        images = None
        if "image" in model_config.modalities:
            images = ImageEncoderConfig(image_encoder, str(image_weights) if image_weights else None, "label_words")
            check_image_encoder(images)  # now, not after an hour of training
        check_destination(out)
        word_vectors, text = None, None
        if {"word", "image"} & {*model_config.modalities}:
            if vectors is None:
                raise ConfigError(f"--vectors: the modalities {', '.join(model_config.modalities)} need word vectors")
            _say(f"reading {vectors.name}")
            word_vectors = WordVectors(*read_vectors(vectors, words))
            dimension = word_vectors.vectors.shape[1]
            model_config = replace(model_config, word_dimension=dimension, image_dimension=dimension)
        if model_config.text_encoder:
            _say(f"reading {model_config.text_encoder}")
            text = TextEncoder.pretrained(model_config.text_encoder)
            # a folder's name is enough for people, and where it lies is nobody's business
            model_config = replace(model_config, text_encoder=Path(model_config.text_encoder).name)
        trainer = Trainer(
            [example for file in train_files for example in _read(file)],
            _validation_sets(valid_files),
            word_vectors,
            model_config,
            recipe,
            str(device_of(device)),
            text,
        )
        state_file = out.with_name(out.name + ".training")
        checkpoint = trainer.run(name or chosen.name, _say_epoch, state_file)
        if images is not None:
            checkpoint.set_image_encoder(images)
        fingerprint = checkpoint.save(out)
        state_file.unlink(missing_ok=True)
        _say(f"wrote {out}, fingerprint {fingerprint[:12]}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a preset instead of a table.")
def presets(as_json: bool) -> None:
    """List the taggers that `train --preset` trains."""
    from mner_model.presets import PRESETS

    if as_json:
        for one in PRESETS.values():
            about = {"name": one.name, "summary": one.summary, "source": one.source, "extra": one.extra}
            click.echo(json.dumps({**about, "model": one.model.to_json(), "recipe": one.recipe.to_json()}))
    else:
        _print_presets(PRESETS.values())


@main.command()
@_CHECKPOINT
@click.option("--data", type=_FILE, required=True, help="CoNLL file with gold tags.")
@click.option("--captions", type=_FILE, help="Image id TAB caption; caption words stand for the image.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@_DEVICE
def evaluate(checkpoint: Path | None, data: Path, captions: Path | None, as_json: bool, device: str) -> None:
    """Score a checkpoint: precision, recall and F1, strict and lenient, per type, seen and unseen."""
    from mner_model.evaluation_run import evaluate_checkpoint
    from mner_model.predictor import Predictor

    with _failures(), _progress("evaluating") as on_progress:
        result = evaluate_checkpoint(Predictor.load(checkpoint, device), data, captions, on_progress)
    if as_json:
        click.echo(json.dumps(result))
    else:
        _print_table(data, result)


@main.command()
@_CHECKPOINT
@_DEVICE
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def tag(checkpoint: Path | None, device: str, file: str) -> None:
    """Tag FILE (- for standard input): a post as JSON or plain text a line in, an entity record a line out.

    A line that is no post comes back as {"error": …, "detail": …, "line": …} in its place, and the exit status is 1.
    """
    from mner_model.predictor import Predictor
    from mner_model.tag_lines import POSTS_PER_CALL

    with _failures():
        predictor = Predictor.load(checkpoint, device)
    size = None if file == "-" else Path(file).stat().st_size
    with click.open_file(file, "rb") as posts, _progress("tagging", size) as on_progress:
        # from a terminal or a pipe each line is answered at once, from a file many together
        rejected = _tag_all(predictor, posts, 1 if size is None else POSTS_PER_CALL, on_progress, size)
    if rejected:
        _say(f"{rejected} lines were no posts")
        sys.exit(1)


def _tag_all(
    predictor: "Predictor", lines: Iterable[bytes], at_once: int, on_progress: _Callback, size: int | None
) -> int:
    """Prints the answer to every line; returns how many were no posts."""
    from mner_model.refusals import PostRefused
    from mner_model.tag_lines import read_line, tag_posts

    rejected, done = 0, 0
    pending: list[Post | bytes] = []

    def flush() -> None:
        records = iter(tag_posts(predictor, [line for line in pending if not isinstance(line, bytes)]))
        for line in pending:
            click.echo(line if isinstance(line, bytes) else next(records).encode())
        pending.clear()
        on_progress(done, size)

    for number, line in enumerate(lines, start=1):
        done += len(line)
        if not line.strip():
            continue
        try:
            pending.append(read_line(line, number))
        except PostRefused as refused:
            rejected += 1
            answer = {"error": refused.kind, "detail": refused.detail, "line": number}
            pending.append(json.dumps(answer, ensure_ascii=False).encode())
        if len(pending) >= at_once:
            flush()
    flush()
    return rejected


def _pairs(changes: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"expected FIELD=VALUE, got {change!r}")
        pairs[name] = value
    return pairs


def _read(file: Path) -> "list[Example]":
    from mner_model.data import read_conll

    captions = file.with_suffix(".captions.tsv")
    examples = read_conll(file, captions=captions if captions.exists() else None)
    _say(f"{file.parent.name}/{file.name}: {len(examples):,} posts" + (", with captions" if captions.exists() else ""))
    return examples


def _validation_sets(files: Iterable[Path]) -> "dict[str, list[Example]]":
    from mner_model.data import DataError

    sets: dict[str, list[Example]] = {}
    for file in files:
        if _set_name(file) in sets:
            raise DataError(f"{file}: a second validation set of the name {_set_name(file)}; give its folder another")
        sets[_set_name(file)] = _read(file)
    return sets


def _set_name(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def _say_epoch(report: "EpochReport") -> None:
    scores = ", ".join(f"{name} {scores.lenient.f1:.2%}" for name, scores in report.validation.items())
    best = "  best so far" if report.best else ""
    _say(f"pass {report.epoch:3}  loss {report.loss:7.3f}  lenient F1: {scores}{best}")


def _print_table(data: Path, result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    model, about = result["model"], result["data"]
    table = Table(title=f"{model['name']} {model['fingerprint'][:12]} on {_set_name(data)}")
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
    captions = f", {about['captions']:,} with captions" if about["captions"] else ", text only"
    console.print(
        f"{about['posts']:,} posts{captions}, data {about['fingerprint'][:12]}, "
        f"{model['parameters']:,} parameters, {result['posts_per_second']:,.0f} posts/s"
    )


def _print_presets(presets: "Iterable[Preset]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("preset", "what it is", "stands for", "needs the extra"):
        table.add_column(column)
    for one in presets:
        table.add_row(one.name, one.summary, one.source, one.extra)
    Console().print(table)


@contextmanager
def _progress(what: str, total: int | None = None) -> Iterator[_Callback]:
    """Gives a callback (done, of how many) that draws a bar on a terminal, unless records go to one as well."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal or sys.stdout.isatty()
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@contextmanager
def _failures() -> Iterator[None]:
    """Turns what can go wrong with files and checkpoints into one line on stderr and exit status 1."""
    from mner_model.checkpoint import CheckpointError
    from mner_model.data import DataError
    from mner_model.image_encoder import ImageEncoderError
    from mner_model.text_encoder import TextEncoderError
    from mner_model.training_state import TrainingStateError
    from mner_model.vocabulary import VectorsError

    known = (
        CheckpointError,
        ConfigError,
        DataError,
        ImageEncoderError,
        TextEncoderError,
        TrainingStateError,
        VectorsError,
    )
    try:
        yield
    except known as error:
        _say(f"mner-model: {error}")
        sys.exit(1)


def _say(line: str) -> None:
    click.echo(line, err=True)
