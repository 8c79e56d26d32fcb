"""The options of a report name each training once, and those that cannot be meant are refused in a sentence."""

import pytest

from mner_model.config import ConfigError
from mner_model.presets import preset
from mner_model.reporting.plan import planned


def folders(*presets: str, seeds: str = "0,1", words: tuple[int, ...] = ()) -> list[str]:
    return [run.folder for run in planned(presets, seeds, words=words)]


def test_a_preset_takes_the_common_seeds_unless_it_has_its_own() -> None:
    assert folders("moon-char", "mpnet:5") == ["moon-char-seed0", "moon-char-seed1", "mpnet-seed5"]


def test_a_training_that_is_asked_for_twice_is_done_once() -> None:
    assert folders("moon-char:0,1", "moon-char:1,2") == ["moon-char-seed0", "moon-char-seed1", "moon-char-seed2"]


def test_a_variant_has_a_folder_of_its_own_and_may_have_seeds() -> None:
    assert folders("moon-char+dropout=0.3:4") == ["moon-char+dropout=0.3-seed4"]


def test_several_vocabularies_have_a_checkpoint_each() -> None:
    assert folders("moon-attention:0", words=(300, 100)) == [
        "moon-attention-300-words-seed0",
        "moon-attention-100-words-seed0",
    ]


def test_one_vocabulary_leaves_the_folders_name_alone() -> None:
    [run] = planned(["moon-attention"], "0", words=[300])
    assert (run.folder, run.words) == ("moon-attention-seed0", 300)


def test_what_reads_no_words_is_trained_once_whatever_the_vocabularies() -> None:
    runs = planned(["moon-char", "minilm"], "0", words=[300, 100])
    assert [(run.folder, run.words) for run in runs] == [("moon-char-seed0", None), ("minilm-seed0", None)]


def test_each_transformer_gets_its_folder() -> None:
    runs = planned(["minilm", "moon-char", "mpnet"], "0", ["mpnet=/models/a=b", "minilm=small"])
    assert [run.preset.model.text_encoder for run in runs] == ["small", "", "/models/a=b"]


@pytest.mark.parametrize("folder", ["models/small", "/models/a=b"])
def test_a_folder_alone_is_for_the_one_preset_that_reads_one(folder: str) -> None:
    runs = planned(["moon-char", "minilm"], "0", [folder])
    assert [run.preset.model.text_encoder for run in runs] == ["", folder]


@pytest.mark.parametrize(
    ("preset", "text_encoder", "message"),
    [
        ("moon", "", r"^no preset moon: expected one of word-char-image, "),
        ("minilm:", "", r"^--preset minilm: expected whole numbers with commas between, got ''$"),
        ("minilm:a", "", r"^--preset minilm: expected whole numbers with commas between, got 'a'$"),
        ("minilm", "mini=folder", r"^no preset mini: expected one of word-char-image, "),
        ("minilm", "mpnet=folder", r"^--text-encoder mpnet=folder: expected one of minilm, got mpnet$"),
        (
            "minilm",
            "minilm+dropout=0.3=folder",
            r"^--text-encoder minilm\+dropout=0\.3=folder: expected PRESET=FOLDER ",
        ),
        ("minilm", "=folder", r"^--text-encoder: expected PRESET=FOLDER, got '=folder'$"),
        ("minilm", "minilm=", r"^--text-encoder: expected PRESET=FOLDER, got 'minilm='$"),
        ("moon-char", "folder", r"^--text-encoder folder: expected PRESET=FOLDER with a preset of this report that "),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(preset: str, text_encoder: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned([preset], "0", [text_encoder] if text_encoder else [])


def test_a_folder_alone_is_refused_where_two_presets_could_be_meant() -> None:
    with pytest.raises(ConfigError, match=r"^--text-encoder folder: expected PRESET=FOLDER with one of minilm, mpnet$"):
        planned(["minilm", "mpnet"], "0", ["folder"])


def test_a_second_folder_for_a_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--text-encoder minilm=b: minilm has one already, a$"):
        planned(["minilm"], "0", ["a", "minilm=b"])


def transformers(presets: list[str], *options: str) -> dict[str, str]:
    return {run.preset.name: run.preset.model.text_encoder for run in planned(presets, "0", options)}


@pytest.mark.parametrize("option", ["/models/small", "minilm=/models/small", "minilm-multimodal=/models/small"])
def test_a_folder_is_for_all_that_read_the_same_transformer(option: str) -> None:
    names = ["minilm+dropout=0.3", "minilm-multimodal", "minilm-caption+char_hidden=7"]
    assert transformers(names, option) == dict.fromkeys(names, "/models/small")


def test_a_folder_of_ones_own_goes_first() -> None:
    names = ["minilm", "minilm+dropout=0.3", "minilm-caption", "mpnet+dropout=0.3"]
    options = ["minilm+dropout=0.3=/data/a=b", "minilm=/data/m", "minilm-caption=/data/c", "mpnet=/data/large"]
    assert list(transformers(names, *options).values()) == ["/data/m", "/data/a=b", "/data/c", "/data/large"]


def test_a_folder_of_a_variant_is_for_no_other() -> None:
    options = transformers(["minilm", "minilm+dropout=0.3"], "minilm+dropout=0.3=/tmp/a")
    assert options == {"minilm": preset("minilm").model.text_encoder, "minilm+dropout=0.3": "/tmp/a"}


def test_of_two_folders_that_could_be_meant_none_is_guessed() -> None:
    with pytest.raises(
        ConfigError, match=r"^--text-encoder: expected minilm-multimodal=FOLDER too, as a and b differ$"
    ):
        planned(["minilm", "minilm-caption", "minilm-multimodal"], "0", ["minilm=a", "minilm-caption=b"])
