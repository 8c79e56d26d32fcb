import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.text.languages import ISO_639_1, LANGUAGE_NAMES, TAGGED_LANGUAGES, check_language, primary_subtag

SUBTAGS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)


def test_the_codes_are_the_183_of_iso_639_1() -> None:
    assert len(ISO_639_1) == 183
    assert all(len(code) == 2 and code.isascii() and code.islower() for code in ISO_639_1)


def test_every_language_that_a_tagger_learns_has_a_code_and_a_name() -> None:
    assert set(TAGGED_LANGUAGES) <= ISO_639_1
    assert list(TAGGED_LANGUAGES) == sorted(TAGGED_LANGUAGES)
    assert len(set(LANGUAGE_NAMES.values())) == len(TAGGED_LANGUAGES) == 15


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("pt-BR", "pt"),
        ("zh-Hant-TW", "zh"),
        ("fil", "fil"),
        ("x-klingon", "x"),
        (None, None),
        ("", None),
        ("und", None),
        ("UND", None),
        ("und-Latn", None),
        ("zxx", None),
        ("mul", None),
        ("qme", None),
        ("qu", "qu"),
    ],
)
def test_a_tag_names_the_language_of_its_first_part(tag: str | None, language: str | None) -> None:
    assert primary_subtag(tag) == language


@pytest.mark.parametrize(("withdrawn", "code"), [("in", "id"), ("IW", "he"), ("ji", "yi"), ("jw", "jv"), ("mo", "ro")])
def test_a_withdrawn_code_is_the_one_in_its_place(withdrawn: str, code: str) -> None:
    assert primary_subtag(f"{withdrawn}-Latn") == primary_subtag(withdrawn) == code
    assert withdrawn.lower() not in ISO_639_1
    assert code in ISO_639_1


@given(st.sampled_from(sorted(ISO_639_1)), st.lists(SUBTAGS, max_size=3))
def test_what_follows_the_language_changes_nothing(code: str, subtags: list[str]) -> None:
    assert primary_subtag("-".join([code, *subtags])) == code


@pytest.mark.parametrize("code", ["en", "EN", "pt-BR", "zh-Hant-TW", "in"])
def test_a_tag_of_a_language_with_a_code_is_passed(code: str) -> None:
    check_language(code)


@pytest.mark.parametrize("code", ["english", "xx", "en_US", "en-", "", "und", None, 7])
def test_anything_else_is_refused_with_what_was_expected(code: object) -> None:
    with pytest.raises(ValueError, match=f"unknown language {code!r}, expected a code such as en or pt-BR"):
        check_language(code)
