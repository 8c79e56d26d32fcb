"""Dependencies point one way, each outside library has one home, and help does not wait for a model library.

Read from the source: every import counts, those inside functions too.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("worker", "mner_model")

HOMES = {
    "faust": ["worker.app", "worker.delivery", "worker.transport"],
    "mode": ["worker.app", "worker.delivery", "worker.transport"],
    "aiokafka": [
        "worker.broker",
        "worker.dead",
        "worker.demo",
        "worker.publisher",
        "worker.topic_reader",
        "worker.topics",
        "worker.transport",
    ],
    "redis": ["worker.embedding_cache"],
    "prometheus_client": ["worker.metrics", "worker.scrape"],
    "aiohttp": ["worker.demo", "worker.health", "worker.image_fetcher", "worker.name_resolution", "worker.top"],
    "click": [
        "mner_model.captioning.commands",
        "mner_model.cli",
        "mner_model.console",
        "mner_model.segmenter.commands",
        "mner_model.options",
        "mner_model.output",
        "mner_model.plotting.commands",
        "mner_model.reporting.commands",
        "mner_model.training.teaching_commands",
        "worker.cli",
        "worker.option_types",
        "worker.watch_commands",
    ],
    "pydantic": [
        "mner_model.fields",
        "mner_model.post",
        "mner_model.record",
        "mner_model.refusals",
        "worker.messages",
        "worker.schemas",
        "worker.setting_types",
        "worker.settings",
    ],
    "yaml": ["worker.asyncapi"],
    "torch": ["mner_model"],
    "torchvision": ["mner_model.image_encoder"],
    "matplotlib": ["mner_model.plotting.glyphs", "mner_model.plotting.plots"],
    "opentelemetry": ["worker.tracing"],
    "transformers": ["mner_model.text_encoder"],
    "tokenizers": ["mner_model.text_pieces"],
    "safetensors": ["mner_model"],
    "PIL": ["mner_model.images", "worker.demo"],
}
DOORS_OF_THE_MODEL = {
    f"mner_model.{name}"
    for name in (
        "checkpoint",
        "errors",
        "fields",
        "image_status",
        "images",
        "output",
        "post",
        "predictor",
        "record",
        "refusals",
    )
}


def imports(path: Path, *, at_module_level_only: bool = False) -> Iterator[str]:
    """The full names of all modules that a file may import; of `from a import b` both a and a.b, as b may be either."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_module_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a dependency points"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in chain(*(sorted((ROOT / name).rglob("*.py")) for name in PACKAGES))}


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def importers(package: str) -> set[str]:
    return {
        module for module, path in MODULES.items() if any(is_within(imported, package) for imported in imports(path))
    }


def project_imports(module: str, *, at_module_level_only: bool = False) -> set[str]:
    imported = set(imports(MODULES[module], at_module_level_only=at_module_level_only))
    return (imported & MODULES.keys()) - {module}


def reachable(module: str) -> set[str]:
    found, waiting = set[str](), {module}
    while waiting:
        found |= waiting
        waiting = set(chain(*map(project_imports, waiting))) - found
    return found


def test_the_model_knows_nothing_of_the_worker() -> None:
    assert {module for module in importers("worker") if is_within(module, "mner_model")} == set()


@pytest.mark.parametrize("module", [module for module in MODULES if is_within(module, "worker")])
def test_the_worker_reaches_the_model_through_its_doors_only(module: str) -> None:
    reached = {imported for imported in project_imports(module) if is_within(imported, "mner_model")}
    assert reached - {"mner_model"} <= DOORS_OF_THE_MODEL


@pytest.mark.parametrize("library", HOMES)
def test_an_outside_library_is_at_home_in_few_places(library: str) -> None:
    strays = {module for module in importers(library) if not any(is_within(module, home) for home in HOMES[library])}
    assert strays == set(), f"{library} is at home in {HOMES[library]}"


def test_between_bytes_in_and_records_out_there_is_neither_faust_nor_kafka() -> None:
    outsiders = importers("faust") | importers("mode") | importers("aiokafka") | importers("worker.app")
    assert reachable("worker.pipeline") & outsiders == set()


def test_no_two_modules_need_each_other_to_be_imported() -> None:
    TopologicalSorter({module: project_imports(module, at_module_level_only=True) for module in MODULES}).prepare()


@pytest.mark.parametrize("module", ["worker.cli", "worker.settings", "worker.schemas", "mner_model.cli"])
def test_help_does_not_wait_for_heavy_libraries(module: str) -> None:
    program = f"import sys, {module}; print([name for name in ('torch', 'faust', 'aiokafka') if name in sys.modules])"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
