"""`mner-model evaluate`."""

import json
from pathlib import Path
from typing import Any

import click

from mner_model.commands.console import failures, progress, say
from mner_model.commands.options import CHECKPOINT, DEVICE, FILE


@click.command()
@CHECKPOINT
@click.option("--data", type=FILE, required=True, help="Posts with gold, CoNLL or JSON lines.")
@click.option("--captions", type=FILE, help="Image id TAB caption a line, to score with images too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@DEVICE
def evaluate(checkpoint: Path | None, data: Path, captions: Path | None, as_json: bool, device: str) -> None:
    """Score a checkpoint against gold.

    A name that ends in .jsonl or .jsonl.xz is of raw texts with spans, one JSON object a line: mentions are scored as
    `tag` would publish them, by their offsets, and types that a line does not name in "types" have no say. Any other
    file is CoNLL, a word, a TAB and a BIO tag a line: scored on its words.

    Precision, recall and F1 per type, and of mentions seen and unseen in training. Strict takes the gold tags as IOB2
    has them, where an I- that continues nothing begins nothing; lenient lets it begin a mention, as conlleval does.
    """
    from mner_model.data.lines import set_name
    from mner_model.data.reader import repairs
    from mner_model.evaluation.run import evaluate_checkpoint
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


def _print_table(data: Path, result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from mner_model.data.lines import set_name

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
