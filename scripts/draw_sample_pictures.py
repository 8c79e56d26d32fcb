"""Draw the demo's pictures: python scripts/draw_sample_pictures.py [FOLDER]

Every picture is made here from shapes, so the sample needs nobody's permission; the same script makes the same bytes
on the same Pillow. Drawn at twice the size and scaled down, which smooths the edges.
"""

# ruff: noqa: D103 - the painters say what they draw in their names
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SCALE = 2
WIDTH, HEIGHT = 320 * SCALE, 240 * SCALE
HERE = Path(__file__).resolve().parent
DEFAULT_FOLDER = HERE.parent / "worker" / "demo" / "sample" / "pictures"

Colour = tuple[int, int, int]
Painter = Callable[[ImageDraw.ImageDraw, random.Random], None]

NIGHT, DUSK, SKY, PALE = (12, 18, 48), (250, 150, 90), (96, 170, 230), (225, 240, 250)
GRASS, SEA, STONE, WHITE, BLACK = (62, 145, 66), (38, 96, 140), (120, 118, 116), (250, 250, 248), (24, 24, 26)
RED, GOLD = (205, 48, 52), (240, 190, 60)


def gradient(draw: ImageDraw.ImageDraw, top: Colour, bottom: Colour, *, until: int = HEIGHT) -> None:
    """Fill from the upper edge to the row `until`."""
    for row in range(until):
        share = row / until
        mixed = tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
        draw.line((0, row, WIDTH, row), fill=mixed)


def at(x: float, y: float) -> tuple[float, float]:
    """A point given as fractions of width and height."""
    return x * WIDTH, y * HEIGHT


def box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """A rectangle given as fractions of width and height."""
    return (*at(left, top), *at(right, bottom))


def disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    """A circle whose radius is a fraction of the height."""
    cx, cy = at(x, y)
    size = radius * HEIGHT
    draw.ellipse((cx - size, cy - size, cx + size, cy + size), fill=fill)


def caption(draw: ImageDraw.ImageDraw, text: str, y: float, size: float, fill: Colour) -> None:
    """One centred line; size is a fraction of the height."""
    draw.text(at(0.5, y), text, font=ImageFont.load_default(size * HEIGHT), fill=fill, anchor="mm")


def stadium(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, NIGHT, (60, 60, 110))
    draw.ellipse(box(-0.15, 0.2, 1.15, 1.25), fill=(70, 74, 92))
    for _ in range(1_500):  # the crowd
        angle, far = dice.uniform(math.pi, 2 * math.pi), dice.uniform(0.82, 1.0)
        x, y = 0.5 + 0.63 * far * math.cos(angle), 0.72 + 0.5 * far * math.sin(angle)
        disc(draw, x, y, 0.006, dice.choice([RED, GOLD, WHITE, SKY, (200, 150, 120)]))
    draw.polygon([at(0.22, 0.42), at(0.78, 0.42), at(1.1, 1.0), at(-0.1, 1.0)], fill=GRASS)
    draw.line([*at(0.06, 0.68), *at(0.94, 0.68)], fill=WHITE, width=4)
    draw.ellipse(box(0.38, 0.6, 0.62, 0.78), outline=WHITE, width=4)
    for x in (0.1, 0.9):
        draw.line([*at(x, 0.05), *at(x, 0.4)], fill=STONE, width=8)
        draw.rectangle(box(x - 0.05, 0.02, x + 0.05, 0.1), fill=(255, 252, 214))


def bridge(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, (70, 90, 150), DUSK, until=round(HEIGHT * 0.7))
    draw.rectangle(box(0, 0.68, 1, 1), fill=SEA)
    disc(draw, 0.5, 0.6, 0.09, (255, 220, 130))
    draw.rectangle(box(0, 0.68, 1, 1), fill=SEA)
    rust = (178, 60, 40)
    for tower in (0.25, 0.75):
        draw.rectangle(box(tower - 0.015, 0.15, tower + 0.015, 0.85), fill=rust)
    for step in range(101):  # the main cable hangs as a parabola between the towers
        x = step / 100
        distance = min(abs(x - 0.25), abs(x - 0.75)) if 0.25 <= x <= 0.75 else abs(x - (0.25 if x < 0.25 else 0.75))
        top = 0.16 + 0.45 * (1 - (1 - distance / 0.25) ** 2) if distance <= 0.25 else 0.61
        draw.line([*at(x, top), *at(x, 0.64)], fill=rust, width=2)
    draw.rectangle(box(0, 0.62, 1, 0.665), fill=rust)
    for _ in range(60):
        x, y = dice.random(), dice.uniform(0.72, 0.98)
        draw.line([*at(x, y), *at(x + 0.05, y)], fill=(90, 140, 175), width=3)


