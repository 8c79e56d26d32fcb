"""Training a captioner: from a file of images and captions to a Captioner, chosen on validation only.

`CaptionTrainer` reads in the order things happen: grids, vocabulary, decoder, epochs, choice.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mner_model.captioning.captioner import Captioner
from mner_model.captioning.decoder import END, START, CaptionDecoder, DecoderConfig, caption_vocabulary
from mner_model.config import ConfigError
from mner_model.data.lines import DataError, read_lines
from mner_model.files.training_state import load_state, save_state
from mner_model.imaging.decoding import ImageUndecodable, decode
from mner_model.imaging.encoder import ImageEncoderConfig
from mner_model.imaging.grid import GridEncoder
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import PADDING, Vocabulary, count_forms

_IMAGES_AT_ONCE = 16
_LEAST_RATE = 0.05  # of the learning rate, at the end of its linear fall


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """One line of a captions file: an image's file, one caption of it, and where that was said, as FILE:LINE."""

    image: Path
    caption: str
    place: str


@dataclass(frozen=True, slots=True)
class CaptionTrainingConfig:
    """The recipe: AdamW with a linear fall of the learning rate, the epoch chosen by validation loss.

    words  most frequent ones of the training captions that are learnt; the others are read as unknown, never said
    """

    seed: int = 0
    epochs: int = 30
    batch_captions: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    words: int = 10_000

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_captions", "words"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: expected more than 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class CaptionEpochReport:
    """What one pass gave: mean negative log-likelihood per word, in nats, in training and on validation."""

    epoch: int
    loss: float
    validation_loss: float
    best: bool = False


def read_captioned_images(path: str | Path) -> list[CaptionedImage]:
    """Reads image file TAB caption lines; relative names start from the file's folder. One image may come often.

    Raises DataError with file and line for a line without a caption or of an image that is no file, and for a file
    without any.
    """
    path = Path(path)
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, _, caption = (part.strip() for part in line.partition("\t"))
        if not name or not caption:
            raise DataError(f"{path}:{number}: expected an image file, a TAB and a caption, got {line[:80]!r}")
        image = path.parent / name
        if not image.is_file():
            raise DataError(f"{path}:{number}: no image file at {image}")
        found.append(CaptionedImage(image, caption, f"{path}:{number}"))
    if not found:
        raise DataError(f"{path}: holds no caption, expected lines of an image file, a TAB and a caption")
    return found


