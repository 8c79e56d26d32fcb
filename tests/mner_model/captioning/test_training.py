"""The trainer learns real photos by heart, is exact about going on after a stop, and names what it cannot read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mner_model.captioning.captioner import Captioner
from mner_model.captioning.decoder import DecoderConfig
from mner_model.captioning.training import (
    CaptionedImage,
    CaptionEpochReport,
    CaptionTrainer,
    CaptionTrainingConfig,
    read_captioned_images,
)
from mner_model.config import ConfigError
from mner_model.data.lines import DataError
from mner_model.files.training_state import TrainingStateError
from mner_model.imaging.decoding import decode
from mner_model.imaging.encoder import ImageEncoderConfig

PHOTOS = Path(__file__).parents[4] / "shared" / "data" / "photos"
SMALL = DecoderConfig(word_dimension=32, hidden=64, dropout=0.1)
TEMPLATES = ("a photo of a {}", "there is a {} in the picture", "this is a {}.")


def draw(path: Path, index: int) -> None:
    rows, columns = np.mgrid[:150, :150]
    waves = [np.sin(rows / (2 + index)) + np.cos(columns / (3 + shift * index)) for shift in range(3)]
    pixels = (np.stack(waves, axis=2) * 60 + 128).astype(np.uint8)
    Image.fromarray(np.roll(pixels, index, axis=2)).save(path)


@pytest.fixture(scope="module")
def captions_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen photos where the labelled ones are beside the checkout, else as many drawn pictures."""
    folder = tmp_path_factory.mktemp("captions")
    photos = {
        path.stem.split("_", 1)[1].replace("_", " ").lower(): path for path in sorted(PHOTOS.glob("n*.jpg"))[::14]
    }
    if not photos:
        for index, name in enumerate("ash birch cedar dogwood elm fir ginkgo hazel ivy juniper".split()):
            photos[name] = folder / f"{name}.png"
            draw(photos[name], index)
    lines = [f"{path}\t{TEMPLATES[row % 3].format(name)}" for row, (name, path) in enumerate(photos.items())]
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n")
    return folder / "captions.tsv"


@pytest.fixture(scope="module")
def examples(captions_file: Path) -> list[CaptionedImage]:
    return read_captioned_images(captions_file)


def new_trainer(examples: list[CaptionedImage], epochs: int, **changes: object) -> CaptionTrainer:
    config = CaptionTrainingConfig(epochs=epochs, batch_captions=4, learning_rate=5e-3, **changes)  # type: ignore[arg-type]
    return CaptionTrainer(examples, examples, ImageEncoderConfig(), config, SMALL)


@pytest.fixture(scope="module")
def learnt(examples: list[CaptionedImage]) -> tuple[Captioner, list[CaptionEpochReport]]:
    reports: list[CaptionEpochReport] = []
    return new_trainer(examples, epochs=40).run(reports.append), reports


def test_a_dozen_pictures_are_learnt_by_heart(
    learnt: tuple[Captioner, list[CaptionEpochReport]], examples: list[CaptionedImage]
) -> None:
    images = [decode(example.image.read_bytes()) for example in examples]
    assert len(images) >= 10
    for beam in (1, 3):
        assert learnt[0].caption(images, beam=beam) == [example.caption for example in examples]


