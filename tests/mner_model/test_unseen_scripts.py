"""Texts in scripts that nobody taught the model that ships: they pass through, without a flood of names."""

from pathlib import Path

import pytest

from mner_model.data.spans import read_spans
from mner_model.predictor import Predictor

FOLDER = Path(__file__).parent / "unseen_scripts"
ALL = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
MOST_FALSE_NAMES = 0.15  # a post


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(device="cpu")


def test_there_are_posts_with_names_and_without() -> None:
    for language in ALL:
        posts = read_spans(FOLDER / f"{language}.jsonl")
        assert {post.lang for post in posts} == {language}
        assert sum(not post.spans for post in posts) == len(posts) / 2


@pytest.mark.parametrize("language", ["th", "hi", "ar", "he"])
def test_names_are_not_seen_where_there_are_none(predictor: Predictor, language: str) -> None:
    posts = read_spans(FOLDER / f"{language}.jsonl")
    predictions = predictor.predict([post.text for post in posts])
    judged = [post.judged(found.spans(post.tokens)) for post, found in zip(posts, predictions, strict=True)]
    false = [one.surface(span) for one in judged for span in one.predicted - one.gold]
    assert len(false) <= MOST_FALSE_NAMES * len(posts), false
