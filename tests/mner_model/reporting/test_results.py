"""Results are kept one of a kind in a file that a diff can be read by, and come back as they were."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mner_model.config import TrainingConfig
from mner_model.presets import preset
from mner_model.reporting.page import scores_table
from mner_model.reporting.results import (
    Measured,
    ResultsError,
    differences,
    largest_vocabulary,
    merge_results,
    read_results,
    results_json,
    summary,
    training_in_short,
)

MakeMeasured = Callable[..., Measured]


def test_what_was_written_is_read_again(tmp_path: Path, make_measured: MakeMeasured) -> None:
    file = tmp_path / "new" / "results.json"
    measured = [make_measured(0.123456789012, 12.345, words=words, with_images=True) for words in (None, 100)]
    merge_results(file, measured)
    read = read_results(file)
    assert [replace(one, result={}) for one in read] == [replace(one, result={}) for one in measured]
    assert read[0].result["lenient"]["precision"] == 0.123456789
    assert read[0].result["posts_per_second"] == 12.3
    assert read[0].result["model"] == measured[0].result["model"]


@pytest.mark.parametrize("f1", [0.8372450942670258, 0.7436467291525751, 2 * 20_001 / 40_003])
def test_what_was_written_shows_as_what_was_measured(f1: float, tmp_path: Path, make_measured: MakeMeasured) -> None:
    measured = [make_measured(f1)]
    merge_results(tmp_path / "results.json", measured)
    assert scores_table(read_results(tmp_path / "results.json")) == scores_table(measured)


@pytest.mark.parametrize("field", ["preset", "words", "seed", "data", "with_images"])
def test_a_later_measurement_replaces_the_earlier_one_of_the_same_only(
    field: str, tmp_path: Path, make_measured: MakeMeasured
) -> None:
    file = tmp_path / "results.json"
    other = {"preset": "other", "words": 7, "seed": 1, "data": "b/test", "with_images": True}[field]
    merge_results(file, [make_measured(0.5), make_measured(0.5, **{field: other})])
    merge_results(file, [make_measured(0.6)])
    found = {getattr(one, field): one.result["lenient"]["f1"] for one in read_results(file)}
    assert found == {getattr(make_measured(), field): 0.6, other: 0.5}


TRAINED: dict[str, dict[str, Any]] = {
    "recipe": {"epochs": 30},
    "data": {"train": {"fingerprint": "a"}, "validation": {"b/valid": {}}},
}


def of_checkpoint(one: Measured, name: str, **changes: object) -> Measured:
    about = {**one.result["data"], **changes}
    return replace(one, result={**one.result, "model": {**one.result["model"], "fingerprint": name}, "data": about})


@pytest.mark.parametrize(
    ("training", "different"),
    [
        ({**TRAINED, "recipe": {"epochs": 2}}, "recipe"),
        ({**TRAINED, "data": {**TRAINED["data"], "train": {"fingerprint": "b"}}}, "train"),
        ({**TRAINED, "data": {**TRAINED["data"], "vectors": {"fingerprint": "c"}}}, "vectors"),
        ({"recipe": {}, "data": {"train": TRAINED["data"]["train"]}}, "recipe, validation"),
        (None, "what is told of it"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_figures_of_another_training_are_not_replaced(
    training: dict[str, object] | None, different: str, turned: bool, tmp_path: Path, make_measured: MakeMeasured
) -> None:
    file = tmp_path / "results.json"
    told = [of_checkpoint(make_measured(training=one), str(one)) for one in (TRAINED, training)]
    before, now = told[::-1] if turned else told
    merge_results(file, [before])
    text = file.read_text(encoding="utf-8")
    with pytest.raises(ResultsError, match=rf"word, seed 0, on a/test already, and it differs in {different}; remove"):
        merge_results(file, [make_measured(seed=1), now])
    assert file.read_text(encoding="utf-8") == text


def test_figures_on_other_data_of_the_name_are_not_replaced(tmp_path: Path, make_measured: MakeMeasured) -> None:
    file = tmp_path / "results.json"
    merge_results(file, [make_measured()])
    for changes in ({"fingerprint": "e"}, {"captions_fingerprint": "e"}):
        with pytest.raises(ResultsError, match=r"it differs in the data scored on; remove that entry"):
            merge_results(file, [of_checkpoint(make_measured(), "f" * 64, **changes)])


def test_figures_of_the_same_checkpoint_are_replaced_whatever_was_told_of_it(
    tmp_path: Path, make_measured: MakeMeasured
) -> None:
    file = tmp_path / "results.json"
    merge_results(file, [make_measured()])
    merge_results(file, [make_measured(training=TRAINED)])
    assert [one.training for one in read_results(file)] == [TRAINED]


def test_a_training_in_short_is_its_choices_and_all_it_tells_of_data(
    make_measured: MakeMeasured, tmp_path: Path
) -> None:
    recipe = TrainingConfig(seed=3, l1=1.23456789e-7, epochs=9)
    data = {"train": {"fingerprint": "a"}, "vectors": {"fingerprint": "b"}}
    story = {"config": recipe.to_json(), "data": data, "passes": []}
    training = training_in_short(story)
    assert training == {"recipe": {"epochs": 9, "l1": 1.23456789e-7}, "data": data}
    assert training_in_short({}) is None
    merge_results(tmp_path / "results.json", [make_measured(training=training)])
    assert [one.training for one in read_results(tmp_path / "results.json")] == [training]


def test_a_recipe_of_before_is_the_same_as_long_as_nobody_chose_what_is_new() -> None:
    told = TrainingConfig(epochs=9).to_json()
    before = {name: value for name, value in told.items() if name != "r_drop"}
    assert training_in_short({"config": before}) == training_in_short({"config": told})


def test_parts_of_the_data_are_compared_that_are_asked_for() -> None:
    other = {**TRAINED, "data": {"train": {"fingerprint": "z"}, "vectors": {"fingerprint": "c"}}}
    assert differences(TRAINED, other) == ["train", "validation", "vectors"]
    assert differences(TRAINED, other, ["train"]) == ["train"]
    assert differences(TRAINED, {**other, "recipe": {}}, []) == ["recipe"]


def test_the_order_they_came_in_leaves_no_trace(make_measured: MakeMeasured) -> None:
    measured = [make_measured(preset=name, words=words) for name in ("a", "b") for words in (None, 300, 100)]
    assert results_json(measured) == results_json(measured[::-1])
    assert [(one["preset"], one["words"]) for one in json.loads(results_json(measured))] == [
        (one.preset, one.words) for one in measured
    ]


def test_a_change_of_one_score_is_a_change_of_one_line(make_measured: MakeMeasured) -> None:
    one = make_measured()
    other = replace(one, result={**one.result, "strict": {"precision": 0.0, "recall": 0.0, "f1": 0.0}})
    before, after = (results_json([which]).splitlines() for which in (one, other))
    assert sum(line != changed for line, changed in zip(before, after, strict=True)) == 1


def test_nothing_is_an_empty_list() -> None:
    assert results_json([]) == "[]\n"


@pytest.mark.parametrize("text", ["", "{", "5", '{"a": 1}', '[{"preset": "a"}]'])
def test_a_file_that_holds_something_else_is_named_and_left_alone(
    text: str, tmp_path: Path, make_measured: MakeMeasured
) -> None:
    file = tmp_path / "results.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=r"results\.json: expected results as `mner-model report --results` writes"):
        merge_results(file, [make_measured()])
    assert file.read_text(encoding="utf-8") == text


def test_a_summary_is_of_text_alone_and_the_largest_vocabulary(make_measured: MakeMeasured) -> None:
    measured = [
        make_measured(0.70, 100, seed=0),
        make_measured(0.72, 300, seed=1),
        make_measured(0.9, with_images=True),
        make_measured(0.1, words=100),
        make_measured(0.9, preset="other"),
        make_measured(0.8, 200, data="b/test"),
    ]
    found = summary("word", measured)
    assert found is not None
    assert found.lenient_f1 == {"a/test": pytest.approx(0.71), "b/test": 0.8}
    assert found.seeds == {"a/test": 2, "b/test": 1}
    assert (found.parameters, found.size_bytes, found.posts_per_second) == (1234, 2_000_000, 200)


def test_what_was_not_measured_has_no_summary(make_measured: MakeMeasured) -> None:
    assert summary("word", [make_measured(with_images=True), make_measured(preset="other")]) is None


def test_all_words_are_more_than_any_number(make_measured: MakeMeasured) -> None:
    measured = [make_measured(words=words, preset=name) for name, words in (("a", 9), ("a", None), ("b", 5), ("b", 7))]
    assert [(one.preset, one.words) for one in largest_vocabulary(measured)] == [("a", None), ("b", 7)]


def test_our_own_results_are_of_presets_or_variants_that_there_are_and_in_order() -> None:
    measured = read_results()
    assert all(preset(one.preset).name == one.preset for one in measured)
    assert measured == sorted(measured, key=lambda one: one.key)
