"""docker-compose.yml as Docker Compose reads it: anchors merged, variables put in, and what a container is told."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:?-)(?P<default>[^}]*))?\}")


def text_without_comments() -> str:
    """The file's lines that are not comments."""
    lines = COMPOSE_FILE.read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def interpolated_variables() -> dict[str, set[str]]:
    """Each ${NAME:-default} of the file with every default that is given for it."""
    found: dict[str, set[str]] = {}
    for match in _VARIABLE.finditer(text_without_comments()):
        assert match["operator"], f"{match[0]} has no default"
        found.setdefault(match["name"], set()).add(match["default"])
    return found


def compose(**environ: str) -> dict[str, Any]:
    """The file in an environment; as Compose does it, YAML is read first and what is put in stays a string.

    `:-` takes the default for what is unset or empty, `-` for what is unset.
    """

    def value(match: re.Match[str]) -> str:
        given = environ.get(match["name"])
        return match["default"] if given is None or (given == "" and match["operator"] == ":-") else given

    def put_in(node: Any) -> Any:
        match node:
            case dict():
                return {key: put_in(child) for key, child in node.items()}
            case list():
                return [put_in(child) for child in node]
            case str():
                return _VARIABLE.sub(value, node)
        return node

    parsed: dict[str, Any] = put_in(yaml.safe_load(COMPOSE_FILE.read_text("utf-8")))
    return parsed


def container_environ(service: Mapping[str, Any], **environ: str) -> dict[str, str]:
    """What a container gets: a variable without a value is passed on where it is set, else left out."""
    named = service.get("environment", {})
    passed = {name: environ.get(name) if given is None else given for name, given in named.items()}
    assert all(isinstance(given, str) for given in passed.values() if given is not None), (
        "YAML makes a word of no string"
    )
    return {name: given for name, given in passed.items() if given is not None}


def bind_mounts(service: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Folders of the checkout that a service sees, and where."""
    for source, target, *_ in (volume.split(":") for volume in service.get("volumes", [])):
        if source.startswith("."):
            yield ROOT / source, target


def stages() -> dict[str, str]:
    """The Dockerfile's stages by name, each with its text."""
    parts = re.split(r"^FROM (\S+) AS (\S+)\n", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    return {
        name: f"FROM {base}\n{text}" for base, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }
