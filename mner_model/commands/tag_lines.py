"""Lines of posts to entity records, as a worker would publish them: what the command in `tagging` is made of.

A line is a post as on the `posts` topic (a JSON object) or plain text. This does no network: a post's `image_url`
is left alone and its record says so; `image_data` is used.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mner_model.data.lines import DataError
from mner_model.imaging.decoding import ImageTooLarge, ImageUndecodable, decode
from mner_model.posts.image_status import ImageStatus
from mner_model.posts.post import Post, read_post, unknown_fields
from mner_model.posts.record import EntityRecord, ImageReport, ModelReport, entity_record
from mner_model.posts.refusals import PostRefused
from mner_model.predictor import Document, Predictor

POSTS_PER_CALL = 64
_ABSENT = ImageReport(status=ImageStatus.ABSENT)
_NOT_FETCHED = ImageReport(
    status=ImageStatus.BLOCKED, reason="mner-model tag does no network; a worker fetches image_url"
)


def read_line(line: bytes, number: int) -> Post:
    """Reads one line: a JSON object is a post, anything else is its text and gets the line's number as its id.

    Raises PostRefused for bytes that are not UTF-8 and for a JSON object that is no post.
    """
    line = _content(line, number)
    if _is_object(line):
        return read_post(line)
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise PostRefused("not_utf8", f"line: received byte 0x{line[error.start]:02x}, expected UTF-8") from None
    return read_post(Post.model_construct(id=str(number), text=text).encode())


def ignored_fields(line: bytes, number: int) -> list[str]:
    """The names that a line which `read_line` took for a post has and no post does."""
    line = _content(line, number)
    return unknown_fields(line) if _is_object(line) else []


def _content(line: bytes, number: int) -> bytes:
    return line.strip(b"\r\n").removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")


def _is_object(line: bytes) -> bool:
    return line.lstrip().startswith(b"{")


def read_texts(path: Path) -> list[str]:
    """The texts of a file's posts, empty lines left out. Raises DataError with file and line for what is no post."""
    texts = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    texts.append(read_line(line, number).text)
                except PostRefused as refused:
                    raise DataError(f"{path}:{number}: {refused.detail}") from refused
    return texts


def tag_posts(predictor: Predictor, posts: Sequence[Post], image_effect: bool = False) -> list[EntityRecord]:
    """The records of one batch of posts, in order; `image_effect` as in `Predictor.predict`."""
    images = [_image(predictor, post) for post in posts]
    documents = [Document(post.text, embedding) for post, (_, embedding) in zip(posts, images, strict=True)]
    predictions = predictor.predict(documents, image_effect=image_effect)
    model = ModelReport(name=predictor.name, fingerprint=predictor.fingerprint)
    return [
        entity_record(
            post.id,
            post.text,
            prediction.entities,
            image=report,
            model=model,
            created_at=post.created_at or datetime.now(UTC),
        )
        for post, (report, _), prediction in zip(posts, images, predictions, strict=True)
    ]


def _image(predictor: Predictor, post: Post) -> tuple[ImageReport, npt.NDArray[np.float32] | None]:
    if predictor.image_dimension is None:
        return ImageReport.unread(post), None
    if not post.has_image:
        return _ABSENT, None
    if post.image_data is None:
        return _NOT_FETCHED, None
    try:
        embedding = predictor.embed_images([decode(post.image_data)])[0]
    except ImageTooLarge as error:
        return ImageReport(status=ImageStatus.TOO_LARGE, reason=error.reason), None
    except ImageUndecodable as error:
        return ImageReport(status=ImageStatus.UNDECODABLE, reason=error.reason), None
    digest = hashlib.sha256(post.image_data).hexdigest()
    return ImageReport(status=ImageStatus.USED, digest=digest, cached=False), embedding
