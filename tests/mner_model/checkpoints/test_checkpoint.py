import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mner_model.checkpoints.checkpoint import Checkpoint, default_checkpoint, load_checkpoint
from mner_model.checkpoints.config_file import model_choices, training_story
from mner_model.errors import CheckpointError
from mner_model.predictor import Document, Predictor

TEXT = "flying to Oslo on monday"


def edit_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_folder, tmp_path / "copy"))


def test_what_was_saved_tags_as_what_was_trained(small_checkpoint: Checkpoint, small_folder: Path) -> None:
    loaded = load_checkpoint(small_folder)
    assert loaded.fingerprint == small_checkpoint.fingerprint
    assert loaded.vocabulary.forms == small_checkpoint.vocabulary.forms
    found = Predictor.load(small_folder, "cpu").predict([Document(TEXT)])
    assert [(e.type, e.text) for e in found[0].entities] == [("LOC", "Oslo")]


def test_saving_again_replaces_the_folder_and_keeps_the_fingerprint(folder: Path) -> None:
    before = load_checkpoint(folder)
    fingerprint = before.fingerprint
    assert before.save(folder) == fingerprint
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "vocabulary.txt", "weights.safetensors"]
    assert not list(folder.parent.glob(".*"))


def test_a_folder_that_holds_something_else_is_left_alone(folder: Path) -> None:
    checkpoint = load_checkpoint(folder)
    (folder / "thesis.doc").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds thesis\.doc"):
        checkpoint.save(folder)
    assert (folder / "thesis.doc").read_text() == "years of work"
    with pytest.raises(CheckpointError, match="is a file"):
        checkpoint.save(folder / "thesis.doc")


def test_any_changed_byte_changes_the_fingerprint(folder: Path) -> None:
    before = load_checkpoint(folder).fingerprint
    edit_config(folder, lambda config: config.update(name="other"))
    assert load_checkpoint(folder).fingerprint != before


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "vocabulary.txt"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_checkpoint(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_wrong_tag_set_is_refused(folder: Path, try_wrong_values: Callable[..., None]) -> None:
    edit_config(folder, lambda config: config["model"].update(types=["PER", "GPE"]))
    with pytest.raises(CheckpointError, match="tags PER, GPE, expected PER, LOC, ORG, MISC"):
        load_checkpoint(folder)


def test_weights_that_do_not_fit_are_named_with_both_shapes(folder: Path) -> None:
    edit_config(folder, lambda config: config["model"].update(hidden=30))
    with pytest.raises(CheckpointError, match=r"emission\.weight expected \(9, 60\), got \(9, 48\)"):
        load_checkpoint(folder)


def test_a_missing_weight_is_named(folder: Path) -> None:
    tensors = load_file(folder / "weights.safetensors")
    del tensors["crf.end"]
    save_file(tensors, folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"crf\.end expected \(9,\), got nothing"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "is not JSON"),
        ("config.json", b'{"format": 99}', "expected format 1, got 99"),
        ("config.json", b'{"format": 1, "model": []}', "tags nothing, expected PER"),
        ("vocabulary.txt", b"a\n\xff\n", r"vocabulary\.txt is damaged: line 2 is not UTF-8"),
        ("weights.safetensors", b"not safetensors", "is damaged"),
        ("vocabulary.txt", b"twice\ntwice\n", "twice"),
    ],
)
def test_a_damaged_file_is_one_clear_sentence(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_a_file_that_cannot_be_read_is_the_one_that_is_blamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_text = Path.read_text

    def refused(path: Path, *how: Any, **more: Any) -> str:
        if path.name == "vocabulary.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *how, **more)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(CheckpointError, match=r"copy: vocabulary\.txt cannot be read: Permission denied$"):
        load_checkpoint(folder)


@pytest.mark.parametrize(("key", "value"), [("trained_words", -1), ("trained_words", "many"), ("alphabet", 5)])
def test_a_value_that_makes_no_model_is_one_clear_sentence(folder: Path, key: str, value: object) -> None:
    edit_config(folder, lambda config: config.update({key: value}))
    with pytest.raises(CheckpointError, match="does not describe a model"):
        load_checkpoint(folder)


def test_types_that_are_none_are_refused(folder: Path) -> None:
    edit_config(folder, lambda config: config["model"].update(types=5))
    with pytest.raises(CheckpointError, match="tags nothing, expected PER"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("field", "wrong", "expected"),
    [
        ("hidden", "x", "hidden: expected a whole number, got 'x'"),
        ("hidden", 1e9, r"hidden: expected a whole number, got 1000000000\.0"),
        ("dropout", None, "dropout: expected a number, got None"),
        ("batch_norm", 1, "batch_norm: expected true or false, got 1"),
        ("modalities", ["word", []], r"modalities: expected a list of texts, got \['word', \[\]\]"),
        ("fusion", {}, "fusion: expected a text, got {}"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_field(
    folder: Path, field: str, wrong: object, expected: str
) -> None:
    edit_config(folder, lambda config: config["model"].update({field: wrong}))
    for read in (load_checkpoint, model_choices):
        with pytest.raises(CheckpointError, match=rf"config\.json does not describe a model: {expected}$"):
            read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": []}, "training: expected an object"),
        ({"image_encoder": "x"}, "image_encoder: expected an object, got 'x'"),
        ({"image_encoder": {"backbone": []}}, r"image_encoder: backbone: expected a text, got \[\]"),
        ({"name": None}, "name: expected a text, got None"),
    ],
)
def test_a_part_of_another_type_is_named(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_config(folder, lambda config: config.update(changes))
    for read in (load_checkpoint, training_story):
        with pytest.raises(CheckpointError, match=rf"config\.json does not describe a model: {message}"):
            read(folder)


def test_a_missing_part_is_named(folder: Path) -> None:
    edit_config(folder, lambda config: config.pop("alphabet"))
    with pytest.raises(CheckpointError, match=r"config\.json does not describe a model: alphabet is missing$"):
        load_checkpoint(folder)


def test_a_key_of_a_newer_version_is_named(folder: Path) -> None:
    edit_config(folder, lambda config: config["model"].update(sparkle=1))
    with pytest.raises(CheckpointError, match="no sparkle: was it written by a newer version"):
        load_checkpoint(folder)


def test_the_shipped_checkpoint_fits_its_size() -> None:
    size = sum(path.stat().st_size for path in default_checkpoint().iterdir())
    assert size <= 40_000_000


def test_any_wrong_value_in_the_shipped_configuration_loads_or_is_refused(
    tmp_path: Path, try_wrong_values: Callable[..., None]
) -> None:
    for file in default_checkpoint().iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = (tmp_path / "config.json").read_bytes()
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_bytes(config)
    try_wrong_values(tmp_path)


def test_any_wrong_value_in_a_small_configuration_loads_or_is_refused(
    folder: Path, try_wrong_values: Callable[..., None]
) -> None:
    try_wrong_values(folder, tag=True)
