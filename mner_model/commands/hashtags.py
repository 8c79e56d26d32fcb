"""`mner-model segment`, `train-segmenter` and `evaluate-segmenter`: hashtags into words from the command line."""

import itertools
import json
import sys
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mner_model.commands.console import failures, say
from mner_model.commands.options import FILE, SEED

if TYPE_CHECKING:
    from mner_model.segmenter.data import GoldHashtag

_SEGMENTER = click.option(
    "--segmenter", type=click.Path(path_type=Path), help="Segmenter folder.  [default: the one in the package]"
)
_LINES_PER_CALL = 256


@click.command()
@_SEGMENTER
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
def segment(segmenter: Path | None, file: str) -> None:
    """Split the hashtags of FILE into words.

    FILE (- for standard input) has one a line, with or without # signs before it; their words come out, a line each.
    Bytes that are not UTF-8 come out as they went in, and are no failure; a byte order mark at the beginning is left
    out.

    Of a line with white space in it an empty one comes out; it is named on stderr, and the exit status is 1.
    """
    from mner_model.segmenter.hashtags import MARKS, HashtagSegmenter

    with failures():
        loaded = HashtagSegmenter.load(segmenter)
    refused, done = 0, 0
    with click.open_file(file, "rb") as lines:
        # from a terminal or a pipe each line is answered at once, from a file many together
        while batch := list(itertools.islice(lines, 1 if file == "-" else _LINES_PER_CALL)):
            if not done:
                batch[0] = batch[0].removeprefix(BOM_UTF8)
            hashtags = [line.decode("utf-8", "surrogateescape").strip() for line in batch]
            for number, hashtag in enumerate(hashtags):
                if len(hashtag.split()) > 1:
                    refused += 1
                    say(f"mner-model: line {done + number + 1}: expected a hashtag a line, got {f'{hashtag!r}':.80}")
                    hashtags[number] = ""
            done += len(batch)
            for words in loaded.segment([hashtag.lstrip("".join(MARKS)) for hashtag in hashtags]):
                # bytes that are no UTF-8 leave as they came
                click.echo(" ".join(words).encode("utf-8", "surrogateescape"))
    if refused:
        sys.exit(1)