class CaptionTrainer:
    """Trains one captioner's decoder; the backbone stays as it is, so each image goes through it once.

    train       captions to learn from
    validation  captions of other images; the weights with the lowest loss on them are kept
    on_image    called with (images encoded, of how many)

    Raises DataError with file and line for an image that cannot be decoded. Keeps every grid in memory, in float16:
    125 KB an image with EfficientNet-Lite0, 200 KB with ResNet-50.
    """

    def __init__(
        self,
        train: Sequence[CaptionedImage],
        validation: Sequence[CaptionedImage],
        encoder_config: ImageEncoderConfig,
        config: CaptionTrainingConfig,
        decoder_config: DecoderConfig | None = None,
        device: torch.device | str = "cpu",
        on_image: Callable[[int, int], None] | None = None,
    ) -> None:
        if not train or not validation:
            raise ValueError("expected captions to learn from and captions to choose by")
        self.config = config
        self.encoder_config = encoder_config
        self.encoder = GridEncoder.load(encoder_config, device=device)
        self._device = torch.device(device)
        self._rows, self._grids, digests = _encode([*train, *validation], self.encoder, on_image)
        self.vocabulary = _vocabulary(train, config.words)
        self._train = [(self._rows[example.image], self._numbers(example)) for example in train]
        self._validation = [(self._rows[example.image], self._numbers(example)) for example in validation]
        torch.manual_seed(config.seed)
        decoder = CaptionDecoder(decoder_config or DecoderConfig(), self.encoder.channels, len(self.vocabulary))
        self.decoder = decoder.to(self._device)
        self._run = {
            "recipe": asdict(config),
            "decoder": asdict(decoder.config),
            "backbone": self.encoder.fingerprint,
            "train": _story(train, digests),
            "validation": _story(validation, digests),
        }

    def run(
        self, on_epoch: Callable[[CaptionEpochReport], None] | None = None, state_file: Path | None = None
    ) -> Captioner:
        """All epochs; the captioner holds the weights of the best one.

        state_file  where the training stands, written after each epoch; when it is there, the training goes on from
                    it, to the very weights that it would have come to without the stop

        Raises TrainingStateError for the state file of another training.
        """
        optimizer = torch.optim.AdamW(
            self.decoder.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        reports: list[CaptionEpochReport] = []
        best = self._weights()
        state = load_state(state_file, self._run) if state_file is not None else None
        if state is not None:
            self.decoder.load_state_dict(state["decoder"])
            optimizer.load_state_dict(state["optimizer"])
            best, reports = state["best"], [CaptionEpochReport(**report) for report in state["reports"]]
        for epoch in range(len(reports) + 1, self.config.epochs + 1):
            report = CaptionEpochReport(epoch, self._epoch(epoch, optimizer), self.validation_loss())
            if all(report.validation_loss < before.validation_loss for before in reports):
                report, best = replace(report, best=True), self._weights()
            reports.append(report)
            if state_file is not None:
                saved = {"decoder": self._weights(), "optimizer": optimizer.state_dict(), "best": best}
                save_state(state_file, self._run, {**saved, "reports": [asdict(report) for report in reports]})
            if on_epoch is not None:
                on_epoch(report)
        self.decoder.load_state_dict(best)
        self.decoder.eval()
        chosen = min(reports, key=lambda report: report.validation_loss)
        story = {**self._run, "chosen": asdict(chosen), "torch": torch.__version__}
        return Captioner(self.encoder, self.encoder_config, self.decoder, self.vocabulary, story)

    def _epoch(self, epoch: int, optimizer: torch.optim.Optimizer) -> float:
        # order and dropout come from seed and epoch alone, so that a training that goes on needs no random state
        torch.manual_seed(self.config.seed * 1_000_003 + epoch)
        self.decoder.train()
        order = torch.randperm(len(self._train)).tolist()
        batches = list(self._batches([self._train[index] for index in order]))
        total, words = 0.0, 0
        for number, (grids, numbers) in enumerate(batches):
            passed = (epoch - 1 + number / len(batches)) / self.config.epochs
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * max(_LEAST_RATE, 1.0 - passed)
            optimizer.zero_grad()
            counted = int(self.decoder.counted(numbers).sum())
            loss = -self.decoder.log_likelihood(grids, numbers).sum() / counted
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), self.config.clip_norm)
            optimizer.step()
            total += float(loss.detach()) * counted
            words += counted
        return total / words

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean negative log-likelihood per word of the validation captions, in nats; unknown words are not counted."""
        self.decoder.eval()
        total, words = 0.0, 0
        for grids, numbers in self._batches(self._validation):
            total -= float(self.decoder.log_likelihood(grids, numbers).sum())
            words += int(self.decoder.counted(numbers).sum())
        return total / words

    def _batches(self, captions: Sequence[tuple[int, list[int]]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Grids float [captions, places, channels] and numbers int64 [captions, words], padded."""
        for start in range(0, len(captions), self.config.batch_captions):
            some = captions[start : start + self.config.batch_captions]
            numbers = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(words) for _, words in some], batch_first=True, padding_value=PADDING
            )
            grids = self._grids[[row for row, _ in some]]
            yield grids.to(self._device).float(), numbers.to(self._device)

    def _numbers(self, example: CaptionedImage) -> list[int]:
        return [START, *self.vocabulary.ids(tokenize(example.caption)), END]

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.decoder.state_dict().items()}


def _encode(
    examples: Sequence[CaptionedImage], encoder: GridEncoder, on_image: Callable[[int, int], None] | None
) -> tuple[dict[Path, int], Tensor, dict[Path, str]]:
    """Row of each image, grids float16 [images, places, channels], and the sha256 of each image's bytes."""
    first = {example.image: example for example in reversed(examples)}
    paths = list(dict.fromkeys(example.image for example in examples))
    grids, digests = [], {}
    for start in range(0, len(paths), _IMAGES_AT_ONCE):
        images = []
        for path in paths[start : start + _IMAGES_AT_ONCE]:
            data = path.read_bytes()
            digests[path] = hashlib.sha256(data).hexdigest()
            try:
                images.append(encoder.preprocess(decode(data)))
            except ImageUndecodable as error:
                raise DataError(f"{first[path].place}: cannot decode {path}: {error.reason.value}") from error
        grids.append(encoder.grid(torch.stack(images)).cpu())
        if on_image is not None:
            on_image(start + len(images), len(paths))
    return {path: row for row, path in enumerate(paths)}, torch.cat(grids), digests


def _vocabulary(train: Sequence[CaptionedImage], words: int) -> Vocabulary:
    counts = count_forms(tokenize(example.caption) for example in train)
    return caption_vocabulary(form for form, _ in counts.most_common(words))


def _story(examples: Sequence[CaptionedImage], digests: dict[Path, str]) -> dict[str, Any]:
    """How much there was, and a fingerprint: two runs with it in common saw the same pictures and captions."""
    lines = "\n".join(f"{digests[example.image]}\t{example.caption}" for example in examples)
    return {
        "captions": len(examples),
        "images": len({example.image for example in examples}),
        "fingerprint": hashlib.sha256(lines.encode()).hexdigest(),
    }