def test_the_loss_falls(learnt: tuple[Captioner, list[CaptionEpochReport]]) -> None:
    losses = [report.loss for report in learnt[1]]
    assert losses[-1] < losses[len(losses) // 2] < losses[0]
    assert losses[-1] < 0.1 * losses[0]


def test_the_epoch_with_the_lowest_validation_loss_is_kept(
    learnt: tuple[Captioner, list[CaptionEpochReport]], examples: list[CaptionedImage]
) -> None:
    captioner, reports = learnt
    best = min(reports, key=lambda report: report.validation_loss)
    assert best == [report for report in reports if report.best][-1]
    assert captioner.training["chosen"]["epoch"] == best.epoch
    trainer = new_trainer(examples, epochs=1)
    trainer.decoder.load_state_dict(captioner.decoder.state_dict())
    assert trainer.validation_loss() == pytest.approx(best.validation_loss, rel=1e-4)


def test_a_training_that_was_stopped_comes_to_the_very_weights(examples: list[CaptionedImage], tmp_path: Path) -> None:
    class Killed(Exception):
        """Stands for SIGKILL: nothing is saved after it."""

    def kill_in_the_third(report: CaptionEpochReport) -> None:
        if report.epoch == 3:
            raise Killed

    state_file = tmp_path / "out.training"
    straight = new_trainer(examples[:5], epochs=5).run()
    with pytest.raises(Killed):
        new_trainer(examples[:5], epochs=5).run(kill_in_the_third, state_file)
    seen: list[CaptionEpochReport] = []
    resumed = new_trainer(examples[:5], epochs=5).run(seen.append, state_file)
    assert [report.epoch for report in seen] == [4, 5]
    assert resumed.training == straight.training
    for name, value in straight.decoder.state_dict().items():
        assert torch.equal(resumed.decoder.state_dict()[name], value), name


def test_the_state_of_another_training_is_refused(examples: list[CaptionedImage], tmp_path: Path) -> None:
    new_trainer(examples[:2], epochs=1).run(state_file=tmp_path / "state")
    with pytest.raises(TrainingStateError, match="differs in recipe"):
        new_trainer(examples[:2], epochs=1, seed=1).run(state_file=tmp_path / "state")
    with pytest.raises(TrainingStateError, match="differs in train, validation"):
        new_trainer(examples[:3], epochs=1).run(state_file=tmp_path / "state")


def test_an_image_with_several_captions_is_encoded_once(examples: list[CaptionedImage]) -> None:
    one = examples[0]
    encoded: list[tuple[int, int]] = []
    captions = [one, CaptionedImage(one.image, "something else", one.place)]
    CaptionTrainer(
        captions,
        [one],
        ImageEncoderConfig(),
        CaptionTrainingConfig(),
        SMALL,
        on_image=lambda *seen: encoded.append(seen),
    )
    assert encoded == [(1, 1)]


def test_only_the_most_frequent_words_are_learnt(examples: list[CaptionedImage]) -> None:
    vocabulary = new_trainer(examples, epochs=1, words=3).vocabulary
    assert vocabulary.forms[-3:] == ("a", "is", "photo")
    assert len(vocabulary) == 10


def broken(folder: Path, lines: str) -> str:
    """What is said of a captions file of these lines, beside one good and one broken image."""
    draw(folder / "good.png", 1)
    (folder / "torn.jpg").write_bytes((folder / "good.png").read_bytes()[:300])
    (folder / "set.tsv").write_bytes(lines.encode("utf-8", "surrogateescape"))

    def train() -> None:
        found = read_captioned_images(folder / "set.tsv")
        CaptionTrainer(found, found, ImageEncoderConfig(), CaptionTrainingConfig(), SMALL)

    with pytest.raises(DataError) as refused:
        train()
    return str(refused.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("good.png\ta tree\n\ngood.png a tree\n", "set.tsv:3: expected an image file, a TAB and a caption, got 'good"),
        ("good.png\t \n", "set.tsv:1: expected an image file, a TAB and a caption"),
        ("good.png\ta tree\nnone.png\ta tree\n", "set.tsv:2: no image file at "),
        ("good.png\ta tree\ntorn.jpg\ta tree\n", "set.tsv:2: cannot decode "),
        ("\n", "set.tsv: holds no caption"),
        ("\udcff\n", "set.tsv:1: byte 0xff is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(lines: str, said: str, tmp_path: Path) -> None:
    assert said in broken(tmp_path, lines)


def test_names_start_from_the_folder_of_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    draw(tmp_path / "set" / "tree.png", 1)
    (tmp_path / "set" / "captions.tsv").write_text("tree.png\ta tree\n")
    monkeypatch.chdir(tmp_path)
    found = read_captioned_images("set/captions.tsv")
    assert found == [CaptionedImage(Path("set/tree.png"), "a tree", "set/captions.tsv:1")]


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"batch_captions": 0}, {"words": 0}, {"learning_rate": 0.0}])
def test_a_recipe_out_of_range_is_named(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        CaptionTrainingConfig(**changes)  # type: ignore[arg-type]
