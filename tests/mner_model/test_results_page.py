"""docs/results.md says what results.json says, and README.md the same of the one that ships."""

import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from mner_model.presets import PRESETS, preset
from mner_model.results import Measured, ResultsError, read_results
from mner_model.results_page import PRESETS_OF, filled, table

MakeMeasured = Callable[..., Measured]

ROOT = Path(__file__).parents[2]
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


def test_the_page_and_the_readme_say_the_same_of_the_one_that_ships() -> None:
    headline = re.findall(r"\| \*\*(\d\d\.\d\d)\*\* \|", (ROOT / "README.md").read_text(encoding="utf-8"))
    shipped = PAGE.read_text(encoding="utf-8").partition("## The one that ships\n")[2].partition("\n## ")[0]
    assert headline
    assert [figure for figure in headline if f"**{figure}**" not in shipped] == []


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
