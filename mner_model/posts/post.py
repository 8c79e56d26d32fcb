"""A post as strangers send it: one JSON object, strictly checked, the same for the worker and for `mner-model tag`."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, from_json

from mner_model.posts import refusals
from mner_model.posts.fields import ImageBytes, ImageUrl, Language, Timestamp

TEXT_MAX_CODE_POINTS = 10_000
# The largest image as base64, the longest text with each code point escaped, and room for the rest.
POST_MAX_BYTES = 16 * 1024 * 1024
_IMAGE_FIELDS = ("image_url", "image_data")

Identifier = Annotated[str, Field(min_length=1, max_length=256)]


class Message(BaseModel):
    """A frozen, strictly typed message that is one JSON object on the wire; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    def encode(self) -> bytes:
        """Compact UTF-8 JSON; fields that are None are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Reads what `encode` wrote. Raises pydantic's ValidationError; for posts of strangers see `read_post`."""
        return cls.model_validate_json(value)


def _rules_of_one_image(schema: dict[str, Any]) -> None:
    by_url, by_data = ({"required": [name], "properties": {name: {"type": "string"}}} for name in _IMAGE_FIELDS)
    schema["not"] = {"allOf": [by_url, by_data]}
    schema["anyOf"] = [{"properties": {"text": {"type": "string", "minLength": 1}}}, by_url, by_data]


def _none_if_empty(received: Any) -> Any:
    return None if received == "" else received


def _empty_too(schema: dict[str, Any]) -> None:
    schema["anyOf"].insert(1, {"type": "string", "const": ""})


# Exporters write what they do not know as an empty string, and nobody's post should be lost for that.
_EmptyIsNone = BeforeValidator(_none_if_empty)


class Post(Message):
    """A social-media message with text and at most one image."""

    model_config = ConfigDict(json_schema_extra=_rules_of_one_image)

    id: Identifier = Field(description="Identifies the post; equals the record's key when there is one.")
    text: str = Field(
        max_length=TEXT_MAX_CODE_POINTS, description="The post's text; may be empty only with an image.", repr=False
    )
    image_url: ImageUrl | None = Field(default=None, description="Where its image is; not with image_data.", repr=False)
    image_data: ImageBytes | None = Field(
        default=None, description="The image itself, at most 10 MiB decoded, as base64.", repr=False
    )
    created_at: Annotated[Timestamp | None, _EmptyIsNone] = Field(
        default=None,
        description="When it was posted; else, or if empty, the broker's timestamp is taken.",
        json_schema_extra=_empty_too,
    )
    lang: Annotated[Language | None, _EmptyIsNone] = Field(
        default=None, description="The language of the text, a BCP 47 tag; empty or und: not known."
    )

    @property
    def has_image(self) -> bool:
        """Whether it brings an image or names one."""
        return self.image_url is not None or self.image_data is not None

    @model_validator(mode="after")
    def _one_image_and_something_to_read(self) -> Self:
        if self.image_url is not None and self.image_data is not None:
            raise PydanticCustomError("image", "image_url and image_data: received both, expected at most one")
        if not self.text and not self.has_image:
            raise PydanticCustomError("text", "text: received an empty string without an image, expected text")
        return self


def unknown_fields(value: bytes) -> list[str]:
    """The names in a post's JSON object that no post has, and that `read_post` ignores."""
    return [name for name in from_json(value, allow_inf_nan=False) if name not in Post.model_fields]


def read_post(value: bytes) -> Post:
    """The post in a JSON object, wholly checked. Of a name given twice the last counts, as RFC 8259 allows.

    Raises PostRefused, and nothing else whatever the bytes, with a detail that says field, received and expected, and
    never holds a text, an address or image bytes.
    """
    if len(value) > POST_MAX_BYTES:
        raise refusals.oversized(value, POST_MAX_BYTES)
    try:
        fields = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise refusals.unreadable(value, error) from None
    try:
        return Post.model_validate(fields)
    except ValidationError as error:
        raise refusals.invalid(error) from None
