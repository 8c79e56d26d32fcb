"""Dependencies point one way, room by room, each outside library has one home, and help does not wait for a library.

Read from the source: every import counts, those inside functions and those for types too.
"""

import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from rooms import LAYERS, MODULES, ROOT, imports, layer_of, project_imports, room_of, usable_by

AT_THE_TOP_AT_MOST = 8

HOMES = {
    "faust": ["worker.app", "worker.delivery.transport"],
    "mode": ["worker.delivery.transport"],
    "aiokafka": ["worker.delivery", "worker.demo", "worker.watch.dead", "worker.watch.topic_reader"],
    "redis": ["worker.images.cache"],
    "prometheus_client": ["worker.telemetry.metrics", "worker.watch.scrape"],
    "aiohttp": [
        "worker.demo",
        "worker.images.fetcher",
        "worker.images.name_resolution",
        "worker.telemetry.health",
        "worker.watch.top",
    ],
    "click": ["mner_model.cli", "mner_model.commands", "worker.cli", "worker.watch"],
    "pydantic": ["mner_model.posts", "worker.messages", "worker.setting_types", "worker.settings"],
    "yaml": ["worker.messages.asyncapi"],
    "torch": ["mner_model"],
    "torchvision": ["mner_model.imaging.encoder"],
    "matplotlib": ["mner_model.plotting.glyphs", "mner_model.plotting.figures"],
    "opentelemetry": ["worker.telemetry.tracing"],
    "transformers": ["mner_model.network.text_encoder"],
    "tokenizers": ["mner_model.text.pieces", "mner_model.text.word_pieces"],
    "safetensors": ["mner_model"],
    "PIL": ["mner_model.imaging.decoding"],
}
DOORS_OF_THE_MODEL = {
    f"mner_model.{name}"
    for name in (
        "checkpoints.checkpoint",
        "commands.output",
        "errors",
        "imaging.decoding",
        "posts.fields",
        "posts.image_status",
        "posts.post",
        "posts.record",
        "posts.refusals",
        "predictor",
        "text.languages",
        "text.reading",
    )
}


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def importers(package: str) -> set[str]:
    return {
        module for module, path in MODULES.items() if any(is_within(imported, package) for imported in imports(path))
    }


def reachable(module: str) -> set[str]:
    found, waiting = set[str](), {module}
    while waiting:
        found |= waiting
        waiting = set(chain(*map(project_imports, waiting))) - found
    return found


def test_the_model_knows_nothing_of_the_worker() -> None:
    wrong = sorted(module for module in importers("worker") if is_within(module, "mner_model"))
    assert not wrong, f"{', '.join(wrong)} imports the worker, but dependencies point one way: worker → mner_model"


@pytest.mark.parametrize("module", [module for module in MODULES if module not in LAYERS])
def test_imports_between_rooms_run_one_way(module: str) -> None:
    room = room_of(module)
    package, _, _ = room.partition(".")
    mine = {imported for imported in project_imports(module) if is_within(imported, package) and imported != package}
    wrong = sorted(imported for imported in mine if room_of(imported) not in {room, *usable_by(room)})
    assert not wrong, (
        f"{module} imports {', '.join(wrong)}, but the room {room} may use only itself and "
        f"{', '.join(usable_by(room)) or 'no other'}: see LAYERS in scripts/rooms.py"
    )


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_itself_imports_nothing_of_the_project(package: str) -> None:
    """Every module imports its package first, so this would be an import the wrong way by all of them."""
    found = project_imports(package)
    assert not found, f"{package}/__init__.py imports {', '.join(sorted(found))}: move that into the room that needs it"


def test_every_room_has_a_place_and_is_there() -> None:
    there = {room_of(module) for module in MODULES if module not in LAYERS}
    placed = {f"{package}.{name}" for package, layers in LAYERS.items() for layer in layers for name in layer}
    new, gone = ", ".join(sorted(there - placed)), ", ".join(sorted(placed - there))
    assert not new, f"{new}: give it a line in LAYERS of scripts/rooms.py, below all that it may use"
    assert not gone, f"{gone}: take it out of LAYERS of scripts/rooms.py, for there is no such room"


