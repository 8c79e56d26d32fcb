from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mner_model.text.reading import read
from mner_model.text.tokenizer import NUMBER_FORM, URL_FORM, USER_FORM, fallback_forms, tokenize, vocabulary_form

TEXT = st.text(max_size=60) | st.text("ab@#.&;<p>/ \n\u00ad\u200b\u200d\u0301\ufb01Ｗ東é'", max_size=30)


@given(TEXT)
def test_offsets_point_into_the_text_as_received(text: str) -> None:
    tokens = tokenize(text)
    for surface, start, end in zip(tokens.surfaces, tokens.starts, tokens.ends, strict=True):
        assert 0 <= start < end <= len(text)
        if text[start:end] != surface:  # then it was read as another one
            assert read(text).starts is not None


@given(TEXT)
def test_tokens_cover_all_that_is_read_but_white_space_in_order(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(tokens.surfaces) == "".join(read(text).text.split())
    places = list(zip(tokens.starts, tokens.ends, strict=True))
    assert all(before[1] <= after[0] for before, after in pairwise(places))


@given(st.text(max_size=30) | st.text("ab. \u0301\ufe0f\u200d\U0001f3ff👍\u00a0\u0085\x1c\x1f", max_size=30))
def test_no_token_holds_a_space_at_its_ends(text: str) -> None:
    assert all(surface == surface.strip() and surface for surface in tokenize(text).surfaces)


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_stands_beyond_a_space_changes_no_token(left: str, right: str) -> None:
    assume("<" not in left + right)  # one that opens here and closes there makes an element of all between
    assert tokenize(f"{left} a {right}").surfaces[: len(tokenize(left))] == tokenize(left).surfaces


@pytest.mark.parametrize(
    ("text", "surfaces"),
    [
        ("#NBA: I'm @home", ["#", "NBA", ":", "I", "'m", "@", "home"]),
        ("see http://t.co/Z3neVBQ7vF, ok", ["see", "http://t.co/Z3neVBQ7vF,", "ok"]),
        ("alley-oop at 19:30, 1,000.5 wow!!!", ["alley", "-", "oop", "at", "19:30", ",", "1,000.5", "wow", "!!!"]),
        ("東京へ", ["東", "京", "へ"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("hi 👩‍👩‍👧!", ["hi", "👩‍👩‍👧", "!"]),
        ("Tom &amp; Jerry", ["Tom", "&", "Jerry"]),
        ("Barack Obamahttps://t.co/abc", ["Barack", "Obama", "https://t.co/abc"]),
        ("HTTPS://T.CO/A and t.co/Paris", ["HTTPS://T.CO/A", "and", "t.co/Paris"]),
        ("https://t.co/aですね", ["https://t.co/a", "で", "す", "ね"]),
        ("write to a.b@example.org now", ["write", "to", "a.b@example.org", "now"]),
        ("@Adele@mastodon.social @bo.bsky.social.", ["@", "Adele", "@mastodon.social", "@", "bo", ".bsky.social", "."]),
        ("The U.S. and L.A.", ["The", "U.S.", "and", "L.A."]),
        ("J.K.Rowling, e.g.", ["J.K.", "Rowling", ",", "e.g."]),
        ("Ford Motor Co. and Ken Griffey Jr.", ["Ford", "Motor", "Co.", "and", "Ken", "Griffey", "Jr."]),
        ("AT&amp;T, H&M", ["AT&T", ",", "H&M"]),
        ("Macy's isn't O'Neal’s", ["Macy", "'s", "isn", "'", "t", "O", "'", "Neal", "’s"]),
        ("visit Amazon.com. and/or", ["visit", "Amazon.com", ".", "and", "/", "or"]),
        ("SG워너비의", ["SG", "워", "너", "비", "의"]),
        ("می\u200cرود", ["می\u200cرود"]),
        ("", []),
    ],
)
def test_tokens_of(text: str, surfaces: list[str]) -> None:
    assert list(tokenize(text).surfaces) == surfaces


def test_a_name_glued_to_an_at_sign_is_a_users() -> None:
    assert tokenize("@WSJ @ WSJ").forms == ("@", USER_FORM, "@", "wsj")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("Paris London", [0, 0]),
        ("Paris\nLondon", [0, 1]),
        ("Paris \r\n London", [0, 1]),
        ("<p>Adele<br>Rihanna</p><p>Eminem", [1, 1, 1]),
        ("@user Drake", [0, 1, 1]),
        ("Drake @user", [0, 0, 1]),
        ("see t.co/x Drake", [0, 2, 1]),
        ("@Adele@x.social hello there", [0, 1, 2, 1, 0]),
    ],
)
def test_where_mentions_end_whatever_is_read(text: str, bounds: list[int]) -> None:
    assert list(tokenize(text).bounds) == bounds


def test_offsets_are_of_the_text_as_received() -> None:
    text = "Lon\u00addon, Beyonc&eacute; und Ｗ"
    tokens = tokenize(text)
    received = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    assert received == ["Lon\u00addon", ",", "Beyonc&eacute;", "und", "Ｗ"]
    assert tokens.surfaces == ("London", ",", "Beyoncé", "und", "W")
    assert [tokens.is_glued(position) for position in range(5)] == [False, True, False, False, False]


def test_forms_are_lower_case_and_compatible() -> None:
    assert vocabulary_form("𝗕𝗼𝗹𝗱") == "bold"
    assert vocabulary_form("’S") == "'s"
    assert tokenize("&Eacute;dith https://x.org/a a@x.org").forms == ("édith", URL_FORM, URL_FORM)


def test_unknown_words_fall_back_to_their_likes() -> None:
    assert fallback_forms("goooood")[:2] == ("good", "god")
    assert fallback_forms("1,204") == (NUMBER_FORM,)
    assert "beyonce" in fallback_forms("beyoncé")
