from collections.abc import Callable

import numpy as np
import pytest

from mner_model.checkpoints.checkpoint import Checkpoint
from mner_model.config import ConfigError, TrainingConfig
from mner_model.data.examples import Example
from mner_model.training.soft_target_file import SoftTargetsError
from mner_model.training.teaching import Teachers
from mner_model.training.trainer import Trainer

TEXTS = ["flying to Oslo on monday", "so tired today", "a new job at NASA !", "lunch"]


def test_one_teachers_belief_is_its_own_marginals_post_by_post(small_checkpoint: Checkpoint) -> None:
    together = Teachers([small_checkpoint]).teach(TEXTS).targets
    assert set(together) == set(TEXTS)
    for text in TEXTS:
        alone = Teachers([small_checkpoint]).teach([text]).targets[text]
        assert np.allclose(together[text].tags, alone.tags, atol=2e-3)
        assert np.allclose(together[text].moves, alone.moves, atol=2e-3)


def test_several_teachers_believe_their_mean(
    small_checkpoint: Checkpoint, train_small: Callable[..., Checkpoint]
) -> None:
    other = train_small(epochs=1, seed=3)
    both = Teachers([small_checkpoint, other]).teach(TEXTS).targets
    first, second = (Teachers([one]).teach(TEXTS).targets for one in (small_checkpoint, other))
    for text in TEXTS:
        mean = (first[text].tags.astype(np.float32) + second[text].tags) / 2
        assert np.allclose(both[text].tags, mean, atol=1e-3)


def test_texts_come_once_and_those_without_a_token_not_at_all(small_checkpoint: Checkpoint) -> None:
    assert list(Teachers([small_checkpoint]).teach(["lunch", "", "  ", "lunch"]).targets) == ["lunch"]


def test_teachers_of_other_tags_are_refused(
    small_checkpoint: Checkpoint, train_small: Callable[..., Checkpoint]
) -> None:
    other = train_small(epochs=1, types=("LOC", "PER", "ORG", "MISC"))
    with pytest.raises(SoftTargetsError, match="made-up: expected the tags of made-up, O, B-PER"):
        Teachers([small_checkpoint, other])


def test_a_pupil_learns_from_a_teacher_what_no_gold_told_it(
    small_checkpoint: Checkpoint, make_trainer: Callable[..., Trainer], make_posts: Callable[..., list[Example]]
) -> None:
    """Mentions of ORG are taken out of the pupil's gold; the teacher's posts have them."""
    companies = ("NASA", "Red Cross", "Interpol", "UNESCO")
    taught = Teachers([small_checkpoint]).teach([f"a new job at {companies[i % 4]} {'!' * (i % 7)}" for i in range(80)])
    posts = [post for post in make_posts(160) if not any(tag.endswith("ORG") for tag in post.tags)]
    config = TrainingConfig(epochs=14, batch_posts=8, learning_rate=1e-2, vector_learning_rate=1e-2, average_decay=0.9)
    with_teacher = make_trainer(config, train=posts, taught=taught)
    without = make_trainer(config, train=posts)
    with_teacher.run("pupil")
    without.run("alone")
    found = [trainer.score("made up").per_type["ORG"].f1 for trainer in (with_teacher, without)]
    assert found[0] > 0.8
    assert found[1] == 0


def test_soft_targets_and_segmentation_do_not_go_together(
    small_checkpoint: Checkpoint, make_trainer: Callable[..., Trainer]
) -> None:
    with pytest.raises(ConfigError, match="segmentation_weight: expected 0"):
        make_trainer(TrainingConfig(label_smoothing=0.1), segmentation_weight=1.0)
