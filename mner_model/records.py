"""Lines of posts in, lines of entity records out, for `mner-model tag`: the worker's contract without a broker.

A line is a post as on the `posts` topic (a JSON object) or plain text. This does no network: a post's `image_url`
is left alone and its record says so; `image_data` is used.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from mner_model.identity import entity_id
from mner_model.images import ImageTooLarge, ImageUndecodable, decode
from mner_model.predictor import Document, PredictedEntity, Prediction, Predictor

POSTS_PER_CALL = 64
_TEXT_MAX_CODE_POINTS = 10_000
_NOT_FETCHED = {"status": "blocked", "reason": "mner-model tag does no network; a worker fetches image_url"}


class LineRejected(ValueError):
    """A line that is not a post; the message says which part was wrong and what was expected."""


@dataclass(frozen=True, slots=True)
class Line:
    """One post as `tag` takes it."""

    id: str
    text: str
    image_data: bytes | None = None
    has_image_url: bool = False
    created_at: str | None = None


def read_line(line: str, number: int) -> Line:
    """Reads one line: a JSON object is a post, anything else is its text and gets the line's number as its id.

    Raises LineRejected for a JSON object that is no post.
    """
    if not line.lstrip().startswith("{"):
        return Line(str(number), line)
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise LineRejected(f"expected a JSON object or plain text: {error}") from None
    id_, text = fields.get("id"), fields.get("text")
    if not isinstance(id_, str) or not 1 <= len(id_) <= 256:
        raise LineRejected(f"id: received {id_!r:.40}, expected a string of 1 to 256 characters")
    if not isinstance(text, str) or len(text) > _TEXT_MAX_CODE_POINTS:
        raise LineRejected(f"text: expected a string of at most {_TEXT_MAX_CODE_POINTS:,} characters")
    return Line(id_, text, _image_bytes(fields), fields.get("image_url") is not None, fields.get("created_at"))


def _image_bytes(fields: dict[str, Any]) -> bytes | None:
    encoded = fields.get("image_data")
    if encoded is None:
        return None
    if not isinstance(encoded, str):
        raise LineRejected(f"image_data: received {type(encoded).__name__}, expected base64")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise LineRejected(f"image_data: expected base64: {error}") from None


def tag_lines(predictor: Predictor, lines: Iterable[Line]) -> Iterator[dict[str, Any]]:
    """One record a line, in order, a batch at a time."""
    iterator = iter(lines)
    while batch := list(islice(iterator, POSTS_PER_CALL)):
        images = [_image(predictor, line) for line in batch]
        documents = [Document(line.text, embedding) for line, (_, embedding) in zip(batch, images, strict=True)]
        predictions = predictor.predict(documents)
        for line, (report, _), prediction in zip(batch, images, predictions, strict=True):
            yield _record(predictor, line, report, prediction)


def _image(predictor: Predictor, line: Line) -> tuple[dict[str, Any], npt.NDArray[np.float32] | None]:
    if predictor.image_dimension is None or (line.image_data is None and not line.has_image_url):
        return {"status": "absent"}, None
    if line.image_data is None:
        return _NOT_FETCHED, None
    try:
        embedding = predictor.embed_images([decode(line.image_data)])[0]
    except ImageTooLarge as error:
        return {"status": "too_large", "reason": str(error)}, None
    except ImageUndecodable as error:
        return {"status": "undecodable", "reason": str(error)}, None
    return {"status": "used", "digest": hashlib.sha256(line.image_data).hexdigest(), "cached": False}, embedding


def _record(predictor: Predictor, line: Line, image: dict[str, Any], prediction: Prediction) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "schema": 1,
        "post_id": line.id,
        "revision": 1,
        "text": line.text,
        "entities": entities_json(line.id, prediction.entities, predictor.fingerprint),
        "image": image,
        "model": {"name": predictor.name, "fingerprint": predictor.fingerprint},
        "created_at": line.created_at or now,
        "tagged_at": now,
    }


def entities_json(post_id: str, entities: Sequence[PredictedEntity], fingerprint: str) -> list[dict[str, Any]]:
    """The `entities` of a record; fractions with four digits."""
    return [
        {
            "id": entity_id(post_id, found.start, found.end, found.type, fingerprint),
            "type": found.type,
            "text": found.text,
            "start": found.start,
            "end": found.end,
            "confidence": round(found.confidence, 4),
            "modality_weights": {name: round(weight, 4) for name, weight in found.modality_weights.items()},
        }
        for found in entities
    ]
