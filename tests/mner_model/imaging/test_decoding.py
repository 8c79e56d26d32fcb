"""Every format, mode and trick that a stranger's image may come with."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mner_model.imaging.decoding import ImageTooLarge, ImageUndecodable, center_square, decode

RED, WHITE = (255, 0, 0), (255, 255, 255)


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Left half red; right half a gradient: tells left from right, top from bottom, and one channel from another."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    pixels[:, width // 2 :, 2] = 128
    return Image.fromarray(pixels)


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def reason_of(data: bytes, **limits: int) -> str:
    with pytest.raises(ImageUndecodable) as refused:
        decode(data, **limits)
    return str(refused.value)


def pixel(decoded: torch.Tensor, x: int, y: int) -> tuple[int, ...]:
    return tuple(int(channel) for channel in decoded[:, y, x])


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_lossless_formats_decode_to_the_very_pixels(image_format: str) -> None:
    decoded = decode(saved(picture(), image_format, lossless=True))
    assert decoded.dtype == torch.uint8
    assert decoded.shape == (3, 40, 60)
    assert decoded.is_contiguous()
    assert torch.equal(decoded, torch.from_numpy(np.array(picture())).permute(2, 0, 1))


@pytest.mark.parametrize("image_format", ["JPEG", "GIF", "WEBP"])
def test_lossy_formats_decode_to_nearly_the_same_pixels(image_format: str) -> None:
    decoded = decode(saved(picture(), image_format))
    exact = torch.from_numpy(np.array(picture())).permute(2, 0, 1)
    assert (decoded.int() - exact.int()).abs().float().mean() < 4


def test_only_the_first_frame_of_a_gif_counts() -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixel(decode(data), 3, 3) == RED


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "I;16", "LA", "RGBA"])
def test_every_mode_comes_out_as_rgb(mode: str) -> None:
    grey = Image.new("L", (8, 8), 200)
    image = Image.fromarray(np.full((8, 8), 200 * 257, np.uint16)) if mode == "I;16" else grey.convert(mode)
    decoded = decode(saved(image, "JPEG" if mode == "CMYK" else "PNG"))
    expected = 255 if mode == "1" else 200
    assert all(abs(channel - expected) <= 2 for channel in pixel(decoded, 4, 4))


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)[None].repeat(8, axis=0)
    decoded = decode(saved(Image.fromarray(ramp), "PNG"))
    assert torch.equal(decoded[0, 0], torch.from_numpy((ramp[0] >> 8).astype(np.uint8)))


def test_16_bit_colour_keeps_its_high_bytes() -> None:
    row = b"\0" + struct.pack(">3H", 0xABCD, 0x1234, 0xFF00) * 4
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 4)) + chunk(b"IEND", b"")
    assert pixel(decode(data), 1, 1) == (0xAB, 0x12, 0xFF)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_what_is_transparent_is_white(mode: str, image_format: str) -> None:
    data = saved(Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode), image_format, lossless=True)
    assert pixel(decode(data), 2, 2) == WHITE


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(image_format: str) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 255, 0, 255, 0])
    image.putpixel((0, 0), 0)
    decoded = decode(saved(image, image_format, transparency=1))
    assert pixel(decoded, 0, 0) == (0, 0, 255)
    assert pixel(decoded, 5, 5) == WHITE


def test_a_transparent_colour_without_an_alpha_channel_is_white() -> None:
    assert pixel(decode(saved(Image.new("RGB", (8, 8), RED), "PNG", transparency=RED)), 4, 4) == WHITE
    assert pixel(decode(saved(Image.new("L", (8, 8), 7), "PNG", transparency=7)), 4, 4) == WHITE


def test_half_transparent_is_mixed_with_white() -> None:
    decoded = decode(saved(Image.new("RGBA", (4, 4), (255, 0, 0, 128)), "PNG"))
    assert pixel(decoded, 0, 0) == (255, 127, 127)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_undone(orientation: int, image_format: str) -> None:
    turns: dict[int, list[Image.Transpose]] = {
        1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_270],
    }  # fmt: skip
    lying = picture()
    for turn in turns[orientation]:
        lying = lying.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if image_format == "JPEG" else {"lossless": True}
    decoded = decode(saved(lying, image_format, exif=exif, **options))
    assert decoded.shape == (3, 40, 60)
    exact = torch.from_numpy(np.array(picture())).permute(2, 0, 1)
    assert (decoded.int() - exact.int()).abs().float().mean() < 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # pytest's filters stand in place of the module's own
def test_broken_exif_does_not_cost_the_picture() -> None:
    data = saved(picture(), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert decode(data).shape == (3, 40, 60)


def test_a_large_jpeg_is_drafted_but_stays_large_enough_for_every_encoder() -> None:
    assert decode(saved(picture(3000, 2000), "JPEG")).shape == (3, 1000, 1500)
    assert decode(saved(picture(1000, 900), "JPEG")).shape == (3, 900, 1000)


@pytest.mark.parametrize("data", [b"", b"x", b"<svg/>", b"BM" + b"\0" * 60, b"II*\0" + b"\0" * 60, b"RIFF\0\0\0\0WAVE"])
def test_only_the_four_formats_are_opened(data: bytes) -> None:
    assert reason_of(data) == "unknown_format"


def test_the_format_is_taken_from_the_bytes_alone() -> None:
    assert reason_of(saved(picture(), "BMP")) == "unknown_format"
    assert reason_of(saved(picture(), "TIFF")) == "unknown_format"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.97])
def test_a_truncated_file_is_undecodable(image_format: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = saved(Image.fromarray(noise), image_format)
    cut = max(12, int(len(data) * kept))
    assert reason_of(data[:cut]) in {"truncated", "corrupt"}


def vp8x(width: int, height: int) -> bytes:
    body = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    riff = b"WEBPVP8X" + struct.pack("<I", 10) + body
    return b"RIFF" + struct.pack("<I", len(riff)) + riff


def jpeg_claiming(width: int, height: int) -> bytes:
    return saved(picture(), "JPEG").replace(struct.pack(">HH", 40, 60), struct.pack(">HH", height, width), 1)


def gif_claiming(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"," + struct.pack("<4HB", 0, 0, 1, 1, 0)


def gif_with_a_frame_claiming(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"," + struct.pack("<4HB", 0, 0, width, height, 0)


@pytest.mark.parametrize(
    "claiming", [png_claiming, vp8x, jpeg_claiming, gif_claiming, gif_with_a_frame_claiming], ids=lambda f: f.__name__
)
def test_too_many_pixels_are_refused_from_the_header_alone(claiming: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> None:
        pytest.fail("a decoder was opened")

    monkeypatch.setattr("mner_model.imaging.decoding._open", opened)
    with pytest.raises(ImageTooLarge) as refused:
        decode(claiming(9000, 8000))
    assert str(refused.value) == "too_many_pixels"


def test_the_limit_itself_is_allowed() -> None:
    data = saved(picture(60, 40), "PNG")
    assert decode(data, max_pixels=2400).shape == (3, 40, 60)
    assert reason_of(data, max_pixels=2399) == "too_many_pixels"


def test_no_setting_lifts_the_limit_over_pillows_own() -> None:
    assert reason_of(png_claiming(10_000, 9_000), max_pixels=10**12) == "too_many_pixels"


def test_a_zero_size_is_corrupt() -> None:
    assert reason_of(png_claiming(0, 10)) == "corrupt"


def test_a_needle_is_refused_and_a_panorama_is_not() -> None:
    assert reason_of(saved(Image.new("L", (3300, 100)), "PNG")) == "too_elongated"
    assert decode(saved(Image.new("L", (3200, 100)), "PNG")).shape == (3, 100, 3200)


def test_a_usual_progressive_jpeg_is_decoded() -> None:
    assert decode(saved(picture(), "JPEG", progressive=True)).shape == (3, 40, 60)
    assert decode(saved(picture().convert("CMYK"), "JPEG", progressive=True)).shape == (3, 40, 60)


def test_a_jpeg_with_scans_without_end_is_refused() -> None:
    data = saved(picture(), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    assert reason_of(data[:-2] + last_scan * 1000 + b"\xff\xd9") == "too_many_scans"


def test_a_jpeg_with_segments_without_end_is_refused() -> None:
    data, comment = saved(picture(), "JPEG"), b"\xff\xfe\x00\x02"
    assert decode(data[:2] + comment * 1_000 + data[2:]).shape == (3, 40, 60)
    assert reason_of(data[:2] + comment * 5_000 + data[2:]) == "corrupt"


def test_an_error_of_the_decoder_is_the_cause_of_ours() -> None:
    data = saved(picture(), "PNG")
    with pytest.raises(ImageUndecodable) as refused:
        decode(data.replace(b"IDAT", b"IDAX"))
    assert refused.value.reason == "corrupt"
    assert refused.value.__cause__ is not None


SEEDS = [saved(picture(), image_format) for image_format in ("JPEG", "PNG", "WEBP", "GIF")]


@settings(max_examples=300, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_decode_or_are_undecodable_and_nothing_else(seed: bytes, edits: list[tuple[int, int]]) -> None:
    damaged = bytearray(seed)
    for position, value in edits:
        damaged[position % len(damaged)] = value
    try:
        decoded = decode(bytes(damaged), max_pixels=1_000_000)
    except ImageUndecodable:
        return
    assert decoded.shape[0] == 3
    assert decoded.shape[1] * decoded.shape[2] <= 1_000_000


def test_a_large_image_is_converted_in_strips_without_a_seam() -> None:
    large = picture(3000, 1000).convert("P")
    decoded = decode(saved(large, "PNG"))
    assert torch.equal(decoded, torch.from_numpy(np.array(large.convert("RGB"))).permute(2, 0, 1))


def test_threads_get_what_one_thread_gets() -> None:
    data = saved(picture(), "JPEG")
    alone = decode(data)
    with ThreadPoolExecutor(8) as threads:
        assert all(torch.equal(alone, decoded) for decoded in threads.map(decode, [data] * 64))


def test_resize_matches_pillow() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    image = torch.from_numpy(noise).permute(2, 0, 1)
    ours = center_square(image, 32, 0.875, "bicubic").permute(1, 2, 0).numpy()
    theirs = Image.fromarray(noise).crop((20, 5, 99, 84)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).max() <= 1


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 30), (3, 500, 20), (3, 224, 224)])
def test_any_size_resizes_to_the_square_asked_for(shape: tuple[int, ...]) -> None:
    assert center_square(torch.full(shape, 77, dtype=torch.uint8), 24, 0.875, "bilinear").unique().tolist() == [77]


@pytest.mark.parametrize("image", [torch.zeros(3, 8, 8), torch.zeros(8, 8, 3, dtype=torch.uint8)])
def test_resize_names_the_shape_and_type_it_wanted(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected image uint8 \[3, height, width\], got"):
        center_square(image, 24, 1.0, "bilinear")
