"""What an image file claims about itself, read from its first bytes without any decoder.

A decoder may allocate the whole canvas as soon as it is opened (libwebp does), so the limits of `decode` are
checked on what is read here. Python slices and one regular expression only: nothing here can allocate by a claim.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class ImageFormat(StrEnum):
    """The formats that are decoded at all."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the file says it is: its format, its size in pixels, and how many scans a JPEG makes over it."""

    format: ImageFormat
    width: int
    height: int
    scans: int = 1


class HeaderError(ValueError):
    """The bytes of a known format end, or make no sense, before the size is known."""


def sniff(data: bytes) -> ImageFormat | None:
    """Format by magic bytes, or None when it is none of ours; a file name or Content-Type is never asked."""
    if data.startswith(b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if data.startswith((b"GIF87a", b"GIF89a")):
        return ImageFormat.GIF
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return None


def read_header(data: bytes, image_format: ImageFormat) -> ImageHeader:
    """Size in pixels (and scans, for JPEG) as the file states them. Raises HeaderError if it does not get that far."""
    try:
        return _READERS[image_format](data)
    except IndexError:
        raise HeaderError(f"the {image_format} header is cut off after {len(data)} bytes") from None


def _png(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise HeaderError("the first chunk of a PNG must be IHDR")
    return ImageHeader(ImageFormat.PNG, _big(data, 16, 4), _big(data, 20, 4))


def _gif(data: bytes) -> ImageHeader:
    """The canvas, stretched to hold the first frame: decoders stretch it too, so the frame counts."""
    width, height, flags = _little(data, 6, 2), _little(data, 8, 2), data[10]
    at = 13 + _palette_bytes(flags)
    while data[at] == 0x21:  # extension: introducer, label, then sub-blocks up to an empty one
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    if data[at] != 0x2C:
        raise HeaderError("the GIF has no frame")
    right = _little(data, at + 1, 2) + _little(data, at + 5, 2)
    bottom = _little(data, at + 3, 2) + _little(data, at + 7, 2)
    return ImageHeader(ImageFormat.GIF, max(width, right), max(height, bottom))


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8X":
        return ImageHeader(ImageFormat.WEBP, 1 + _little(data, 24, 3), 1 + _little(data, 27, 3))
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return ImageHeader(ImageFormat.WEBP, 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        return ImageHeader(ImageFormat.WEBP, _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF)
    raise HeaderError("the WebP has no image chunk first")


# Inside entropy-coded data 0xFF is followed by a stuffed zero or a restart marker; anything else starts a segment.
_NEXT_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE, _STANDALONE = 0xDA, 0xD9, frozenset({0x01, 0xD8})
_MAX_SEGMENTS = 4_096  # photos have some dozens; ten million bytes of empty ones took seconds to walk


def _jpeg(data: bytes) -> ImageHeader:
    """Walks every marker up to the end of the image: each scan costs a decoder one pass over all pixels.

    Of a limited number of them, as each costs a turn of this loop; raises HeaderError beyond it.
    """
    size: tuple[int, int] | None = None
    scans, segments, at = 0, 0, 2
    while (found := _NEXT_MARKER.search(data, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        segments += 1
        if segments > _MAX_SEGMENTS:
            raise HeaderError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments")
        if marker in _STANDALONE:
            continue
        if marker in _START_OF_FRAME and size is None:
            size = _big(data, at + 5, 2), _big(data, at + 3, 2)
        scans += marker == _START_OF_SCAN
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    if size is None:
        raise HeaderError("the JPEG has no frame header")
    return ImageHeader(ImageFormat.JPEG, *size, scans=scans)


_READERS = {ImageFormat.JPEG: _jpeg, ImageFormat.PNG: _png, ImageFormat.WEBP: _webp, ImageFormat.GIF: _gif}


def _big(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(_exactly(data, at, count), "big")


def _little(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(_exactly(data, at, count), "little")


def _exactly(data: bytes, at: int, count: int) -> bytes:
    field = data[at : at + count]
    if len(field) < count:
        raise IndexError(at)
    return field
