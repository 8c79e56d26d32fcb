from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.data import DataError, captions_fingerprint, example_from_words, fingerprint, mention_hashes, read_conll
from mner_model.labels import Span, TagSet, repair, spans_strict
from mner_model.text import tokenize

WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(
    lambda word: "".join(word.split()) or "x"
)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@given(st.lists(st.tuples(WORD, st.sampled_from(TagSet().tags)), min_size=1, max_size=10))
def test_gold_survives_the_way_to_tokens_and_back(rows: list[tuple[str, str]]) -> None:
    words, tags = zip(*rows, strict=True)
    example = example_from_words(words, tags)
    assert example.word_tags(spans_strict(example.token_tags())) == repair(tags)


def test_a_hash_sign_is_outside_the_mention_it_introduces() -> None:
    example = example_from_words(["Watch", "#NBA", "@WSJ"], ["O", "B-ORG", "O"])
    assert example.text == "Watch #NBA @WSJ"
    assert example.token_tags() == ("O", "O", "B-ORG", "O", "O")
    assert example.word_tags([Span(2, 3, "ORG")]) == ("O", "B-ORG", "O")


def test_signs_split_from_their_word_are_put_together_again() -> None:
    assert example_from_words(["#", "NBA", "now", "@", "WSJ"], ["O", "B-ORG", "O", "O", "O"]).text == "#NBA now @WSJ"


def test_training_and_serving_see_the_same_tokens_of_one_raw_text() -> None:
    raw = "Swan upping: first stop Tower Bridge (London), says @BBC's #Thames team http://t.co/x !!!"
    words = "Swan upping : first stop Tower Bridge ( London ) , says @BBC ' s #Thames team http://t.co/x !!!".split()
    trained, served = example_from_words(words, ["O"] * len(words)).tokens, tokenize(raw)
    assert (trained.surfaces, trained.forms) == (served.surfaces, served.forms)


def test_crlf_byte_order_mark_blank_word_and_other_are_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "\ufeffIMGID:7\r\nRio\tB-OTHER\r\n \tO\r\nnow\tO\r\n\r\nIMGID:8\r\nhi\tO\r\n")
    captions = write(tmp_path / "a.captions.tsv", "7\ta beach\n8\ta cat\n")
    first, second = read_conll(file, captions=captions)
    assert (first.words, first.tags) == (("Rio", "", "now"), ("B-MISC", "O", "O"))
    assert (first.image_id, first.caption, second.caption) == ("7", "a beach", "a cat")
    assert first.tokens.surfaces == ("Rio", "now")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("IMGID:1\nRio B-LOC\n", r"a\.txt:2: expected a word, a TAB and a tag, got 'Rio B-LOC'"),
        ("Rio\tB-GPE\n", r"a\.txt:1: unknown tag 'B-GPE'"),
        ("\n\n", r"a\.txt: holds no post"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_conll(write(tmp_path / "a.txt", content))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"Rio\xff\tO\n")
    with pytest.raises(DataError, match="not UTF-8 at byte 3"):
        read_conll(tmp_path / "a.txt")


def test_the_fingerprint_changes_with_words_and_tags_and_captions_have_their_own() -> None:
    post = example_from_words(["Rio"], ["B-LOC"])
    with_caption = example_from_words(["Rio"], ["B-LOC"], caption="a beach")
    others = [example_from_words(["Ria"], ["B-LOC"]), example_from_words(["Rio"], ["O"])]
    assert len({fingerprint([example]) for example in [post, *others]}) == 3
    assert fingerprint([post]) == fingerprint([with_caption])
    assert captions_fingerprint([post]) is None
    assert captions_fingerprint([with_caption]) is not None


def test_mentions_are_remembered_without_case() -> None:
    assert mention_hashes([example_from_words(["New", "York"], ["B-LOC", "I-LOC"])]) == mention_hashes(
        [example_from_words(["new", "york"], ["B-LOC", "I-LOC"])]
    )
