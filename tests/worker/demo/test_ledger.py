import math
import random
from collections import Counter
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from worker.demo.ledger import Ledger, SentPost, percentile


class Fate(NamedTuple):
    """What becomes of one post: which id it has, and how it is answered, if at all."""

    post_id: str | None
    answer: str


ids = st.sampled_from(["a", "b", "c"])
fates = st.one_of(
    st.builds(Fate, ids, st.sampled_from(["record", "dead", "nothing"])),
    st.builds(Fate, st.none(), st.sampled_from(["dead", "nothing"])),
)


@given(st.lists(fates, max_size=12), st.randoms(use_true_random=False))
def test_what_is_owed_is_what_was_sent_less_what_was_answered_however_the_answers_come(
    fates: list[Fate], dice: random.Random
) -> None:
    posts = [SentPost(fate.post_id or f"line {at}", fate.post_id, (at % 2, at), 1_000) for at, fate in enumerate(fates)]
    answers = [(post, fate.answer) for post, fate in zip(posts, fates, strict=True) if fate.answer != "nothing"]
    dice.shuffle(answers)
    ledger = Ledger()
    waiting = iter(posts)
    for turn in dice.sample(["post"] * len(posts) + ["answer"] * len(answers), len(posts) + len(answers)):
        if turn == "post":
            ledger.post(next(waiting))
            continue
        post, answer = answers.pop()
        if answer == "dead":
            ledger.dead_letter(post.place, post.post_id, 1_500)
        elif post.post_id is not None:
            ledger.record(post.post_id, 1_500)

    owed = Counter(post.name for post, fate in zip(posts, fates, strict=True) if fate.answer == "nothing")
    assert ledger.open == owed.total()
    assert sorted(ledger.unanswered()) == sorted(
        name if count == 1 else f"{name} ({count} times)" for name, count in owed.items()
    )
    assert ledger.sent == len(posts)
    assert len(ledger.latencies_s) == len(posts) - owed.total()
    assert set(ledger.latencies_s) <= {0.5}


def test_two_posts_of_one_id_need_two_records() -> None:
    ledger = Ledger()
    for offset in range(2):
        ledger.post(SentPost("a", "a", (0, offset), 0))
    assert ledger.record("a", 250) == 0.25
    assert ledger.unanswered() == ["a"]
    ledger.record("a", 250)
    assert ledger.unanswered() == []


def test_an_answer_nobody_asked_for_answers_nothing() -> None:
    ledger = Ledger()
    ledger.post(SentPost("a", "a", (0, 0), 0))
    assert ledger.record("stranger", 0) is None
    assert ledger.dead_letter((3, 9), None, 0) is None
    assert ledger.unanswered() == ["a"]


def test_a_post_that_could_not_be_sent_stays_unanswered() -> None:
    ledger = Ledger()
    ledger.refused("huge")
    assert ledger.unanswered() == ["huge"]


def test_clocks_that_disagree_never_make_a_negative_latency() -> None:
    ledger = Ledger()
    ledger.post(SentPost("a", "a", (0, 0), 1_000))
    assert ledger.record("a", 900) == 0.0


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_least_value_that_its_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    needed = math.ceil(share * len(values))
    assert sum(value <= found for value in values) >= needed
    assert sum(value < found for value in values) < needed


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None
