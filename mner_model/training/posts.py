"""The posts of a training in numbers, with what is to be learned of each, and the batches of each pass over them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mner_model.config import ConfigError, ModelConfig, TrainingConfig
from mner_model.data.examples import Example
from mner_model.imaging.words import caption_words, words_vector
from mner_model.network.batch import Features
from mner_model.network.model import MultimodalTagger
from mner_model.network.soft_targets import SoftTargets, any_path
from mner_model.preprocessing import Preprocessing
from mner_model.text.tokenizer import tokenize
from mner_model.training.soft_target_file import TaughtPosts

_BUCKET_BATCHES = 50  # posts are sorted by length within this many batches


@dataclass(frozen=True)
class TrainingPosts:
    """Each post twice: as it is, and without its image, which also takes away what a text encoder reads of it."""

    whole: Sequence[Features]
    without_image: Sequence[Features]

    def __len__(self) -> int:
        return len(self.whole)

    def batches(self, config: TrainingConfig, epoch: int, begun: int) -> Iterator[list[Features]]:
        """Shuffled batches of posts of like length; some images left out (modality dropout).

        begun  so many were had before the training was stopped; the same seed and pass give the same batches
        """
        drawn = random.Random(f"{config.seed}/{epoch}")  # noqa: S311 (nothing secret)
        order = list(range(len(self)))
        drawn.shuffle(order)
        size = config.batch_posts
        batches: list[list[int]] = []
        for start in range(0, len(order), size * _BUCKET_BATCHES):
            bucket = sorted(order[start : start + size * _BUCKET_BATCHES], key=lambda i: len(self.whole[i]))
            batches.extend(bucket[i : i + size] for i in range(0, len(bucket), size))
        drawn.shuffle(batches)
        for number, batch in enumerate(batches):
            without = [drawn.random() < config.modality_dropout for _ in batch]
            if number >= begun:
                yield [
                    (self.without_image if left_out else self.whole)[i]
                    for i, left_out in zip(batch, without, strict=True)
                ]


def check_targets(model: ModelConfig, recipe: TrainingConfig, *, is_taught: bool) -> None:
    """Raises ConfigError where mentions of any type are to be found as well, and soft targets do not tell them."""
    if (is_taught or recipe.label_smoothing) and model.segmentation_weight:
        raise ConfigError("segmentation_weight: expected 0 with soft targets or label_smoothing")


class TrainingReader:
    """Reads posts for the training of one model: by the gold or, with teachers or smoothing, by soft targets."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        model: MultimodalTagger,
        config: TrainingConfig,
        taught: TaughtPosts | None = None,
    ) -> None:
        """taught: as `Trainer` takes it."""
        self._preprocessing = preprocessing
        self._model = model
        self._config = config
        self._is_soft = taught is not None or config.label_smoothing > 0
        self._beliefs = taught.targets if taught is not None else {}

    def posts(self, examples: Sequence[Example]) -> TrainingPosts:
        """Examples that have a token, and behind them the taught posts that no example has the text of."""
        readable = [example for example in examples if len(example.tokens)]
        gold = {example.text for example in readable}
        others = [self._taught_features(text) for text in self._beliefs if text not in gold]
        whole = [self.features(example) for example in readable]
        # not only without the embedding: what a text encoder reads of the caption goes with the image
        without_image = [self.features(replace(example, caption=None)) for example in readable]
        return TrainingPosts([*whole, *others], [*without_image, *others])

    def features(self, example: Example) -> Features:
        """One example with its gold, or what is to be learned in its place."""
        tagset = self._model.tagset
        allowed = example.allowed(tagset)
        if allowed is not None:
            belief = self._beliefs.get(example.text)
            share = 1.0 if belief is None else 1 - self._config.teacher_share
            return replace(self.unlabelled(example), allowed=allowed, soft_targets=belief, gold_share=share)
        tags = np.array([tagset.index(tag) for tag in example.token_tags()], dtype=np.int64)
        soft_targets = self._soft_targets(example, tags) if self._is_soft else None
        return replace(self.unlabelled(example), tags=tags, soft_targets=soft_targets)

    def unlabelled(self, example: Example) -> Features:
        """One example without its gold; the words of its caption stand for its image."""
        image = None
        if "image" in self._model.config.modalities and example.caption is not None:
            image = words_vector(caption_words(example.caption), self._preprocessing.vocabulary, self._model.words)
        return self._preprocessing.features(example.tokens, image, example.caption)

    def validation(self, examples: Sequence[Example]) -> list[Features]:
        """Posts to choose by: with their images' captions where the recipe says so, else from text alone."""
        if not self._config.choose_with_images:
            examples = [replace(example, caption=None) for example in examples]
        return [self.unlabelled(example) for example in examples]

    def _taught_features(self, text: str) -> Features:
        return replace(self._preprocessing.features(tokenize(text)), soft_targets=self._beliefs[text])

    def _soft_targets(self, example: Example, gold: npt.NDArray[np.int64]) -> SoftTargets:
        """The gold, smoothed, and beside it what the teachers believe of the same text."""
        smoothing, tagset = self._config.label_smoothing, self._model.tagset
        targets = SoftTargets.certain(gold, len(tagset))
        if smoothing:
            targets = SoftTargets.mixed(
                [(1 - smoothing, targets), (smoothing, any_path(tagset, example.tokens.bounds))]
            )
        belief = self._beliefs.get(example.text)
        if belief is not None:
            share = self._config.teacher_share
            targets = SoftTargets.mixed([(1 - share, targets), (share, belief)])
        return targets