@click.command("train-segmenter")
@click.option("--train", "train_file", type=FILE, required=True, help="Post TAB hashtag TAB its words a line.")
@click.option("--text", "text_files", type=FILE, multiple=True, help="CoNLL file, read for its text; repeatable.")
@click.option("--words", type=FILE, required=True, help="Words by frequency in GloVe's format, plain, .gz or .xz.")
@click.option(
    "--web-counts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of unigrams.txt and bigrams.txt: words TAB count a line.  [default: those of wordsegment]",
)
@click.option(
    "--forum-words",
    type=FILE,
    help="Gzipped JSON of words and logarithms of their shares.  [default: Reddit's, of spacy-lookups-data]",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@click.option("--made", type=click.IntRange(1), default=600_000, show_default=True, help="Hashtags to make from text.")
@click.option("--tuning-steps", type=click.IntRange(1), default=400, show_default=True, help="Steps on gold, per fold.")
@SEED
def train_segmenter(
    train_file: Path,
    text_files: tuple[Path, ...],
    words: Path,
    web_counts: Path | None,
    forum_words: Path | None,
    out: Path,
    made: int,
    tuning_steps: int,
    seed: int,
) -> None:
    """Train a hashtag segmenter and write its folder.

    Every choice is made on held-out folds of --train. The defaults of --web-counts and --forum-words come with the
    extra segmenter.
    """
    import torch

    from mner_model.data.examples import fingerprint as posts_fingerprint
    from mner_model.data.lines import set_name
    from mner_model.data.reader import read_examples
    from mner_model.segmenter.data import read_hashtags
    from mner_model.segmenter.hashtags import check_segmenter_destination
    from mner_model.segmenter.pairs import (
        FORUM_WORDS_SOURCE,
        WEB_COUNTS_SOURCE,
        read_forum_words,
        read_web_counts,
    )
    from mner_model.segmenter.training import SegmenterRecipe, SegmenterTrainer
    from mner_model.text.vocabulary import read_vectors

    torch.set_num_threads(1)  # the same sums in the same order, so the same segmenter from the same seed
    with failures():
        check_segmenter_destination(out)  # now, not after a quarter of an hour of training
        gold = read_hashtags(train_file)
        web, forum = read_web_counts(web_counts), read_forum_words(forum_words)
        posts = {file: read_examples(file) for file in text_files}
        texts = [post.text for of_file in posts.values() for post in of_file]
        say(f"{len(gold):,} hashtags, {len(texts):,} other texts; reading {words.name}")
        ranked = read_vectors(words).forms
        recipe = SegmenterRecipe(seed=seed, made_hashtags=made, tuning_steps=tuning_steps)
        trained = SegmenterTrainer(gold, texts, ranked, web, forum, recipe, say).run()
        trained.training["sources"] = {
            "text": {set_name(file): posts_fingerprint(of_file) for file, of_file in posts.items()},
            "words": words.name,
            "web_counts": WEB_COUNTS_SOURCE if web_counts is None else web_counts.name,
            "forum_words": FORUM_WORDS_SOURCE if forum_words is None else forum_words.name,
        }
        trained.save(out)
    say(f"wrote {out}")


@click.command("evaluate-segmenter")
@_SEGMENTER
@click.option("--data", type=FILE, required=True, help="Post TAB hashtag TAB its words a line.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def evaluate_segmenter(segmenter: Path | None, data: Path, as_json: bool) -> None:
    """Score a segmenter on gold hashtags.

    Exact match is with one of the gold segmentations; signs aside, apostrophes and the like that gold adds to the
    hashtag do not count, as in published figures.

    hashtags/s is of one core's time. The wordsegment library (extra segmenter) is scored beside it where it is
    installed.
    """
    from mner_model.segmenter.data import fingerprint, read_hashtags
    from mner_model.segmenter.hashtags import HashtagSegmenter

    with failures():
        gold = read_hashtags(data)
        loaded = HashtagSegmenter.load(segmenter)
    result: dict[str, Any] = {
        "data": {"fingerprint": fingerprint(gold), "hashtags": len(gold)},
        "segmenter": _scores(gold, loaded.segment),
        "characters_alone": _scores(gold, loaded.segment_by_gaps),
        "wordsegment": (peer := _wordsegment()) and _scores(gold, peer),
    }
    click.echo(json.dumps(result) if as_json else _table(result))


def _scores(gold: Sequence["GoldHashtag"], split: Callable[[Sequence[str]], list[list[str]]]) -> dict[str, float]:
    from mner_model.segmenter.data import boundary_f1

    split([gold[0].hashtag])  # the first call also loads and warms
    started = time.process_time()  # other work on the machine takes nothing from it
    answers = split([one.hashtag for one in gold])
    core_seconds = time.process_time() - started
    pairs = list(zip(gold, answers, strict=True))
    return {
        "exact": sum(one.is_exact(words) for one, words in pairs) / len(gold),
        "exact_signs_aside": sum(one.is_exact_signs_aside(words) for one, words in pairs) / len(gold),
        "boundary_f1": boundary_f1(gold, answers),
        "hashtags_per_core_second": len(gold) / core_seconds,
    }


def _wordsegment() -> Callable[[Sequence[str]], list[list[str]]] | None:
    """The peer's splitter, or None where it is not installed."""
    try:
        import wordsegment  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    wordsegment.load()
    return lambda hashtags: [list(wordsegment.segment(hashtag)) for hashtag in hashtags]


def _table(result: dict[str, Any]) -> str:
    about = result["data"]
    lines = [f"{about['hashtags']:,} hashtags, data {about['fingerprint'][:12]}"]
    lines.append(f"{'':24}exact match  signs aside  boundary F1  hashtags/s")
    for key, label in (
        ("segmenter", "segmenter"),
        ("characters_alone", "its character model alone"),
        ("wordsegment", "wordsegment"),
    ):
        if scores := result[key]:
            shares = "  ".join(f"{scores[name]:11.2%}" for name in ("exact", "exact_signs_aside", "boundary_f1"))
            lines.append(f"{label:24}{shares}  {scores['hashtags_per_core_second']:10,.0f}")
        else:
            lines.append(f"{label:24}not installed: pip install 'mner-stream[segmenter]'")
    return "\n".join(lines)
