"""The tagger: encoders → fusion → Bi-LSTM → CRF. Which parts, a ModelConfig says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mner_model.config import ModelConfig
from mner_model.network.batch import Batch
from mner_model.network.coupled_lstm import CoupledLSTM
from mner_model.network.crf import CRF, FORBIDDEN, kept_off
from mner_model.network.encoders import (
    BiGRU,
    BiLSTM,
    CharBiGRU,
    CharBiLSTM,
    CharCNN,
    PieceEncoder,
    SideWords,
    WordEncoder,
)
from mner_model.network.fusion import Concatenation, ModalityAttention, TransformerAttention
from mner_model.network.text_encoder import TextEncoder
from mner_model.text.labels import Span, TagSet, spans_strict
from mner_model.text.tokenizer import Bound
from mner_model.text.vocabulary import PADDING, UNKNOWN

_ANY_TYPE = "MENTION"


@dataclass(frozen=True, slots=True)
class TaggedPost:
    """Mentions of one post with their span marginals and mean modality weights, in token positions."""

    spans: list[Span]
    confidences: list[float]
    modality_weights: list[dict[str, float]]


class MultimodalTagger(nn.Module):
    """Emissions of BIO tags from the modalities that a ModelConfig names, under one CRF.

    Words, characters and text are there for every post; an image, a caption and hashtags may be missing from any.
    """

    kept_off: Tensor

    def __init__(
        self,
        config: ModelConfig,
        *,
        words: int,
        trained_words: int,
        alphabet_size: int,
        pieces: int = 1,
        trained_pieces: int = 0,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        """pieces, trained_pieces: of words, for the modality piece. text_encoder: the one of the configuration."""
        super().__init__()
        self.config = config
        self.tagset = TagSet(config.types)
        dimensions: dict[str, int] = {}
        if config.in_words:
            self.words = WordEncoder(words, trained_words, config.word_dimension)
        if "word" in config.modalities:
            dimensions["word"] = config.word_dimension
            if config.word_context == "bigru":
                self.word_context = BiGRU(config.word_dimension, config.word_hidden)
                dimensions["word"] = 2 * config.word_hidden
        if "char" in config.modalities:
            char_encoder = {"bilstm": CharBiLSTM, "bigru": CharBiGRU, "cnn": CharCNN}[config.char_encoder]
            self.characters = char_encoder(alphabet_size, config.char_dimension, config.char_hidden)
            dimensions["char"] = self.characters.dimension
        if "piece" in config.modalities:
            self.pieces = PieceEncoder(pieces, config.piece_dimension, trained_pieces)
            dimensions["piece"] = config.piece_dimension
        if "text" in config.modalities:
            if text_encoder is None:
                raise ValueError(f"expected a text encoder, the configuration names {config.text_encoder!r}")
            self.text = text_encoder
            dimensions["text"] = text_encoder.dimension
        if "image" in config.modalities:
            dimensions["image"] = config.image_dimension
        self.side_words = nn.ModuleDict(
            {
                name: SideWords(config.word_dimension, config.side_hidden, dimensions["word"])
                for name in config.modalities
                if name in ("caption", "hashtag")
            }
        )
        dimensions |= dict.fromkeys(self.side_words, 2 * config.side_hidden)
        self.fusion = _fusion(config, dimensions)
        self.dropout = nn.Dropout(config.dropout)
        dimension = self.fusion.dimension
        if config.reads_bounds:
            self.bounds = nn.Embedding(len(Bound), dimension, padding_idx=Bound.NONE)
            nn.init.zeros_(self.bounds.weight)
        if config.batch_norm:
            self.batch_norm = nn.BatchNorm1d(dimension)
        if config.entity_encoder != "none":
            self.entity_lstm = {"lstm": BiLSTM, "coupled_lstm": CoupledLSTM}[config.entity_encoder](
                dimension, config.hidden
            )
            dimension = 2 * config.hidden
        self.emission = nn.Linear(dimension, len(self.tagset))
        self.register_buffer("kept_off", kept_off(self.tagset), persistent=False)
        self.crf = CRF(self.tagset)
        if config.segmentation_weight:
            segments = TagSet((_ANY_TYPE,))
            self.segment_emission = nn.Linear(dimension, len(segments))
            self.segment_crf = CRF(segments)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Emissions [batch, tokens, tags] and modality weights [batch, tokens, modalities] (None: concatenation)."""
        hidden, weights = self._read(batch)
        return self._emissions(hidden, batch), weights

    def _emissions(self, hidden: Tensor, batch: Batch) -> Tensor:
        """float32 [batch, tokens, tags]; a tag that would run over a bound costs what a forbidden move does."""
        forbidden = self.kept_off[batch.bounds.long()]
        return cast(Tensor, self.emission(hidden)).float().masked_fill(forbidden, FORBIDDEN)

    def _read(self, batch: Batch, word_dropout: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """What the emissions are made of, [batch, tokens, hidden], and the modality weights."""
        inputs, present = self._inputs(batch, word_dropout)
        fused, weights = self.fusion({name: self.dropout(value) for name, value in inputs.items()}, present)
        if self.config.reads_bounds:
            fused = fused + self.bounds(batch.bounds.long())
        if self.config.batch_norm:
            normed = torch.zeros_like(fused)
            normed[batch.mask] = self._normalized(fused[batch.mask])
            fused = normed
        hidden = self.dropout(fused)
        if self.config.entity_encoder != "none":
            hidden = self.dropout(self.entity_lstm(hidden, batch.mask))
        return hidden, weights

    def _inputs(self, batch: Batch, word_dropout: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's vectors, [batch, tokens, its dimension], and which posts have it, bool [batch]."""
        inputs: dict[str, Tensor] = {}
        everywhere = torch.ones(len(batch.mask), dtype=torch.bool, device=batch.mask.device)
        present = dict.fromkeys(("word", "char", "piece", "text"), everywhere) | {"image": batch.has_image}
        if "word" in self.config.modalities:
            word_ids = batch.word_ids
            if word_dropout:
                dropped = torch.rand(word_ids.shape, device=word_ids.device) < word_dropout
                word_ids = word_ids.masked_fill(dropped & batch.mask, UNKNOWN)
            inputs["word"] = self.words(word_ids)
            if self.config.word_context == "bigru":
                inputs["word"] = self.word_context(self.dropout(inputs["word"]), batch.mask)
        if "char" in self.config.modalities:
            inputs["char"] = self.characters(batch.char_ids)[batch.surface_index]
        if "piece" in self.config.modalities:
            inputs["piece"] = self.pieces(batch.piece_ids)[batch.piece_index]
        if "text" in self.config.modalities:
            if batch.pieces is None:
                raise ValueError("expected a batch with pieces for the text encoder")
            inputs["text"] = self.text(batch.pieces)
        if "image" in self.config.modalities and bool(batch.has_image.any()):
            inputs["image"] = batch.image.unsqueeze(1).expand(-1, batch.mask.shape[1], -1)
        for name, ids in (("caption", batch.caption_ids), ("hashtag", batch.hashtag_ids)):
            if name in self.side_words and ids.shape[1]:
                here = ids != PADDING
                present[name] = here.any(dim=1)
                inputs[name] = self.side_words[name](self.dropout(self.words(ids)), here, inputs["word"])
        return inputs, present

    def _normalized(self, tokens: Tensor) -> Tensor:
        """By batch norm [tokens, dimension]; a single one, which has no spread, by the statistics so far."""
        norm = self.batch_norm
        if len(tokens) > 1 or not self.training:
            return norm(tokens)  # type: ignore[no-any-return]
        return nn.functional.batch_norm(
            tokens, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
        )

    def loss(self, batch: Batch, word_dropout: float = 0.0, r_drop: float = 0.0) -> Tensor:
        """Mean negative log-likelihood of the gold tags per post, or cross-entropy to its soft targets.

        word_dropout  share of words read as unknown
        r_drop        of how far two readings with different dropout lie apart: this is half of Liang et al. 2021,
                      eq. 4, the mean of the two losses, with an alpha of 2 × r_drop. Apart: ½ (KL(P₁‖P₂) + KL(P₂‖P₁))
                      of the tags' softmax, summed over a post's tokens, mean over posts

        Raises ValueError for a batch that has neither.
        """
        first, emissions = self._loss_once(batch, word_dropout)
        if not r_drop:
            return first
        second, again = self._loss_once(batch, word_dropout)
        logs, others = emissions.log_softmax(dim=2), again.log_softmax(dim=2)
        both_ways = ((logs.exp() - others.exp()) * (logs - others)).sum(dim=2) * batch.mask
        return (first + second) / 2 + r_drop * both_ways.sum(dim=1).mean() / 2

    def _loss_once(self, batch: Batch, word_dropout: float) -> tuple[Tensor, Tensor]:
        hidden, _ = self._read(batch, word_dropout)
        emissions = self._emissions(hidden, batch)
        if batch.soft_targets is not None:
            soft = batch.soft_targets
            losses = self.crf.cross_entropy(emissions, batch.mask, soft.tags, soft.moves)
            if batch.allowed is not None and batch.gold_share is not None:
                of_gold = -self.crf.log_likelihood_of_any(emissions, batch.mask, batch.allowed)
                losses = torch.lerp(losses, of_gold, batch.gold_share)
            return losses.mean(), emissions
        if batch.allowed is not None:
            return -self.crf.log_likelihood_of_any(emissions, batch.mask, batch.allowed).mean(), emissions
        if batch.tags is None:
            raise ValueError("expected a batch with gold tags or soft targets")
        loss = -self.crf.log_likelihood(emissions, batch.mask, batch.tags).mean()
        if self.config.segmentation_weight:
            segments = self.segment_emission(hidden).float()
            begins, inside = batch.tags % 2 == 1, (batch.tags > 0) & (batch.tags % 2 == 0)
            gold = begins.long() + 2 * inside.long()
            likelihood = self.segment_crf.log_likelihood(segments, batch.mask, gold).mean()
            loss = loss - self.config.segmentation_weight * likelihood
        return loss, emissions

    @torch.inference_mode()
    def tag(self, batch: Batch) -> list[TaggedPost]:
        """Best mentions of each post by Viterbi, each with the probability of exactly that mention."""
        emissions, weights = self(batch)
        tags = self.tagset.tags
        spans = [spans_strict([tags[id_] for id_ in path]) for path in self.crf.best_path(emissions, batch.mask)]
        confidences = self.crf.span_marginals(emissions, batch.mask, spans)
        mean_weights = self._mean_weights(weights, spans)
        return [TaggedPost(*parts) for parts in zip(spans, confidences, mean_weights, strict=True)]

    @torch.inference_mode()
    def confidences(self, batch: Batch, spans: Sequence[Sequence[Span]]) -> list[list[float]]:
        """Probability of exactly each of these mentions, one list a post, whether or not `tag` would find them."""
        emissions, _ = self(batch)
        return self.crf.span_marginals(emissions, batch.mask, spans)

    def _mean_weights(self, weights: Tensor | None, spans: Sequence[Sequence[Span]]) -> list[list[dict[str, float]]]:
        if weights is None:
            return [[{} for _ in of_post] for of_post in spans]
        rows = weights.float().cpu().numpy()
        return [
            [
                dict(zip(self.fusion.dimensions, rows[row, span.start : span.end].mean(axis=0).tolist(), strict=True))
                for span in of_post
            ]
            for row, of_post in enumerate(spans)
        ]


def _fusion(
    config: ModelConfig, dimensions: dict[str, int]
) -> Concatenation | ModalityAttention | TransformerAttention:
    if config.fusion == "concatenation":
        return Concatenation(dimensions)
    if config.fusion == "transformer_attention":
        return TransformerAttention(dimensions, config.fused_dimension)
    return ModalityAttention(
        dimensions, config.fused_dimension, "sigmoid" if config.fusion == "attention" else "linear"
    )
