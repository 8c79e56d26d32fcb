"""A pretrained Transformer as one modality of the tagger: one vector a token, in the context of the whole post.

The `transformers` library is an optional part of the package; without it everything else works.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Self, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from mner_model.errors import Failure, brief, reason
from mner_model.text.pieces import PieceBatch, PieceTokenizer, collate_pieces
from mner_model.text.tokenizer import tokenize

LONGEST_WINDOW = 512
_HUB_ANSWERS_WITHIN_S = 10.0


class TextEncoderError(Failure, ValueError):
    """A text encoder that cannot be had; the message names it and what would help."""


class ExtraMissing(TextEncoderError):
    """The transformers library is not installed; the message names the extra that brings it."""


class TextEncoder(nn.Module):
    """The last layer of a Transformer at each token's first piece."""

    def __init__(self, transformer: Any) -> None:
        """transformer: a model of the transformers library."""
        super().__init__()
        # the pooler reads one piece for a whole text and would only be trained for nothing
        if hasattr(transformer, "pooler"):
            transformer.pooler = None
        self.transformer = transformer
        self._has_segments = getattr(transformer.config, "type_vocab_size", 0) > 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Random weights, to be filled from a checkpoint; config as the transformers library writes it.

        Raises TextEncoderError in one sentence when it cannot be built.
        """
        library = _library()
        try:
            return cls(library.AutoModel.from_config(library.AutoConfig.for_model(**config)))
        except Exception as error:  # the library looks at few values before it uses them
            raise TextEncoderError(
                f"does not describe a Transformer that transformers can build: {brief(error)}"
            ) from error

    @classmethod
    def pretrained(cls, name: str) -> tuple[Self, PieceTokenizer]:
        """Reads a Transformer and its tokenizer from a local folder, or from the hub under this name.

        Where the hub does not answer at once, only what was fetched from it before is read.

        Raises TextEncoderError in one sentence when it cannot be had.
        """
        library = _library()
        silence = None if Path(name).exists() else _hub_silence()
        try:
            with _bars_on_terminals_only(library):
                here_only = silence is not None
                transformer = library.AutoModel.from_pretrained(name, dtype=torch.float32, local_files_only=here_only)
                tokenizer = library.AutoTokenizer.from_pretrained(name, local_files_only=here_only)
        # huggingface_hub raises a RuntimeError of its HTTP client where the hub goes away meanwhile
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            why = silence or reason(error)
            if Path(name).exists():
                raise TextEncoderError(f"text encoder {name}: cannot be read from the folder: {why}") from error
            raise TextEncoderError(
                f"text encoder {name}: is no folder, and cannot be read from the hub: {why}; "
                "where no hub can be reached, name the folder of one that was fetched: "
                "`train --model text_encoder=FOLDER`, `report --text-encoder PRESET=FOLDER`"
            ) from error
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise TextEncoderError(
                f"text encoder {name}: expected a tokenizer that is one file, tokenizer.json, "
                f"got a {type(tokenizer).__name__}, which no checkpoint can keep"
            )
        vocabulary, pieces = transformer.config.vocab_size, tokenizer.backend_tokenizer.get_vocab_size()
        if not vocabulary / 2 < pieces <= vocabulary:  # without its file the library makes one of five pieces
            raise TextEncoderError(
                f"text encoder {name}: expected a tokenizer of the Transformer's {vocabulary:,} pieces, got one of "
                f"{pieces:,}: is tokenizer.json missing, or another's?"
            )
        # it would be written into checkpoints, and where a folder lies is nobody's business
        transformer.config.name_or_path = Path(name).name
        encoder = cls(transformer)
        longest = min(tokenizer.model_max_length, encoder.longest_window)
        return encoder, PieceTokenizer(_for_single_words(tokenizer.backend_tokenizer.to_str()), longest)

    @property
    def config(self) -> dict[str, Any]:
        """As `from_config` takes it."""
        return cast("dict[str, Any]", self.transformer.config.to_dict())

    @property
    def dimension(self) -> int:
        """Of a token's vector."""
        return int(self.transformer.config.hidden_size)

    @property
    def longest_window(self) -> int:
        """Most pieces that it reads at once."""
        return min(_positions(self.transformer), LONGEST_WINDOW)

    def freeze_pieces(self) -> None:
        """Training leaves the table of pieces as it is."""
        self.transformer.get_input_embeddings().requires_grad_(False)

    @torch.inference_mode()
    def try_out(self, tokenizer: PieceTokenizer) -> None:
        """Reads a word; raises TextEncoderError for a Transformer that can be built and filled, and yet not read."""
        try:
            self(collate_pieces([tokenizer.pieces(tokenize("Oslo"))], 1))
        except Exception as error:  # whatever the library makes of a value that it has not looked at before
            raise TextEncoderError(f"describes a Transformer that cannot read: {brief(error)}") from error

    def forward(self, pieces: PieceBatch) -> Tensor:
        """Padded windows → float [batch, tokens, dimension]."""
        segments = {"token_type_ids": pieces.segment_ids} if self._has_segments else {}
        hidden = self.transformer(
            input_ids=pieces.piece_ids, attention_mask=pieces.piece_mask.long(), **segments
        ).last_hidden_state
        return cast(Tensor, hidden.flatten(0, 1)[pieces.token_index])


def _positions(transformer: Any) -> int:
    """How many pieces it has positions for, which not every tokenizer tells; without a table of them, any number."""
    table = getattr(getattr(transformer, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, nn.Embedding):
        return LONGEST_WINDOW
    # RoBERTa and its like count from behind the number of the padding
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def _for_single_words(tokenizer_json: str) -> str:
    """To tokenizers of RoBERTa's kind a word without a space before it is a word's end, and ours come one by one."""
    described = json.loads(tokenizer_json)
    pre_tokenizer = described["pre_tokenizer"] or {}
    if pre_tokenizer.get("type") != "ByteLevel" or pre_tokenizer["add_prefix_space"]:
        return tokenizer_json
    pre_tokenizer["add_prefix_space"] = True
    return json.dumps(described, ensure_ascii=False)


def check_extra() -> None:
    """Raises ExtraMissing where the transformers library is not installed."""
    _library()


def _hub_silence() -> str | None:
    """Why the hub does not answer, None where it does, whatever it says.

    Asked once: the library would try again and again for each file, and at last tell of its HTTP client instead.
    """
    from httpx import HTTPError, InvalidURL  # both come with transformers
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_ANSWERS_WITHIN_S)
    except (HTTPError, InvalidURL, OSError) as error:
        return f"{constants.ENDPOINT} does not answer: {reason(error)}"
    return None


@contextmanager
def _bars_on_terminals_only(library: ModuleType) -> Iterator[None]:
    """The library draws its progress into logs too, a line after another."""
    logging = library.utils.logging
    quiet = not sys.stderr.isatty() and logging.is_progress_bar_enabled()
    if quiet:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if quiet:
            logging.enable_progress_bar()


def _library() -> ModuleType:
    try:
        import transformers
    except ImportError:
        raise ExtraMissing(
            "a pretrained text encoder needs the transformers library: pip install 'mner-stream[transformer]'"
        ) from None
    return transformers
