"""The heat map of modalities by tokens on a terminal, with the image where the terminal has colours."""

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text
from torch.nn import functional

from mner_model.plotting.attention_map import AttentionMap
from mner_model.plotting.glyphs import printable

_IMAGE_COLUMNS, _IMAGE_LINES = 32, 20
_TOKEN_COLUMNS = 32


def print_attention(shown: AttentionMap, console: Console) -> None:
    """The image if the console is a terminal with colours, what was read of it, and a row a token."""
    if shown.image is not None and console.is_terminal and console.color_system and not console.no_color:
        console.print(half_blocks(shown.image))
    if shown.reading is not None:
        console.print(Text(printable(shown.reading)))
    console.print(heat_map_table(shown))


def heat_map_table(shown: AttentionMap) -> Table:
    """A row a token, a column a modality, the darker the more it counted; then the type of the mention it is in."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", max_width=_TOKEN_COLUMNS, no_wrap=True, overflow="ellipsis")
    for modality in shown.weights.modalities:
        table.add_column(modality, justify="center")
    table.add_column("")
    types = {place: mention.type for mention in shown.mentions for place in range(mention.start, mention.end)}
    for place, (token, weights) in enumerate(zip(shown.weights.tokens, shown.weights.weights, strict=True)):
        table.add_row(Text(printable(token)), *(_shade(float(weight)) for weight in weights), types.get(place, ""))
    return table


def _shade(weight: float) -> Text:
    level = round(255 * (1 - weight))
    ink = "white" if weight > 0.5 else "black"
    return Text(f" {weight:4.0%} ", Style(color=ink, bgcolor=f"rgb({level},{level},255)"))


def half_blocks(image: npt.NDArray[np.uint8]) -> Text:
    """An image, uint8 [height, width, 3], two pixels a character: the upper is its ink, the lower its ground."""
    height, width = image.shape[:2]
    scale = min(_IMAGE_COLUMNS / width, 2 * _IMAGE_LINES / height)
    columns, lines = max(1, round(width * scale)), max(1, round(height * scale / 2))
    planes = torch.from_numpy(image).permute(2, 0, 1).float()
    small = functional.interpolate(planes[None], size=(2 * lines, columns), mode="area")[0]
    pixels = small.round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Text("\n").join(
        Text.assemble(
            *(("▀", Style(color=_rgb(ink), bgcolor=_rgb(ground))) for ink, ground in zip(upper, lower, strict=True))
        )
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
    )


def _rgb(pixel: npt.NDArray[np.uint8]) -> str:
    red, green, blue = pixel.tolist()
    return f"rgb({red},{green},{blue})"