@pytest.mark.parametrize("package", LAYERS)
def test_only_a_handful_of_files_lie_outside_a_room(package: str) -> None:
    files = [path.name for path in (ROOT / package).glob("*.py") if not path.name.startswith("__")]
    assert len(files) <= AT_THE_TOP_AT_MOST, f"{', '.join(sorted(files))}: move one into the room of its stage"


@pytest.mark.parametrize("package", LAYERS)
def test_every_room_says_what_it_is_for(package: str) -> None:
    folders = [path.parent for path in (ROOT / package).rglob("*.py")]
    said = {folder: (folder / "__init__.py").read_text(encoding="utf-8") for folder in folders}
    assert [str(folder) for folder, text in said.items() if not text.startswith('"""')] == []


@pytest.mark.parametrize("module", [module for module in MODULES if is_within(module, "worker")])
def test_the_worker_reaches_the_model_through_its_doors_only(module: str) -> None:
    reached = {imported for imported in project_imports(module) if is_within(imported, "mner_model")}
    wrong = sorted({one for one in reached if MODULES[one].name != "__init__.py"} - DOORS_OF_THE_MODEL)
    assert not wrong, (
        f"{module} imports {', '.join(wrong)}; use one of the doors: {', '.join(sorted(DOORS_OF_THE_MODEL))}"
    )


@pytest.mark.parametrize("library", HOMES)
def test_an_outside_library_is_at_home_in_few_places(library: str) -> None:
    strays = {module for module in importers(library) if not any(is_within(module, home) for home in HOMES[library])}
    assert strays == set(), f"{library} is at home in {HOMES[library]}"


@pytest.mark.parametrize("library", HOMES)
def test_no_home_is_empty(library: str) -> None:
    found = importers(library)
    assert [home for home in HOMES[library] if not any(is_within(module, home) for module in found)] == []


def test_between_bytes_in_and_records_out_there_is_neither_faust_nor_kafka() -> None:
    outsiders = importers("faust") | importers("mode") | importers("aiokafka") | importers("worker.app")
    assert reachable("worker.tagging.pipeline") & outsiders == set()


def test_no_two_modules_need_each_other() -> None:
    try:
        TopologicalSorter({module: project_imports(module) - LAYERS.keys() for module in MODULES}).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        pytest.fail(f"{circle}: these import one another in a circle; move what they share below them", pytrace=False)


def test_a_room_may_use_what_lies_below_it_and_nothing_beside_or_above() -> None:
    assert usable_by("worker.errors") == []
    assert {"worker.messages", "worker.settings"} <= set(usable_by("worker.delivery"))
    assert {"worker.images", "worker.tagging", "worker.app"}.isdisjoint(usable_by("worker.delivery"))
    with pytest.raises(KeyError, match="has no place"):
        layer_of("worker.cellar")


@pytest.mark.parametrize("package", LAYERS)
def test_tests_lie_in_the_rooms_of_what_they_test(package: str) -> None:
    tests = ROOT / "tests" / package
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    wrong = sorted(str(folder) for folder in folders if not (ROOT / package / folder).is_dir())
    assert not wrong, (
        f"tests/{package} has folders {', '.join(wrong)}, but {package}/ has no such rooms: move those tests"
    )


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "worker/demo/sample/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_modules_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(
        r"(?<![\w/-])((?:worker|mner_model|scripts|tests|benchmarks|deploy|docs)/[\w/.-]*(?:\.py|/))", text
    )
    modules = re.findall(r"(?<![\w/.-])((?:worker|mner_model)(?:\.[a-z_]+)+)", text)
    gone = [path for path in named if not (ROOT / path).exists()] + [name for name in modules if not is_there(name)]
    assert not gone, f"{page.relative_to(ROOT)} names {', '.join(gone)}, which is not there any more"


def is_there(name: str) -> bool:
    """A module, or what is in one."""
    return name in MODULES or name.rpartition(".")[0] in MODULES


@pytest.mark.parametrize("module", ["worker.cli", "worker.settings", "worker.messages.schemas", "mner_model.cli"])
def test_help_does_not_wait_for_heavy_libraries(module: str) -> None:
    program = f"import sys, {module}; print([name for name in ('torch', 'faust', 'aiokafka') if name in sys.modules])"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
