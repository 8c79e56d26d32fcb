"""Images to captions: a frozen backbone's grid, a recurrent decoder that attends to it, and beam search.

On disk a captioner is config.json, weights.safetensors (the decoder's) and vocabulary.txt in one folder. The backbone's
weights stay where they are; a captioner refuses others than those it was trained with.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mner_model.captioning.beam_search import State, beam_search
from mner_model.captioning.decoder import END, START, CaptionDecoder, DecoderConfig, caption_vocabulary
from mner_model.config import check_type
from mner_model.errors import CheckpointError, brief
from mner_model.files.saved_folder import check_folder, contents_fingerprint, saved_folder
from mner_model.imaging.encoder import ImageEncoderConfig
from mner_model.imaging.grid import GridEncoder
from mner_model.imaging.weights import ImageEncoderError
from mner_model.text.vocabulary import Vocabulary

FORMAT = "captioner-1"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"
VOCABULARY_FILE = "vocabulary.txt"
_FILES = (CONFIG_FILE, WEIGHTS_FILE, VOCABULARY_FILE)  # in the fingerprint's order
DEFAULT_BEAM = 3  # what Vinyals et al. 2016 came down to, from 20
DEFAULT_MAX_WORDS = 20

_IMAGES_AT_ONCE = 32  # it bounds memory: about 50 MB with a beam of 5, the backbone's own aside


@dataclass
class Captioner:
    """Says what is seen, as the captions it was trained on do; made by `CaptionTrainer.run` or `load`.

    encoder_config  which backbone, and where its weights lay
    training        how it was trained and on what, for people
    fingerprint     sha256 of the folder's files; empty until it is saved
    """

    encoder: GridEncoder
    encoder_config: ImageEncoderConfig
    decoder: CaptionDecoder
    vocabulary: Vocabulary
    training: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu", *, weights: str | Path | None = None) -> Self:
        """Reads a captioner's folder, ready to caption.

        weights  the backbone's state-dict file where it lies now; None: where it lay in training

        Raises CheckpointError for a missing or damaged file, for a folder of something else and for other weights than
        the backbone was trained with; ImageEncoderError where those cannot be had.
        """
        folder = Path(folder)
        for name in (CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE):
            if not (folder / name).is_file():
                raise CheckpointError(
                    f"captioner {folder}: {name} is missing, expected the folder that `train-captioner` wrote"
                )
        config = _read_config(folder)
        try:
            forms = (folder / VOCABULARY_FILE).read_text(encoding="utf-8").rstrip("\n").split("\n")
            vocabulary = caption_vocabulary(forms)
            image_encoder = config["image_encoder"]
            encoder_config = ImageEncoderConfig(image_encoder["backbone"], image_encoder["weights"])
            trained_with = image_encoder["fingerprint"]
            for name in ("backbone", "fingerprint"):
                check_type(f"image_encoder: {name}", image_encoder[name], str)
            if encoder_config.weights is not None:
                check_type("image_encoder: weights", encoder_config.weights, str)
            decoder = CaptionDecoder(DecoderConfig(**config["decoder"]), config["channels"], len(vocabulary))
            decoder.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise CheckpointError(
                f"captioner {folder}: {CONFIG_FILE} does not describe a captioner: {brief(error)}"
            ) from error
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"captioner {folder}: {WEIGHTS_FILE} is damaged: {error}") from error
        if weights is not None:
            encoder_config = replace(encoder_config, weights=str(weights))
        try:
            encoder = GridEncoder.load(encoder_config, device=device)
        except ImageEncoderError as error:
            moved = weights is None and encoder_config.weights is not None
            hint = "; where they have moved, `caption --weights FILE` names them" if moved else ""
            raise ImageEncoderError(f"captioner {folder}: {error}{hint}") from error
        if encoder.fingerprint != trained_with:
            raise CheckpointError(
                f"captioner {folder}: trained on {encoder.name} with the fingerprint {trained_with[:12]}, "
                f"{encoder_config.weights or 'the published weights'} have {encoder.fingerprint[:12]}"
            )
        decoder = decoder.to(device).eval()
        fingerprint = contents_fingerprint(folder, _FILES)
        return cls(encoder, encoder_config, decoder, vocabulary, config.get("training", {}), fingerprint)

    def save(self, folder: str | Path) -> str:
        """Writes the folder beside its place, then puts it there, and returns the fingerprint.

        An older captioner at this place is replaced, and stays whole until the new one is. Raises CheckpointError as
        `check_captioner_destination` does.
        """
        check_captioner_destination(Path(folder))
        with saved_folder(Path(folder), _FILES, "captioner") as draft:
            tensors = {name: value.detach().cpu().contiguous() for name, value in self.decoder.state_dict().items()}
            save_file(tensors, draft / WEIGHTS_FILE)
            words = "\n".join(self.vocabulary.forms[END + 1 :])
            (draft / VOCABULARY_FILE).write_text(words + "\n", encoding="utf-8", newline="\n")
            config = json.dumps(self._config(), indent=2, ensure_ascii=False) + "\n"
            (draft / CONFIG_FILE).write_text(config, encoding="utf-8", newline="\n")
            self.fingerprint = contents_fingerprint(draft, _FILES)
        return self.fingerprint

    def _config(self) -> dict[str, Any]:
        weights = self.encoder_config.weights
        return {
            "format": FORMAT,
            "image_encoder": {
                "backbone": self.encoder_config.backbone,
                "weights": None if weights is None else str(Path(weights).resolve()),
                "fingerprint": self.encoder.fingerprint,
            },
            "channels": self.decoder.channels,
            "decoder": asdict(self.decoder.config),
            "training": dict(self.training),
        }

    def caption(
        self, images: Sequence[Tensor], beam: int = DEFAULT_BEAM, max_words: int = DEFAULT_MAX_WORDS
    ) -> list[str]:
        """The best caption of each image, lower-case, in their order.

        images     uint8 [3, height, width] each, any sizes
        beam       sequences kept in mind, ≥ 1; more find likelier captions and take longer
        max_words  of a caption, punctuation counted, ≥ 1

        An image's caption is the same alone as among others, but for float rounding where two are equally good.
        Raises ValueError for another shape or type, and for a beam or a length below 1.
        """
        if not images:
            return []
        batch = torch.stack([self.encoder.preprocess(image) for image in images])
        return [self.text(words) for words in self.words(batch, beam, max_words)]

    def words(
        self, batch: Tensor, beam: int = DEFAULT_BEAM, max_words: int = DEFAULT_MAX_WORDS
    ) -> list[tuple[int, ...]]:
        """The words of each image's `caption`, as their numbers in the vocabulary.

        batch  uint8 [images, 3, size, size], as the encoder's `preprocess` makes each
        """
        said: list[tuple[int, ...]] = []
        for some in torch.split(batch, _IMAGES_AT_ONCE):
            said += self._decode(self.encoder.grid(some), beam, max_words)
        return said

    def text(self, words: Sequence[int]) -> str:
        """The caption that these words are, as people write it."""
        return caption_text([self.vocabulary.forms[word] for word in words])

    @torch.inference_mode()
    def _decode(self, grids: Tensor, beam: int, max_words: int) -> list[tuple[int, ...]]:
        """grids: float [images, places, channels] of `encoder.grid`."""
        places, keys, state = self.decoder.look(grids.float())
        places, keys = places.repeat_interleave(beam, dim=0), keys.repeat_interleave(beam, dim=0)

        def step(words: Tensor, state: State) -> tuple[Tensor, State]:
            return self.decoder.next_word(words, places, keys, state)

        found = beam_search(step, state, start=START, end=END, beam=beam, max_words=max_words)
        return [hypothesis.words for hypothesis in found]


def caption_text(forms: Sequence[str]) -> str:
    """Vocabulary forms as people write them: no space around - ' and ’, none before , . ; : ! and ?"""
    text = " ".join(forms)
    text = re.sub(r" ?([-'’]) ?", r"\1", text)
    return re.sub(r" ([,.;:!?])", r"\1", text)


def check_captioner_destination(folder: Path) -> None:
    """Raises CheckpointError unless a captioner may be written here: to nothing, an empty folder, or an older one."""
    check_folder(folder, _FILES, "captioner")
    if (folder / CONFIG_FILE).exists():
        _read_config(folder)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"captioner {folder}: {CONFIG_FILE} is not JSON: {error}") from error
    found = config.get("format") if isinstance(config, dict) else type(config).__name__
    if not isinstance(config, dict) or found != FORMAT:
        raise CheckpointError(
            f"captioner {folder}: expected format {FORMAT}, got {found!r}: is it a tagger's checkpoint?"
        )
    return config
