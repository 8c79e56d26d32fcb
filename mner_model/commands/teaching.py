"""`mner-model teach`: what trained taggers believe of posts, for a smaller one to learn from."""

import random
from collections.abc import Sequence
from pathlib import Path

import click

from mner_model.commands.console import failures, progress, say
from mner_model.commands.options import DEVICE, FILE

_SWAPPED_SHARE = 0.3


@click.command()
@click.option(
    "--teacher",
    "teachers",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Checkpoint folder; repeatable: of several, the mean of their beliefs.",
)
@click.option(
    "--train",
    "train_files",
    type=FILE,
    multiple=True,
    help="Posts with gold for the pupil to learn from; repeatable.",
)
@click.option(
    "--posts", "post_files", type=FILE, multiple=True, help="Posts without tags, as `mner-model tag` reads; repeatable."
)
@click.option("--swapped-copies", type=click.IntRange(0), default=0, show_default=True, help="More posts, per post.")
@click.option("--vectors", type=FILE, help="Word vectors, for --swapped-copies: words are swapped for their like.")
@click.option("--seed", type=int, default=0, show_default=True, help="For --swapped-copies.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@DEVICE
def teach(
    teachers: tuple[Path, ...],
    train_files: tuple[Path, ...],
    post_files: tuple[Path, ...],
    swapped_copies: int,
    vectors: Path | None,
    seed: int,
    out: Path,
    device: str,
) -> None:
    """Write what teachers believe of posts, for `train --soft-targets`.

    In each post's copies three in ten of the words that are among the first 50,000 alphabetic ones of --vectors,
    function words too, are swapped for one of the twelve with the most similar vectors, be it of their kind or not.
    """
    from mner_model.commands.tag_lines import read_texts
    from mner_model.config import ConfigError
    from mner_model.data.reader import read_examples
    from mner_model.files.saved_file import check_writable
    from mner_model.predictor import device_of
    from mner_model.text.tokenizer import tokenize
    from mner_model.training.soft_target_file import SoftTargetsError, write_soft_targets
    from mner_model.training.teaching import Teachers

    with failures(), progress("teaching") as on_progress:
        if swapped_copies and vectors is None:
            raise ConfigError("--vectors: expected word vectors with --swapped-copies")
        if vectors is not None and not swapped_copies:
            raise ConfigError("--vectors: would change nothing, expected --swapped-copies with it")
        check_writable(out, SoftTargetsError)
        loaded = Teachers.load(teachers, device_of(device))
        texts = [example.text for file in train_files for example in read_examples(file)]
        texts += [text for file in post_files for text in read_texts(file)]
        if not any(len(tokenize(text)) for text in texts):
            raise ConfigError("expected posts with a word in them from --train or --posts")
        if swapped_copies and vectors is not None:
            texts += _swapped(texts, swapped_copies, vectors, seed)
        say(f"{len(texts):,} posts")
        taught = loaded.teach(texts, on_progress)
        write_soft_targets(out, taught, loaded.tagset)
        say(f"wrote {out}: {len(taught.targets):,} different posts")


def _swapped(texts: Sequence[str], copies: int, vectors: Path, seed: int) -> list[str]:
    from mner_model.text.vocabulary import read_vectors
    from mner_model.training.word_swaps import WordSwaps

    drawn = random.Random(seed)  # noqa: S311 (nothing secret)
    say(f"reading {vectors.name}")
    swaps = WordSwaps(read_vectors(vectors))
    return [swaps.swapped(text, _SWAPPED_SHARE, drawn) for _ in range(copies) for text in texts]
