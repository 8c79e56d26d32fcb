"""`mner-model report` trains and scores presets, `mner-model presets` lists them with what was measured of them.

As everywhere: data to stdout, everything else to stderr; exit status 0 done, 1 failed, 2 wrong usage.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mner_model.commands.console import failures, say, say_epoch
from mner_model.commands.options import DEVICE, EPOCHS, FILE, PIECE_VECTORS, SOFT_TARGETS, TRAIN, VALID, VECTORS

if TYPE_CHECKING:
    from mner_model.presets import Preset
    from mner_model.reporting.results import Measured


@click.command()
@click.option(
    "--preset",
    "preset_options",
    multiple=True,
    required=True,
    metavar="NAME[:SEEDS]",
    help="A name of `presets`, NAME+FIELD=VALUE for a variant; with seeds of its own, mpnet:0; repeatable.",
)
@click.option(
    "--seeds",
    default="0,1,2",
    show_default=True,
    help="Train each preset with each of these, but one that has its own.",
)
@TRAIN
@VALID
@click.option(
    "--test", "test_files", type=FILE, multiple=True, required=True, help="Posts with gold to score on; repeatable."
)
@VECTORS
@click.option(
    "--words",
    type=click.IntRange(1),
    multiple=True,
    help="Read only the first so many words of --vectors; several times: a row each.  [default: all]",
)
@click.option(
    "--text-encoder",
    "text_encoders",
    multiple=True,
    metavar="[PRESET=]FOLDER",
    help="Folder of the pretrained Transformer of PRESET, and of all that read the same one; repeatable.",
)
@PIECE_VECTORS
@SOFT_TARGETS
@EPOCHS
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for checkpoints and results.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list of what was measured instead of tables.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file to put what was measured into, in place of earlier figures of the same training.",
)
@DEVICE
def report(
    preset_options: tuple[str, ...],
    seeds: str,
    train_files: tuple[Path, ...],
    valid_files: tuple[Path, ...],
    test_files: tuple[Path, ...],
    vectors: Path | None,
    words: tuple[int, ...],
    text_encoders: tuple[str, ...],
    piece_vectors: Path | None,
    soft_targets: tuple[Path, ...],
    epochs: int | None,
    out: Path,
    as_json: bool,
    results: Path | None,
    device: str,
) -> None:
    """Train and score presets, and print Markdown tables with everything needed to repeat them.

    Data are as for `mner-model train`; captions of CoNLL files lie in FILE.captions.tsv beside FILE.txt.

    Checkpoints and scores are kept in OUT: a report that is stopped goes on, one with a further preset trains that one.
    A checkpoint that is there and was trained otherwise is refused: other data, vectors or passes want another OUT.
    """
    from mner_model.predictor import device_of
    from mner_model.reporting.check import check_runs, recipe_of
    from mner_model.reporting.page import command_line, markdown
    from mner_model.reporting.plan import planned
    from mner_model.reporting.results import merge_results, results_json
    from mner_model.reporting.scores import measure, scored_sets
    from mner_model.training.run import Sources, train_to

    measured: list[Measured] = []
    with failures():
        runs = planned(preset_options, seeds, text_encoders, words)
        where = str(device_of(device))
        tests = scored_sets(test_files)
        sources = Sources(train_files, valid_files, vectors, soft_targets=soft_targets, piece_vectors=piece_vectors)
        check_runs(runs, out, sources, epochs, results, tests, where, say)
        for run in runs:
            one, folder = run.preset, out / run.folder
            if not folder.exists():
                say(f"{run.folder}: training")
                own = replace(sources, words=run.words, soft_targets=soft_targets if one.taught else ())
                recipe = recipe_of(run, epochs)
                train_to(folder, one.name, one.model, recipe, own, device=where, say=say, on_epoch=say_epoch)
            of_run = measure(one.name, run.seed, folder, tests, device, say, run.words)
            measured += of_run
            if results is not None:
                merge_results(results, of_run)
                say(f"{run.folder}: put into {results}")
    click.echo(results_json(measured) if as_json else markdown(measured, command_line(sys.argv[1:])), nl=False)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a preset instead of a table.")
def presets(as_json: bool) -> None:
    """List the taggers that `train --preset` trains, and what was measured of them (docs/results.md has more)."""
    from mner_model.presets import PRESETS
    from mner_model.reporting.results import read_results

    with failures():
        measured = read_results()
        if as_json:
            for one in PRESETS.values():
                click.echo(json.dumps(_preset_json(one, measured)))
        else:
            _print_presets(list(PRESETS.values()), measured)


def _preset_json(one: "Preset", measured: "Sequence[Measured]") -> dict[str, object]:
    from mner_model.reporting.results import summary, to_json

    about = {"name": one.name, "summary": one.summary, "source": one.source, "extra": one.extra, "taught": one.taught}
    in_short = summary(one.name, measured)
    return {
        **about,
        "model": one.model.to_json(),
        "recipe": one.recipe.to_json(),
        "parameters": in_short and in_short.parameters,
        "words": in_short and in_short.words,
        "size_bytes": in_short and in_short.size_bytes,
        "posts_per_second": in_short and round(in_short.posts_per_second, 1),
        "lenient_f1": dict(in_short.lenient_f1) if in_short else {},
        "measured": [to_json(other) for other in measured if other.preset == one.name],
    }


def _print_presets(presets: "Sequence[Preset]", measured: "Sequence[Measured]") -> None:
    from rich.console import Console

    from mner_model.reporting.presets_list import PIPE_WIDTH, preset_lines

    console = Console()
    # a pipe has no width but what COLUMNS says, which rich has read by now
    if console.width < 1 or (not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit()):
        console.width = PIPE_WIDTH
    for line in preset_lines(presets, measured, console.width):
        console.print(line, soft_wrap=True)
