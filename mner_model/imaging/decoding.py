"""Bytes from strangers to pixels: sniffed, bounded, decoded, oriented; and the deterministic resize of the encoders.

Thread-safe, does no network, keeps nothing. Every way to fail is an ImageUndecodable with one of a few reasons.
"""

import warnings
from collections.abc import Callable
from enum import StrEnum
from io import BytesIO
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch import Tensor
from torch.nn import functional

from mner_model.errors import Failure
from mner_model.imaging.headers import HeaderError, ImageFormat, ImageHeader, read_header, sniff

Pixels = Tensor
"""A decoded image, uint8 [3, height, width], RGB."""

MAX_PIXELS = 40_000_000
"""Default of decode(): the photos of most phones; decoding takes up to 300 MB at this size, as a WebP 650 MB."""

# For the whole process, as warnings.catch_warnings is not safe in threads. Pillow only warns of some bombs; and it
# warns of every stranger's broken metadata, which is no news to whoever runs this.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_PIXEL_CEILING = 89_478_485  # Pillow's own: above it, it warns of a decompression bomb; nobody may configure past it
_MAX_ASPECT_RATIO = 32
_MAX_SCANS = 32  # a progressive JPEG has about 10, in CMYK 18; each is a pass over all pixels
_DRAFT_SIDE_PIXELS = 512  # enough for every backbone (the largest asks for 342) and antialiased again on the way down


class UndecodableReason(StrEnum):
    """Why an image can't be used."""

    UNKNOWN_FORMAT = "unknown_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_ELONGATED = "too_elongated"
    TOO_MANY_SCANS = "too_many_scans"


class ImageUndecodable(Failure):
    """The bytes are no image that we decode; `reason` says why."""

    def __init__(self, reason: UndecodableReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class ImageTooLarge(ImageUndecodable):
    """The header claims more pixels than allowed; nothing was decoded."""

    def __init__(self) -> None:
        super().__init__(UndecodableReason.TOO_MANY_PIXELS)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode JPEG, PNG, WebP or the first frame of a GIF, upright, any transparency on white.

    data        the file's bytes; the format is taken from them, not from a name or a Content-Type
    max_pixels  width x height as the header states them; values above 89,478,485 count as that
    returns     uint8 [3, height, width], RGB. A JPEG with a shorter side of 1,024 or more comes back at 1/2, 1/4 or
                1/8 of its size (the shorter side stays ≥ 512): decoded so, it costs a fraction

    Raises ImageTooLarge for too many pixels and ImageUndecodable for everything else.
    """
    image_format = sniff(data)
    if image_format is None:
        raise ImageUndecodable(UndecodableReason.UNKNOWN_FORMAT)
    header = _header(data, image_format)
    _check(header, max_pixels)
    try:
        image = _open(data, image_format)
        # The decoder's word counts as well as ours: the two parsers may disagree about a crafted file.
        _check(ImageHeader(image_format, *image.size, scans=header.scans), max_pixels)
        image.load()
        return _upright(_pixels(image), _orientation(image))
    except ImageUndecodable:
        raise
    except Exception as error:  # decoders fed hostile bytes raise nearly anything: struct.error, KeyError, OSError …
        truncated = "truncated" in str(error).lower()
        raise ImageUndecodable(UndecodableReason.TRUNCATED if truncated else UndecodableReason.CORRUPT) from error


def _header(data: bytes, image_format: ImageFormat) -> ImageHeader:
    try:
        return read_header(data, image_format)
    except HeaderError as error:
        truncated = "cut off" in str(error)
        raise ImageUndecodable(UndecodableReason.TRUNCATED if truncated else UndecodableReason.CORRUPT) from error


def _check(header: ImageHeader, max_pixels: int) -> None:
    short, long = sorted((header.width, header.height))
    if short < 1:
        raise ImageUndecodable(UndecodableReason.CORRUPT)
    if short * long > min(max_pixels, _PIXEL_CEILING):
        raise ImageTooLarge
    if long > short * _MAX_ASPECT_RATIO:
        raise ImageUndecodable(UndecodableReason.TOO_ELONGATED)
    if header.scans > _MAX_SCANS:
        raise ImageUndecodable(UndecodableReason.TOO_MANY_SCANS)


def _open(data: bytes, image_format: ImageFormat) -> ImageFile.ImageFile:
    # The classes themselves, not Image.open: the registry would let other plug-ins have a look at the bytes.
    match image_format:
        case ImageFormat.JPEG:
            image = JpegImageFile(BytesIO(data))
            image.draft(None, (_DRAFT_SIDE_PIXELS, _DRAFT_SIDE_PIXELS))
            return image
        case ImageFormat.PNG:
            return PngImageFile(BytesIO(data))
        case ImageFormat.WEBP:
            return WebPImageFile(BytesIO(data))
        case ImageFormat.GIF:
            return GifImageFile(BytesIO(data))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's convert would clip it to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")  # CMYK too: by the plain formula, as its colour profile is untrusted input as well
    opaque = Image.new("RGBA", image.size, "white")
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


_STRIP_PIXELS = 1_000_000


def _pixels(image: Image.Image) -> Tensor:
    """Strip by strip: each of Pillow's conversions would hold one more copy of everything."""
    width, height = image.size
    pixels = np.empty((3, height, width), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        pixels[:, top : top + rows] = np.asarray(_rgb(strip)).transpose(2, 0, 1)
    return torch.from_numpy(pixels)


_EXIF_ORIENTATION = 0x0112
_ROWS, _COLUMNS = 1, 2
_UPRIGHT: dict[object, Callable[[Tensor], Tensor]] = {
    2: lambda pixels: pixels.flip(_COLUMNS),
    3: lambda pixels: pixels.flip(_ROWS, _COLUMNS),
    4: lambda pixels: pixels.flip(_ROWS),
    5: lambda pixels: pixels.transpose(_ROWS, _COLUMNS),
    6: lambda pixels: pixels.transpose(_ROWS, _COLUMNS).flip(_COLUMNS),
    7: lambda pixels: pixels.transpose(_ROWS, _COLUMNS).flip(_ROWS, _COLUMNS),
    8: lambda pixels: pixels.transpose(_ROWS, _COLUMNS).flip(_ROWS),
}


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # broken metadata of a good picture: take it as it lies
        return None


def _upright(pixels: Tensor, orientation: object) -> Tensor:
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else turn(pixels).contiguous()


def center_square(image: Tensor, size: int, fraction: float, interpolation: Literal["bilinear", "bicubic"]) -> Tensor:
    """Cut the centred square whose side is `fraction` of the shorter side, and resize it, antialiased.

    image    uint8 [3, height, width]
    size     side of the result, pixels
    returns  uint8 [3, size, size]; the same on every run and for any number of threads (integer arithmetic)

    One resize of the cut instead of "resize, then cut": the same picture, and a long image costs no more.
    Raises ValueError for another shape or type.
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(f"expected image uint8 [3, height, width], got {image.dtype} {list(image.shape)}")
    height, width = image.shape[1:]
    side = max(1, round(min(height, width) * fraction))
    top, left = (height - side) // 2, (width - side) // 2
    square = image[None, :, top : top + side, left : left + side]
    return functional.interpolate(square, size=(size, size), mode=interpolation, antialias=True)[0]
