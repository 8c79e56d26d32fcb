from collections.abc import Callable

import numpy as np
import pytest

from mner_model.config import TrainingConfig
from mner_model.data.conll import example_from_words
from mner_model.data.examples import Example
from mner_model.network.soft_targets import SoftTargets, any_path
from mner_model.text.tokenizer import tokenize
from mner_model.training.posts import TrainingPosts, TrainingReader
from mner_model.training.soft_target_file import TaughtPosts
from mner_model.training.trainer import Trainer

OSLO = example_from_words(["in", "Oslo"], ["O", "B-LOC"])
GOLD = [0, 3]
BELIEF = SoftTargets.certain(np.array([0, 1]), 9)  # B-PER


def posts(make_trainer: Callable[..., Trainer], taught: TaughtPosts | None = None, **recipe: float) -> TrainingPosts:
    config = TrainingConfig(**recipe)  # type: ignore[arg-type]
    trainer = make_trainer(config)
    return TrainingReader(trainer.preprocessing, trainer.model, config, taught).posts([OSLO])


def test_the_gold_alone_stays_certain(make_trainer: Callable[..., Trainer]) -> None:
    [post] = posts(make_trainer).whole
    assert post.soft_targets is None
    assert post.tags is not None
    assert post.tags.tolist() == GOLD


def test_a_taught_post_with_gold_learns_their_mixture(make_trainer: Callable[..., Trainer]) -> None:
    [post] = posts(make_trainer, TaughtPosts({"in Oslo": BELIEF}), teacher_share=0.25).whole
    assert post.soft_targets is not None
    assert post.soft_targets.tags[1, [1, 3]].tolist() == [0.25, 0.75]
    assert post.soft_targets.moves[0, 0, [1, 3]].tolist() == [0.25, 0.75]


def test_a_taught_post_without_gold_comes_on_top_with_the_belief_alone(make_trainer: Callable[..., Trainer]) -> None:
    made = posts(make_trainer, TaughtPosts({"to Lima": BELIEF}))
    assert [post.surfaces for post in made.whole] == [("in", "Oslo"), ("to", "Lima")]
    assert made.whole[1].soft_targets is BELIEF
    assert made.whole[0].soft_targets is not None
    assert made.whole[0].soft_targets.tags[1, 3] == 1
    assert made.without_image[1] is made.whole[1]


def test_smoothing_gives_its_share_to_every_sound_path(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(TrainingConfig(label_smoothing=0.5))
    [post] = posts(make_trainer, label_smoothing=0.5).whole
    assert post.soft_targets is not None
    anywhere = any_path(trainer.model.tagset, (0, 0)).tags[1, 3]
    assert post.soft_targets.tags[1, 3] == pytest.approx(0.5 + anywhere / 2, abs=1e-3)


def test_the_same_seed_and_pass_give_the_same_batches_wherever_they_begin(
    make_posts: Callable[..., list[Example]], make_trainer: Callable[..., Trainer]
) -> None:
    trainer = make_trainer(TrainingConfig())
    config = TrainingConfig(batch_posts=8)
    made = TrainingReader(trainer.preprocessing, trainer.model, config).posts(make_posts(60))
    whole = list(made.batches(config, 3, 0))
    assert sum(map(len, whole)) == len(made)
    assert [[id(post) for post in batch] for batch in made.batches(config, 3, 5)] == [
        [id(post) for post in batch] for batch in whole[5:]
    ]


def test_a_taught_text_has_as_many_targets_as_tokens(make_trainer: Callable[..., Trainer]) -> None:
    made = posts(make_trainer, TaughtPosts({"to Lima": BELIEF}))
    assert all(post.soft_targets is not None and len(post.soft_targets.tags) == len(post) for post in made.whole)
    assert len(tokenize("to Lima")) == 2
