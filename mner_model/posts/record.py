"""What was found in one post: entities, image and model, as published on `entities` and printed by `mner-model tag`."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import Field
from pydantic_core import to_json

from mner_model.posts.fields import Timestamp
from mner_model.posts.image_status import ImageStatus
from mner_model.posts.post import Identifier, Message, Post
from mner_model.posts.predicted_entity import PredictedEntity

EntityType = Literal["PER", "LOC", "ORG", "MISC"]
UntaggedReason = Literal["language"]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Change = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_FRACTION_DIGITS = 4


class Entity(Message):
    """One named entity in one post."""

    id: str = Field(description="SHA-256 of post id, start, end, type and model fingerprint; stable under redelivery.")
    type: EntityType = Field(description="PER person, LOC place, ORG organisation, MISC any other name.")
    text: str = Field(description="The surface text, as received.", repr=False)
    start: int = Field(ge=0, description="First code point of the mention in the post's text.")
    end: int = Field(ge=1, description="Code point after the mention's last.")
    confidence: Fraction = Field(description="Probability of the whole span under the model, 0 to 1.")
    modality_weights: dict[str, Fraction] = Field(
        description="Mean attention that each modality got over the mention's tokens, 0 to 1."
    )
    image_effect: Change | None = Field(
        default=None,
        description="Confidence minus the probability of the same span and type under the same model with the image "
        "left out, -1 to 1; absent for a post without a usable image, and where the option is off.",
    )


class ImageReport(Message):
    """What became of a post's image."""

    status: ImageStatus = Field(description="Whether the image was used, and if not, what stood in the way.")
    digest: str | None = Field(default=None, description="SHA-256 of the image's bytes, once they were had.")
    cached: bool | None = Field(default=None, description="Whether its embedding came out of the cache.")
    reason: str | None = Field(
        default=None,
        description="Why the image was not used, in a word or a few, such as too_many_pixels; "
        "for people, no closed list.",
    )

    @classmethod
    def unread(cls, post: Post, reason: str = "the model reads no images") -> Self:
        """Where nobody reads images: absent in either case, with the reason where the post has one."""
        return cls(status=ImageStatus.ABSENT, reason=reason if post.has_image else None)


class ModelReport(Message):
    """Which model tagged."""

    name: str = Field(description="The model's name.")
    fingerprint: str = Field(description="SHA-256 of its weights and preprocessing.")


class EntityRecord(Message):
    """What the worker found in one post; a later revision replaces an earlier one."""

    schema_version: Literal[1] = Field(default=1, alias="schema", description="Version of this schema.")
    post_id: Identifier = Field(description="The post's id.")
    revision: int = Field(default=1, ge=1, description="A later one replaces an earlier one; redelivery repeats it.")
    text: str | None = Field(
        default=None, description="The post's text as received; a setting leaves it out.", repr=False
    )
    entities: tuple[Entity, ...] = Field(description="The mentions, in order of their start.")
    untagged: UntaggedReason | None = Field(
        default=None,
        description="Why nobody looked for mentions; absent where the post was tagged. language: the worker's settings "
        "leave its language out.",
    )
    image: ImageReport = Field(description="What became of the image.")
    model: ModelReport = Field(description="The model that tagged; where `untagged` is there, the one that would have.")
    created_at: Timestamp = Field(description="When it was posted, or else the broker's timestamp.")
    tagged_at: Timestamp = Field(description="When it was tagged, or passed on untagged.")


def entity_record(
    post_id: str,
    text: str | None,
    found: "Iterable[PredictedEntity]",
    *,
    image: ImageReport,
    model: ModelReport,
    created_at: datetime,
    untagged: UntaggedReason | None = None,
) -> EntityRecord:
    """The record of one post, tagged now, or left untagged for a reason; fractions with four digits."""
    entities = tuple(
        Entity(
            id=entity_id(post_id, entity.start, entity.end, entity.type, model.fingerprint),
            type=entity.type,  # type: ignore[arg-type]  # checked when the checkpoint was loaded
            text=entity.text,
            start=entity.start,
            end=entity.end,
            confidence=round(entity.confidence, _FRACTION_DIGITS),
            modality_weights={
                name: round(weight, _FRACTION_DIGITS) for name, weight in entity.modality_weights.items()
            },
            image_effect=None if entity.image_effect is None else _rounded_change(entity.image_effect),
        )
        for entity in found
    )
    return EntityRecord(
        schema=1,
        post_id=post_id,
        text=text,
        entities=entities,
        untagged=untagged,
        image=image,
        model=model,
        created_at=created_at,
        tagged_at=datetime.now(UTC),
    )


def _rounded_change(change: float) -> float:
    return round(change, _FRACTION_DIGITS) + 0.0  # a tiny loss would else be written as -0.0


def entity_id(post_id: str, start: int, end: int, entity_type: str, fingerprint: str) -> str:
    """SHA-256, in hexadecimal, of the compact UTF-8 JSON array of the five, which no two sets of five share."""
    return hashlib.sha256(to_json([post_id, start, end, entity_type, fingerprint])).hexdigest()
