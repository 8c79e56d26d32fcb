"""docs/results.md says what results.json says; the model card and README.md say the same of the one that ships."""

import re
import shlex
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from mner_model.checkpoints.checkpoint import default_checkpoint, folder_fingerprint
from mner_model.commands.reports import report
from mner_model.presets import PRESETS, preset
from mner_model.reporting.plan import Run, planned
from mner_model.reporting.results import Measured, ResultsError, read_results
from mner_model.reporting.results_page import PRESETS_OF, filled, table

MakeMeasured = Callable[..., Measured]

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "results.md"
MARKED = "before\n<!-- results: moon -->\nold\n<!-- /results -->\nafter\n"


def rows(text: str) -> list[str]:
    """The first cells of all tables' rows."""
    return [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if re.match(r"\| (?!preset)", line)]


def test_the_page_shows_the_results_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page, read_results()), "run python scripts/write_results.py"


def test_the_page_has_every_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- results: (\S+) -->", page) == list(PRESETS_OF)


def test_every_preset_stands_in_a_table() -> None:
    assert PRESETS.keys() <= set(chain.from_iterable(PRESETS_OF.values()))


def test_every_row_of_a_table_is_a_preset_or_a_variant_of_one() -> None:
    assert all(preset(name).name == name for name in chain.from_iterable(PRESETS_OF.values()))


def shipped(data: str, with_images: bool = False) -> dict[str, Any]:
    """What was measured of the checkpoint in the package."""
    fingerprint = folder_fingerprint(default_checkpoint())
    [found] = [
        dict(one.result)
        for one in read_results()
        if (one.result["model"]["fingerprint"], one.data, one.with_images) == (fingerprint, data, with_images)
    ]
    return found


def agrees(text: str, fraction: float) -> bool:
    """Whether a figure in percent is this one, with as many digits as it has."""
    return abs(float(text) - 100 * fraction) <= 0.5 * 10.0 ** -len(text.partition(".")[2]) + 1e-9


README, CARD, RESULTS = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/model-card.md", "docs/results.md")
)
FIGURE = r"(\d+\.\d+)"
SETS = pytest.mark.parametrize(
    ("row", "data"), [("Twitter-2015 test", "twitter2015/test"), ("Twitter-2017 valid", "twitter2017/valid")]
)


def figures_of_row(page: str, row: str) -> list[str]:
    [cells] = re.findall(rf"^\| {row}(?: \([\d,]+ posts\))? \|(.*)\|$", page, re.MULTILINE)
    return re.findall(FIGURE, cells)


@SETS
def test_the_readme_says_what_was_measured_of_the_one_that_ships(row: str, data: str) -> None:
    f1 = [shipped(data)[reading]["f1"] for reading in ("lenient", "strict", "seen", "unseen")]
    assert [agrees(*pair) for pair in zip(figures_of_row(README, row), f1, strict=True)] == [True] * 4


@SETS
def test_the_model_card_says_what_was_measured_of_the_one_that_ships(row: str, data: str) -> None:
    result = shipped(data)
    scores = [result["lenient"], result["strict"], *result["per_type"].values(), result["seen"], result["unseen"]]
    said = zip(figures_of_row(CARD, row), scores, strict=True)
    assert [(figure, score["f1"]) for figure, score in said if not agrees(figure, score["f1"])] == []
    [intervals] = re.findall(rf"interval \(95 %\) is {FIGURE} to {FIGURE} and {FIGURE} to {FIGURE}", CARD)
    bounds = intervals[:2] if data == "twitter2015/test" else intervals[2:]
    assert [agrees(*pair) for pair in zip(bounds, result["lenient_f1_interval"], strict=True)] == [True, True]


@SETS
def test_the_page_says_what_was_measured_of_the_one_that_ships(row: str, data: str) -> None:
    f1 = [shipped(data)[reading]["f1"] for reading in ("lenient", "strict")]
    assert [agrees(*pair) for pair in zip(figures_of_row(RESULTS, row), f1, strict=True)] == [True, True]
    [with_captions] = re.findall(rf"caption words on the same posts: {FIGURE} and {FIGURE}", RESULTS)
    figure = with_captions[0 if data == "twitter2015/test" else 1]
    assert agrees(figure, shipped(data, with_images=True)["lenient"]["f1"])


def test_the_commands_of_the_page_measure_every_row_of_its_tables() -> None:
    [block] = re.findall(r"## Repeat it\n.*?```\n(.*?)```", RESULTS, re.DOTALL)
    commands = block.replace("\\\n", " ").splitlines()
    runs = [run for line in commands if line.startswith("measure -") for run in asked(shlex.split(line)[1:])]
    assert set(chain.from_iterable(PRESETS_OF.values())) == {run.preset.name for run in runs}
    measured = {(run.preset.name, run.words, run.seed) for run in runs}
    assert [one.key for one in read_results() if (one.preset, one.words, one.seed) not in measured] == []


def asked(words: list[str]) -> list[Run]:
    """The trainings that a command of the page asks for."""
    rest = [f"--{part}={__file__}" for part in ("train", "valid", "test")]
    files = ["--soft-targets"]  # not there yet
    known = [word for at, word in enumerate(words) if word not in files and words[at - 1] not in files]
    options = report.make_context("report", [*known, *rest, "--out=out"]).params
    return planned(options["preset_options"], options["seeds"], options["text_encoders"], options["words"])


def test_only_what_stands_between_markers_is_made_anew(make_measured: MakeMeasured) -> None:
    page = filled(MARKED, [make_measured(preset="moon-char")])
    assert page.startswith("before\n<!-- results: moon -->\n| preset ")
    assert page.endswith("\n<!-- /results -->\nafter\n")
    assert "old" not in page
    assert filled(page, []) == MARKED.replace("old", "Not measured yet.")


def test_rows_stand_in_the_papers_order_with_the_largest_vocabulary(make_measured: MakeMeasured) -> None:
    names = ("moon-image", "moon-char", "moon-word", "mpnet")
    measured = [make_measured(preset=name, words=words) for name in names for words in (100, 300)]
    order = ["moon-char, 300 words", "moon-word, 300 words", "moon-image, 300 words"]
    assert rows(table("moon", measured)) == order * 2


def test_vocabularies_stand_side_by_side_where_there_are_several(make_measured: MakeMeasured) -> None:
    measured = [make_measured(preset="moon-attention", words=words) for words in (100, None, 300)]
    measured += [make_measured(preset="moon-word-char"), make_measured(preset="moon-word", words=1)]
    assert rows(table("moon-words", measured)) == [
        "moon-attention",
        "moon-attention, 300 words",
        "moon-attention, 100 words",
    ]


def test_a_marker_that_names_no_table_is_refused() -> None:
    with pytest.raises(ResultsError, match=r"no table sun: expected one of moon, moon-words, "):
        filled(MARKED.replace("moon", "sun"), [])