def concert(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, (20, 8, 40), (70, 20, 90))
    for x, colour in ((0.15, (190, 60, 200)), (0.38, SKY), (0.62, GOLD), (0.85, (230, 70, 110))):
        dim = tuple(part // 2 for part in colour)
        draw.polygon([at(x, 0.0), at(0.5 + (x - 0.5) * 0.3 - 0.09, 0.72), at(0.5 + (x - 0.5) * 0.3 + 0.09, 0.72)], dim)
        disc(draw, x, 0.02, 0.035, colour)
    draw.rectangle(box(0.08, 0.7, 0.92, 0.78), fill=(40, 36, 52))
    draw.ellipse(box(0.47, 0.38, 0.53, 0.46), fill=BLACK)  # the singer
    draw.polygon([at(0.45, 0.47), at(0.55, 0.47), at(0.53, 0.71), at(0.47, 0.71)], fill=BLACK)
    draw.line([*at(0.53, 0.5), *at(0.6, 0.36)], fill=BLACK, width=14)
    draw.line([*at(0.435, 0.43), *at(0.435, 0.71)], fill=STONE, width=5)
    for _ in range(46):  # heads and raised hands
        x, y = dice.random(), dice.uniform(0.84, 1.0)
        disc(draw, x, y, 0.05, (14, 8, 22))
        if dice.random() < 0.5:
            draw.line([*at(x, y), *at(x + dice.uniform(-0.03, 0.03), y - 0.16)], fill=(14, 8, 22), width=14)


def cat(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, (250, 226, 190), (240, 200, 150))
    fur, dark = (225, 140, 60), (170, 90, 35)
    draw.polygon([at(0.3, 0.42), at(0.3, 0.08), at(0.47, 0.26)], fill=fur)
    draw.polygon([at(0.7, 0.42), at(0.7, 0.08), at(0.53, 0.26)], fill=fur)
    draw.ellipse(box(0.22, 0.62, 0.78, 1.5), fill=fur)
    draw.ellipse(box(0.27, 0.2, 0.73, 0.8), fill=fur)
    for x in (0.44, 0.5, 0.56):
        draw.line([*at(x, 0.23), *at(x, 0.33)], fill=dark, width=9)
    for x in (0.4, 0.6):
        draw.ellipse(box(x - 0.05, 0.41, x + 0.05, 0.53), fill=(190, 220, 90))
        draw.ellipse(box(x - 0.013, 0.41, x + 0.013, 0.53), fill=BLACK)
    draw.polygon([at(0.47, 0.58), at(0.53, 0.58), at(0.5, 0.63)], fill=(215, 100, 110))
    draw.arc(box(0.43, 0.6, 0.5, 0.7), 0, 180, fill=dark, width=5)
    draw.arc(box(0.5, 0.6, 0.57, 0.7), 0, 180, fill=dark, width=5)
    for side in (-1, 1):
        for tilt in (-0.03, 0.0, 0.03):
            draw.line([*at(0.5 + side * 0.08, 0.63 + tilt), *at(0.5 + side * 0.3, 0.6 + tilt * 2.2)], WHITE, 3)


def skyline(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, (30, 34, 80), DUSK)
    left = -0.02
    while left < 1:
        width, top = dice.uniform(0.05, 0.1), dice.uniform(0.3, 0.68)
        draw.rectangle(box(left, top, left + width, 1), fill=(22, 24, 44))
        for row in range(int((1 - top) / 0.05)):
            for column in range(3):
                if dice.random() < 0.55:
                    x, y = left + 0.012 + column * width / 3, top + 0.02 + row * 0.05
                    draw.rectangle(box(x, y, x + 0.011, y + 0.02), fill=GOLD)
        left += width + 0.008
    draw.polygon([at(0.47, 0.32), at(0.5, 0.04), at(0.53, 0.32), at(0.55, 1), at(0.45, 1)], fill=(16, 18, 34))


def football(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, (90, 180, 90), GRASS)
    for tenths in range(0, 10, 2):
        draw.rectangle(box(tenths / 10, 0, tenths / 10 + 0.1, 1), fill=(74, 160, 76))
    draw.ellipse(box(0.3, 0.82, 0.72, 0.94), fill=(40, 100, 46))
    disc(draw, 0.5, 0.5, 0.38, BLACK)
    disc(draw, 0.5, 0.5, 0.37, WHITE)
    for distance, size in ((0.0, 0.11), (0.3, 0.075)):
        for patch in range(5 if distance else 1):
            angle = math.radians(72 * patch - 90)
            x, y = 0.5 + distance * math.cos(angle) * HEIGHT / WIDTH, 0.5 + distance * math.sin(angle)
            draw.regular_polygon((*at(x, y), size * HEIGHT), 5, rotation=36 - 72 * patch if distance else 0, fill=BLACK)
            if distance:
                draw.line([*at(0.5, 0.5), *at(x, y)], fill=BLACK, width=5)
    draw.regular_polygon((*at(0.5, 0.5), 0.11 * HEIGHT), 5, fill=BLACK)


def poster(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    draw.rectangle(box(0, 0, 1, 1), fill=(246, 232, 204))
    draw.rectangle(box(0.04, 0.05, 0.96, 0.95), outline=RED, width=10)
    for ray in range(24):
        start = ray * 15
        draw.pieslice(box(0.25, 0.28, 0.75, 0.95), start, start + 7, fill=(236, 206, 150))
    caption(draw, "SUMMER JAZZ NIGHT", 0.19, 0.105, RED)
    caption(draw, "Lisbon", 0.48, 0.22, BLACK)
    caption(draw, "Saturday 20:00", 0.68, 0.09, BLACK)
    caption(draw, "free entrance", 0.82, 0.08, RED)


def map_pin(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    draw.rectangle(box(0, 0, 1, 1), fill=(236, 233, 222))
    draw.polygon([at(0, 0.62), at(0.35, 0.7), at(0.6, 1), at(0, 1)], fill=(160, 205, 235))
    draw.polygon([at(0.6, 0), at(1, 0), at(1, 0.38), at(0.7, 0.3)], fill=(190, 222, 170))
    for line in ((0, 0.2, 1, 0.5), (0.2, 0, 0.5, 1), (0, 0.5, 0.75, 0), (0.45, 0.55, 1, 0.95), (0.8, 0, 0.7, 1)):
        draw.line([*at(*line[:2]), *at(*line[2:])], fill=(215, 208, 190), width=26)
        draw.line([*at(*line[:2]), *at(*line[2:])], fill=WHITE, width=20)
    draw.ellipse(box(0.45, 0.74, 0.57, 0.8), fill=(180, 176, 160))
    draw.polygon([at(0.395, 0.42), at(0.625, 0.42), at(0.51, 0.77)], fill=RED)
    disc(draw, 0.51, 0.36, 0.16, RED)
    disc(draw, 0.51, 0.36, 0.065, WHITE)


def mountain(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, SKY, PALE)
    draw.polygon([at(-0.1, 0.9), at(0.22, 0.34), at(0.5, 0.9)], fill=(120, 140, 170))
    draw.polygon([at(0.12, 1), at(0.56, 0.12), at(1.05, 1)], fill=(88, 104, 138))
    snow = [
        at(0.56, 0.12),
        at(0.45, 0.34),
        at(0.5, 0.31),
        at(0.545, 0.38),
        at(0.59, 0.3),
        at(0.63, 0.36),
        at(0.68, 0.335),
    ]
    draw.polygon(snow, fill=WHITE)
    draw.polygon([at(0, 0.82), at(0.4, 0.76), at(1, 0.86), at(1, 1), at(0, 1)], fill=(54, 104, 76))
    for _ in range(40):
        x, y = dice.random(), dice.uniform(0.82, 0.97)
        draw.polygon([at(x - 0.014, y), at(x + 0.014, y), at(x, y - 0.09)], fill=(34, 78, 56))


def train(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, PALE, (250, 240, 220))
    draw.rectangle(box(0, 0.78, 1, 1), fill=(150, 142, 130))
    draw.rectangle(box(0, 0.8, 1, 0.82), fill=(80, 76, 72))
    draw.polygon([at(-0.1, 0.3), at(0.72, 0.3), at(0.96, 0.62), at(0.97, 0.76), at(-0.1, 0.76)], fill=WHITE)
    draw.polygon([at(-0.1, 0.62), at(0.96, 0.62), at(0.97, 0.68), at(-0.1, 0.68)], fill=(30, 90, 170))
    draw.polygon([at(0.66, 0.36), at(0.74, 0.36), at(0.86, 0.54), at(0.66, 0.54)], fill=(40, 52, 66))
    for x in (0.04, 0.19, 0.34, 0.49):
        draw.rounded_rectangle(box(x, 0.37, x + 0.1, 0.54), radius=12, fill=(40, 52, 66))
    for x in (0.1, 0.24, 0.6, 0.74):
        disc(draw, x, 0.78, 0.045, (56, 54, 52))


def lighthouse(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, NIGHT, (90, 80, 130))
    for _ in range(70):
        disc(draw, dice.random(), dice.uniform(0, 0.55), 0.004, WHITE)
    draw.polygon([at(0.6, 0.2), at(0.0, 0.02), at(0.0, 0.3)], fill=(96, 92, 118))
    draw.rectangle(box(0, 0.8, 1, 1), fill=(20, 44, 80))
    draw.polygon([at(0.4, 0.84), at(0.5, 0.74), at(0.8, 0.72), at(0.94, 0.84)], fill=(46, 44, 50))
    for stripe in range(5):
        top, bottom = 0.27 + stripe * 0.095, 0.27 + (stripe + 1) * 0.095
        spread_top, spread_bottom = 0.035 + stripe * 0.006, 0.035 + (stripe + 1) * 0.006
        corners = [(0.62 - spread_top, top), (0.62 + spread_top, top), (0.62 + spread_bottom, bottom)]
        draw.polygon(
            [at(*corner) for corner in [*corners, (0.62 - spread_bottom, bottom)]], RED if stripe % 2 else WHITE
        )
    draw.rectangle(box(0.59, 0.16, 0.65, 0.26), fill=(255, 236, 150))
    draw.polygon([at(0.575, 0.165), at(0.665, 0.165), at(0.62, 0.08)], fill=RED)


def rocket(draw: ImageDraw.ImageDraw, dice: random.Random) -> None:
    gradient(draw, (10, 20, 60), SKY)
    for _ in range(60):
        x = 0.5 + dice.gauss(0, 0.14)
        disc(draw, x, dice.uniform(0.86, 1.02), dice.uniform(0.04, 0.1), (222, 222, 226))
    draw.polygon([at(0.465, 0.66), at(0.535, 0.66), at(0.5, 0.95)], fill=GOLD)
    draw.polygon([at(0.48, 0.66), at(0.52, 0.66), at(0.5, 0.82)], fill=(255, 250, 220))
    draw.polygon([at(0.44, 0.68), at(0.46, 0.5), at(0.54, 0.5), at(0.56, 0.68)], fill=RED)
    draw.polygon([at(0.46, 0.66), at(0.46, 0.24), at(0.5, 0.1), at(0.54, 0.24), at(0.54, 0.66)], fill=WHITE)
    disc(draw, 0.5, 0.32, 0.035, (60, 90, 140))


PICTURES: dict[str, Painter] = {
    "stadium.jpg": stadium,
    "bridge.jpg": bridge,
    "concert.webp": concert,
    "cat.gif": cat,
    "skyline.jpg": skyline,
    "football.png": football,
    "poster.png": poster,
    "map_pin.png": map_pin,
    "mountain.webp": mountain,
    "train.jpg": train,
    "lighthouse.webp": lighthouse,
    "rocket.gif": rocket,
}


def draw_picture(name: str, painter: Painter) -> Image.Image:
    """One finished picture, 320 by 240 pixels."""
    canvas = Image.new("RGB", (WIDTH, HEIGHT))
    painter(ImageDraw.Draw(canvas), random.Random(name))  # noqa: S311 - a picture's confetti, no secret
    small = canvas.resize((WIDTH // SCALE, HEIGHT // SCALE), Image.Resampling.LANCZOS)
    return small.filter(ImageFilter.SMOOTH) if name.endswith(".jpg") else small


def save(picture: Image.Image, path: Path) -> None:
    """Write it as its name says, a few kilobytes each."""
    if path.suffix in {".gif", ".png"}:
        picture = picture.quantize(32, dither=Image.Dither.NONE)
    quality: dict[str, Any] = {"quality": 62} if path.suffix in {".jpg", ".webp"} else {}
    picture.save(path, optimize=True, **quality)


def main() -> None:
    """Draw them all into the folder named, and one that breaks off half-way."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, painter in PICTURES.items():
        save(draw_picture(name, painter), folder / name)
    whole = (folder / "skyline.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 3])  # as a download that was cut off
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:>7,} bytes  {path.name}")


if __name__ == "__main__":
    main()
