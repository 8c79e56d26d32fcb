"""What trained taggers believe of posts: the targets of a smaller one that learns from them (distillation)."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from mner_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from mner_model.network.soft_targets import SoftTargets, believed
from mner_model.text.labels import TagSet
from mner_model.text.tokenizer import Tokens, tokenize
from mner_model.training.soft_target_file import SoftTargetsError, TaughtPosts

_BATCH_POSTS = 32


class Teachers:
    """One or more taggers of the same tags; their belief is the mean of theirs, and is of texts alone."""

    def __init__(self, checkpoints: Sequence[Checkpoint], device: torch.device | str = "cpu") -> None:
        """Raises SoftTargetsError where their tags differ."""
        self._checkpoints = checkpoints
        self._device = device
        self.tagset: TagSet = checkpoints[0].model.tagset
        for checkpoint in checkpoints[1:]:
            if checkpoint.model.tagset != self.tagset:
                raise SoftTargetsError(
                    f"teacher {checkpoint.name}: expected the tags of {checkpoints[0].name},"
                    f" {', '.join(self.tagset.tags)}, got {', '.join(checkpoint.model.tagset.tags)}"
                )

    @classmethod
    def load(cls, folders: Iterable[Path], device: torch.device) -> Self:
        """Reads checkpoints; raises CheckpointError for one that cannot be had."""
        return cls([load_checkpoint(folder, device) for folder in folders], device)

    def teach(
        self, texts: Iterable[str], on_progress: Callable[[int, int], None] = lambda done, posts: None
    ) -> TaughtPosts:
        """Their belief of each distinct text that has a token."""
        tokens = {text: tokenize(text) for text in dict.fromkeys(texts)}
        order = sorted((text for text in tokens if len(tokens[text])), key=lambda text: len(tokens[text]))
        targets: dict[str, SoftTargets] = {}
        for start in range(0, len(order), _BATCH_POSTS):
            batch = order[start : start + _BATCH_POSTS]
            beliefs = [self._belief(checkpoint, [tokens[text] for text in batch]) for checkpoint in self._checkpoints]
            for text, *of_text in zip(batch, *beliefs, strict=True):
                targets[text] = SoftTargets.mixed([(1 / len(of_text), belief) for belief in of_text])
            on_progress(len(targets), len(order))
        return TaughtPosts(targets, self._about())

    def _belief(self, checkpoint: Checkpoint, posts: Sequence[Tokens]) -> list[SoftTargets]:
        preprocessing = checkpoint.preprocessing
        batch = preprocessing.collate([preprocessing.features(tokens) for tokens in posts]).to(self._device)
        with torch.inference_mode():
            emissions, _ = checkpoint.model(batch)
        return believed(checkpoint.model.crf, emissions.float(), batch.mask)

    def _about(self) -> dict[str, Any]:
        return {"teachers": [{"name": one.name, "fingerprint": one.fingerprint} for one in self._checkpoints]}
