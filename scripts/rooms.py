"""The rooms of the two packages, which may use which, and what really imports what, read from the source.

A room is a folder of a package, or a single file at its top. `tests/test_architecture.py` holds the imports against the
layers below, `draw_architecture.py` draws them.
"""

import ast
from functools import cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Each room may use those of the layers above its own line, and no room of its own line.
LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "worker": (
        ("errors", "allowed_hosts", "probe"),
        ("setting_types",),
        ("settings",),
        ("messages",),
        ("telemetry",),
        ("delivery", "images"),
        ("tagging", "watch", "image_fetcher"),
        ("app", "demo"),
        ("cli",),
        ("__main__",),
    ),
    "mner_model": (
        ("errors",),
        ("text", "posts"),
        ("config", "data"),
        ("files", "network", "presets"),
        ("imaging", "segmenter"),
        ("captioning", "preprocessing", "images"),
        ("checkpoints",),
        ("predictor",),
        ("evaluation", "plotting"),
        ("training",),
        ("reporting",),
        ("commands",),
        ("cli",),
        ("__main__",),
    ),
}


def module_name(path: Path) -> str:
    """worker/images/cache.py → worker.images.cache"""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in chain(*(sorted((ROOT / name).rglob("*.py")) for name in LAYERS))}


@cache
def imports(path: Path) -> frozenset[str]:
    """The full names of all modules that a file may import, those inside functions and for types alone too.

    Of `from a import b` both a and a.b, as b may be either.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{path}: relative imports hide where a dependency points")
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def project_imports(module: str) -> set[str]:
    """The modules of this project that one imports."""
    return (set(imports(MODULES[module])) & MODULES.keys()) - {module}


def room_of(module: str) -> str:
    """worker.images.cache → worker.images; of a package itself, the package."""
    return ".".join(module.split(".")[:2])


def layer_of(room: str) -> int:
    """How far up a room is, from 0; raises KeyError for one that has no place."""
    package, _, name = room.partition(".")
    for number, names in enumerate(LAYERS[package]):
        if name in names:
            return number
    raise KeyError(f"{room} has no place in LAYERS of scripts/rooms.py")


def usable_by(room: str) -> list[str]:
    """The rooms of its own package that a room may use."""
    package, _, _ = room.partition(".")
    return [f"{package}.{name}" for layer in LAYERS[package][: layer_of(room)] for name in layer]


def room_imports() -> dict[str, set[str]]:
    """Which rooms each room uses, those of the other package too."""
    used: dict[str, set[str]] = {}
    for module in MODULES:
        if module in LAYERS:
            continue
        uses = {room_of(imported) for imported in project_imports(module) if imported not in LAYERS}
        used.setdefault(room_of(module), set()).update(uses - {room_of(module)})
    return used
