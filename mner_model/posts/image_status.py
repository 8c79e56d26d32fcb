"""The outcomes of an image; apart from the record that tells of them, as it needs nothing but this."""

from enum import StrEnum


class ImageStatus(StrEnum):
    """What became of a post's image: the closed list behind the record's `image.status`.

    To a model that reads no images, and in a post that is not tagged, every image is absent, and the record's
    `image.reason` says so.
    """

    ABSENT = "absent"
    USED = "used"
    FAILED = "failed"
    BLOCKED = "blocked"
    TOO_LARGE = "too_large"
    UNDECODABLE = "undecodable"
    TIMED_OUT = "timed_out"
