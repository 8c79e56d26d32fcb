"""A pretrained Transformer as one modality of the tagger: one vector a token, in the context of the whole post.

The `transformers` library is an optional part of the package; without it everything else works.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self, cast

from torch import Tensor, nn

from mner_model.text_pieces import PieceBatch, PieceTokenizer

LONGEST_WINDOW = 512


class TextEncoderError(ValueError):
    """A text encoder that cannot be had; the message names it and what would help."""


class TextEncoder(nn.Module):
    """The last layer of a Transformer at each token's first piece."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """config: as the transformers library writes it. The weights are random; a checkpoint brings its own."""
        super().__init__()
        library = _library()
        try:
            described = library.AutoConfig.for_model(**config)
            self.transformer: Any = _without_pooling(library.AutoModel.from_config(described))
        except (KeyError, ValueError, TypeError) as error:
            raise TextEncoderError(f"does not describe a Transformer that transformers can build: {error}") from error
        self._has_segments = getattr(described, "type_vocab_size", 0) > 1

    @classmethod
    def pretrained(cls, name: str) -> tuple[Self, PieceTokenizer]:
        """Reads a Transformer and its tokenizer from a local folder, or from the hub under this name.

        Raises TextEncoderError in one sentence when it cannot be had.
        """
        library = _library()
        try:
            transformer = library.AutoModel.from_pretrained(name)
            tokenizer = library.AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError) as error:
            where = "folder" if Path(name).exists() else "hub"
            raise TextEncoderError(
                f"text encoder {name}: cannot be read from the {where}: {str(error).splitlines()[0]}"
            ) from error
        encoder = cls(transformer.config.to_dict())
        encoder.transformer.load_state_dict(_without_pooling(transformer).state_dict())
        longest = min(tokenizer.model_max_length, LONGEST_WINDOW)
        return encoder, PieceTokenizer(tokenizer.backend_tokenizer.to_str(), longest)

    @property
    def config(self) -> dict[str, Any]:
        """As `__init__` takes it."""
        return cast("dict[str, Any]", self.transformer.config.to_dict())

    @property
    def dimension(self) -> int:
        """Of a token's vector."""
        return int(self.transformer.config.hidden_size)

    def forward(self, pieces: PieceBatch) -> Tensor:
        """Padded windows → float [batch, tokens, dimension]."""
        segments = {"token_type_ids": pieces.segment_ids} if self._has_segments else {}
        hidden = self.transformer(
            input_ids=pieces.piece_ids, attention_mask=pieces.piece_mask.long(), **segments
        ).last_hidden_state
        return cast(Tensor, hidden.flatten(0, 1)[pieces.token_index])


def _without_pooling(transformer: Any) -> Any:
    """The pooler reads one piece for a whole text and would only be trained for nothing."""
    if hasattr(transformer, "pooler"):
        transformer.pooler = None
    return transformer


def _library() -> ModuleType:
    try:
        import transformers
    except ImportError:
        raise TextEncoderError(
            "a pretrained text encoder needs the transformers library: pip install 'mner-stream[transformer]'"
        ) from None
    return transformers
