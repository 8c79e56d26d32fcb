"""Tokens as pieces of words: each has those that lie over it, whatever stands beside its run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.text.tokenizer import tokenize
from mner_model.text.word_pieces import WordPieces

PIECES = "▁ ▁Oslo ▁O s lo ▁in ' - ▁US US China 東京 東 京 都 の ▁東 # ▁# Nor way Norway 東京大学".split()
CUTTER = WordPieces(PIECES, (-1.0 - (len(piece) < 3) * 3 for piece in PIECES))


def pieces_of(text: str) -> list[list[str]]:
    """Marks as they are meant: [ begins, - goes on, ] ends."""
    names = ["", "[", "-", "]", *PIECES]
    return [[names[number] for number in of_token] for of_token in CUTTER.ids(tokenize(text))]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("in Oslo", [["▁in"], ["▁Oslo"]]),
        ("Oslo's", [["▁Oslo"], ["'", "s"]]),
        ("US-China", [["▁US"], ["-"], ["China"]]),
        ("#Norway", [["▁#"], ["Norway"]]),
        ("東京都の", [["東京", "東", "["], ["東京", "京", "]"], ["都"], ["の"]]),
        ("東京都立", [["東京", "東", "["], ["東京", "京", "]"], ["都"], []]),
        (
            "都東京大学",
            [["都"], ["東京大学", "東", "["], ["東京大学", "京", "-"], ["東京大学", "-"], ["東京大学", "]"]],
        ),
        ("in https://t.co/x", [["▁in"], []]),
        ("zzz", [[]]),
        ("", []),
    ],
)
def test_a_token_has_the_pieces_that_lie_over_it(text: str, pieces: list[list[str]]) -> None:
    assert pieces_of(text) == pieces


@given(st.text("Oslo in東京都'-# 𝐁é", max_size=30))
def test_each_token_has_its_bag_whatever_stands_behind_a_space(text: str) -> None:
    found = CUTTER.ids(tokenize(text))
    assert len(found) == len(tokenize(text))
    assert CUTTER.ids(tokenize(f"in {text}"))[1:] == found
    assert all(1 <= number < len(CUTTER) for of_token in found for number in of_token)


def test_a_long_run_is_cut_as_a_short_one_is() -> None:
    assert CUTTER.ids(tokenize("東京" * 300)) == CUTTER.ids(tokenize("東京")) * 300


def test_a_token_of_many_pieces_keeps_the_first_eight() -> None:
    assert [len(bag) for bag in CUTTER.ids(tokenize("lo" * 30))] == [8]


@pytest.mark.parametrize(
    ("pieces", "scores", "problem"),
    [([], [], "got 0 and 0"), (["a"], [], "got 1 and 0"), (["a", "a"], [0.0, 0.0], "one comes twice")],
)
def test_what_are_no_pieces_is_refused(pieces: list[str], scores: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        WordPieces(pieces, scores)
