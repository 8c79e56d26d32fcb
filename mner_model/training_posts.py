"""The posts of a training in numbers, and the batches of each pass over them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mner_model.batch import Features
from mner_model.config import TrainingConfig

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
