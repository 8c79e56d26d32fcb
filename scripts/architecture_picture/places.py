"""Where each room stands: its row by the imports, its column by hand."""

from collections.abc import Mapping

from rooms import LAYERS

from architecture_picture.routes import Place

HERE = "scripts/architecture_picture/places.py"

# Where in its row a room stands: what is used together close together. Which row, the imports say.
COLUMNS = {
    "worker": (
        ("demo", "watch", "setting_types", "allowed_hosts"),
        ("__main__", "cli", "app", "image_fetcher", "delivery", "settings", "telemetry", "errors"),
        ("tagging", "images", "messages", "probe"),
    ),
    "mner_model": (
        ("posts", "captioning", "segmenter", "files", "data", "predictor"),
        (
            *("__main__", "cli", "commands", "training", "evaluation", "checkpoints", "preprocessing", "network"),
            *("config", "text", "errors"),
        ),
        ("reporting", "plotting", "images", "imaging", "presets"),
    ),
}


class PictureRefused(Exception):
    """The code does not fit into the picture; the message is one sentence that says what to change."""


def rows(uses: Mapping[str, set[str]]) -> dict[str, int]:
    """The row of each room, from 0 at the top: the layers of a package, each below all that uses it.

    Raises PictureRefused for a room that has no layer.
    """
    height: dict[str, int] = {}
    for package in reversed(LAYERS):  # the one that uses the other comes last
        lowest = 0
        for layer in LAYERS[package]:
            used = [height[one] for name in layer for one in uses[f"{package}.{name}"] if one in height]
            lowest = max([lowest, *(one + 1 for one in used)])
            height.update({f"{package}.{name}": lowest for name in layer})
            lowest += 1
    if new := sorted(uses.keys() - height.keys()):
        raise PictureRefused(f"{', '.join(new)}: give it a line in LAYERS of scripts/rooms.py")
    return {room: max(height.values()) - at for room, at in height.items()}


def boxes(row_of: Mapping[str, int]) -> dict[str, Place]:
    """Where the box of each room is in the grid, in half steps.

    Raises PictureRefused where one has no place of its own.
    """
    column_of = {
        f"{package}.{name}": 3 * side + column
        for side, package in enumerate(LAYERS)
        for column, names in enumerate(COLUMNS[package])
        for name in names
    }
    found: dict[str, Place] = {}
    for room, row in row_of.items():
        if room not in column_of:
            raise PictureRefused(f"{room} has no column; give it one in COLUMNS of {HERE}")
        place = (2 * column_of[room] + 1, 2 * row + 1)
        if place in found.values():
            raise PictureRefused(f"{room} has the place of another room; change COLUMNS of {HERE}")
        found[room] = place
    return found
