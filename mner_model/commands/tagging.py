"""`mner-model tag`: lines of posts in, entity records out."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mner_model.commands.console import ProgressCallback, failures, progress, say
from mner_model.commands.options import CHECKPOINT, DEVICE

if TYPE_CHECKING:
    from mner_model.posts.post import Post
    from mner_model.predictor import Predictor

_MOST_NAMES = 8


@click.command()
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
    from mner_model.commands.tag_lines import POSTS_PER_CALL
    from mner_model.posts.refusals import shown
    from mner_model.predictor import Predictor

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
    from mner_model.commands.tag_lines import ignored_fields, read_line, tag_posts
    from mner_model.posts.image_status import ImageStatus
    from mner_model.posts.refusals import PostRefused

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
