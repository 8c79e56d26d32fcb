import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.text.tokenizer import NUMBER_FORM, URL_FORM, USER_FORM, fallback_forms, tokenize, vocabulary_form


@given(st.text(max_size=60))
def test_offsets_point_into_the_text_as_received(text: str) -> None:
    tokens = tokenize(text)
    assert [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)] == list(tokens.surfaces)


@given(st.text(max_size=60))
def test_tokens_cover_all_but_white_space_in_order(text: str) -> None:
    tokens = tokenize(text)
    covered = [i for start, end in zip(tokens.starts, tokens.ends, strict=True) for i in range(start, end)]
    assert covered == sorted(set(covered))
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)


@given(st.text(max_size=30) | st.text("ab. \u0301\ufe0f\u200d\U0001f3ff👍\u00a0\u0085\x1c\x1f", max_size=30))
def test_no_token_holds_a_space_at_its_ends(text: str) -> None:
    assert all(surface == surface.strip() and surface for surface in tokenize(text).surfaces)


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_stands_beyond_a_space_changes_no_token(left: str, right: str) -> None:
    assert tokenize(f"{left} a {right}").surfaces[: len(tokenize(left))] == tokenize(left).surfaces


@pytest.mark.parametrize(
    ("text", "surfaces"),
    [
        ("#NBA: I'm @home", ["#", "NBA", ":", "I", "'", "m", "@", "home"]),
        ("see http://t.co/Z3neVBQ7vF, ok", ["see", "http://t.co/Z3neVBQ7vF,", "ok"]),
        ("alley-oop at 19:30, 1,000.5 wow!!!", ["alley", "-", "oop", "at", "19:30", ",", "1,000.5", "wow", "!!!"]),
        ("東京へ", ["東", "京", "へ"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("hi 👩‍👩‍👧!", ["hi", "👩‍👩‍👧", "!"]),
        ("Tom &amp; Jerry", ["Tom", "&amp;", "Jerry"]),
        ("", []),
    ],
)
def test_tokens_of(text: str, surfaces: list[str]) -> None:
    assert list(tokenize(text).surfaces) == surfaces


def test_a_name_glued_to_an_at_sign_is_a_users() -> None:
    assert tokenize("@WSJ @ WSJ").forms == ("@", USER_FORM, "@", "wsj")


def test_forms_are_lower_case_compatible_and_unescaped() -> None:
    assert vocabulary_form("𝗕𝗼𝗹𝗱") == "bold"
    assert vocabulary_form("&amp;") == "&"
    assert vocabulary_form("https://x.org/a") == URL_FORM


def test_unknown_words_fall_back_to_their_likes() -> None:
    assert fallback_forms("goooood")[:2] == ("good", "god")
    assert fallback_forms("1,204") == (NUMBER_FORM,)
    assert "beyonce" in fallback_forms("beyoncé")
