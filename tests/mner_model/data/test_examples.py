from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mner_model.data.conll import conll_repairs as repairs
from mner_model.data.conll import example_from_words, read_conll
from mner_model.data.examples import captions_fingerprint, fingerprint, mention_hashes
from mner_model.data.lines import DataError
from mner_model.text.labels import Span, TagSet, repair, spans_strict
from mner_model.text.tokenizer import tokenize

WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(
    lambda word: "".join(word.split()) or "x"
)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@given(st.lists(st.tuples(WORD, st.sampled_from(TagSet().tags)), min_size=1, max_size=10))
def test_gold_survives_the_way_to_tokens_and_back(rows: list[tuple[str, str]]) -> None:
    words, tags = zip(*rows, strict=True)
    # a mention that begins with a sign alone is one without the sign, as the next test has it
    assume(not any(tag[0] == "B" and {*word} <= {"#", "@"} for word, tag in zip(words, repair(tags), strict=True)))
    example = example_from_words(words, tags)
    assert example.word_tags(spans_strict(example.token_tags())) == repair(tags)


def test_a_hash_sign_is_outside_the_mention_it_introduces() -> None:
    example = example_from_words(["Watch", "#NBA", "@WSJ"], ["O", "B-ORG", "O"])
    assert example.text == "Watch #NBA @WSJ"
    assert example.token_tags() == ("O", "O", "B-ORG", "O", "O")
    assert example.word_tags([Span(2, 3, "ORG")]) == ("O", "B-ORG", "O")
    assert example_from_words(["#", "NBA"], ["B-ORG", "I-ORG"]).token_tags() == ("O", "B-ORG")


def test_signs_split_from_their_word_are_put_together_again() -> None:
    assert example_from_words(["#", "NBA", "now", "@", "WSJ"], ["O", "B-ORG", "O", "O", "O"]).text == "#NBA now @WSJ"


def test_training_and_serving_see_the_same_tokens_of_one_raw_text() -> None:
    raw = "Swan upping: first stop Tower Bridge (London), says @BBC's #Thames team http://t.co/x !!!"
    words = "Swan upping : first stop Tower Bridge ( London ) , says @BBC 's #Thames team http://t.co/x !!!".split()
    trained, served = example_from_words(words, ["O"] * len(words)).tokens, tokenize(raw)
    assert (trained.surfaces, trained.forms) == (served.surfaces, served.forms)


def test_crlf_byte_order_mark_blank_word_and_other_are_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "\ufeffIMGID:7\r\nRio\tB-OTHER\r\n \tO\r\nnow\tO\r\n\r\nIMGID:8\r\nhi\tO\r\n")
    captions = write(tmp_path / "a.captions.tsv", "7\ta beach\n8\ta cat\n")
    first, second = read_conll(file, captions=captions)
    assert (first.words, first.tags) == (("Rio", "", "now"), ("B-MISC", "O", "O"))
    assert (first.image_id, first.caption, second.caption) == ("7", "a beach", "a cat")
    assert first.tokens.surfaces == ("Rio", "now")


def test_carriage_returns_alone_end_lines_too(tmp_path: Path) -> None:
    [post] = read_conll(write(tmp_path / "a.txt", "Rio\tB-LOC\rnow\tO\r"))
    assert post.words == ("Rio", "now")


def test_a_line_of_spaces_ends_a_post(tmp_path: Path) -> None:
    assert [post.words for post in read_conll(write(tmp_path / "a.txt", "a\tO\n  \nb\tO\n"))] == [("a",), ("b",)]


def test_orphan_tags_stay_in_the_gold_and_begin_a_mention_for_training(tmp_path: Path) -> None:
    [post] = read_conll(write(tmp_path / "a.txt", "Rio\tI-LOC\nnow\tO\nAda\tB-PER\nUN\tI-ORG\n"))
    assert post.tags == ("I-LOC", "O", "B-PER", "I-ORG")
    assert post.token_tags() == ("B-LOC", "O", "B-PER", "B-ORG")


def test_a_post_of_blank_words_has_no_tokens(tmp_path: Path) -> None:
    post, _ = read_conll(write(tmp_path / "a.txt", " \tO\n \tB-LOC\n\nRio\tB-LOC\n"))
    assert (post.words, post.tokens.surfaces, post.token_tags()) == (("", ""), (), ())


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ("IMGID:1\na\tO\nIMGID:2\nb\tO\n", ["1", "2"]),
        ("IMGID:1\n\na\tO\n\nb\tO\n", ["1", None]),
        ("IMGID:1\n\nIMGID:2\nb\tO\n\nIMGID:3\n", ["2"]),
    ],
    ids=["no blank line before it", "a blank line after it", "no words"],
)
def test_an_image_belongs_to_the_words_that_follow_it(tmp_path: Path, content: str, ids: list[str | None]) -> None:
    assert [post.image_id for post in read_conll(write(tmp_path / "a.txt", content))] == ids


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("IMGID:1\nRio B-LOC\n", r"a\.txt:2: expected a word, a TAB and a tag, got 'Rio B-LOC'"),
        ("Rio\tNNP\tB-LOC\n", r"a\.txt:1: expected a word, a TAB and a tag, got 'Rio\\tNNP\\tB-LOC'"),
        ("now\tO\nRio\t\n", r"a\.txt:2: expected a word, a TAB and a tag, got 'Rio\\t'"),
        ("Rio\tB-GPE\n", r"a\.txt:1: unknown tag 'B-GPE', expected one of O, B-PER"),
        ("Rio\tb-loc\n", r"a\.txt:1: unknown tag 'b-loc'"),
        ("Rio\tB-\n", r"a\.txt:1: unknown tag 'B-'"),
        ("a\tO\n\nIMGID: \nRio\tB-LOC\n", r"a\.txt:3: expected an image's id after IMGID:"),
        ("a\tO\r\nb\0\tO\r\n", r"a\.txt:2: holds a NUL byte"),
        ("a\tO\rb\udcff\tO\r", r"a\.txt:2: byte 0xff is not UTF-8"),
        ("", r"a\.txt: holds no post"),
        ("\n \n", r"a\.txt: holds no post"),
        (" \tO\n\n \tB-LOC\n", r"a\.txt: holds no word, all are blank"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message):
        read_conll(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\ta beach\n2 a cat\n", r"c\.tsv:2: expected an image id, a TAB and a caption, got '2 a cat'"),
        ("\ta beach\n", r"c\.tsv:1: expected an image id, a TAB and a caption"),
        ("1\ta beach\n1\ta beach\n1\ta cat\n", r"c\.tsv:3: a second caption of image 1"),
        ("1.jpg\ta beach\n", r"c\.tsv: has no caption of any image of .*a\.txt: .*'1\.jpg'.*'1'"),
        ("", r"c\.tsv: has no caption of any image of .*a\.txt: it is empty"),
    ],
)
def test_bad_captions_are_refused_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    captions = write(tmp_path / "c.tsv", content)
    with pytest.raises(DataError, match=message):
        read_conll(write(tmp_path / "a.txt", "IMGID:1\na\tO\n"), captions=captions)


def test_captions_for_posts_without_images_are_refused(tmp_path: Path) -> None:
    captions = write(tmp_path / "c.tsv", "1\ta beach\n")
    with pytest.raises(DataError, match="none has an IMGID line"):
        read_conll(write(tmp_path / "a.txt", "a\tO\n"), captions=captions)


def test_an_image_without_a_caption_leaves_its_post_without(tmp_path: Path) -> None:
    captions = write(tmp_path / "c.tsv", "2\ta cat\n3\ta dog\n")
    posts = read_conll(write(tmp_path / "a.txt", "IMGID:1\na\tO\n\nIMGID:2\nb\tO\n"), captions=captions)
    assert [post.caption for post in posts] == [None, "a cat"]


@pytest.mark.parametrize("empty", ["", " \u00a0 "])
def test_an_empty_caption_is_none(tmp_path: Path, empty: str) -> None:
    captions = write(tmp_path / "c.tsv", f"1\t{empty}\n2\ta cat\n")
    file = write(tmp_path / "a.txt", "IMGID:1\na\tO\n\nIMGID:2\nb\tO\n")
    assert [post.caption for post in read_conll(file, captions=captions)] == [None, "a cat"]
    write(captions, f"1\t{empty}\n2\t{empty}\n")
    with pytest.raises(DataError, match=r"c\.tsv: all captions of the images of .*a\.txt are empty$"):
        read_conll(file, captions=captions)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("IMGID:1\nRio\tB-OTHER\nnow\tI-MISC\n\nIMGID:2\na\tO\n\nb\tO\n\n\n", None),
        ("a\tO\nRio\tI-LOC\n", "1 × I- that continues nothing (first in line 2)"),
        ("a\tB-PER\nRio\tI-LOC\nb\tI-LOC\n\nc\tI-LOC\n", "2 × I- that continues nothing (first in line 2)"),
        (" \tO\na\tO\n", "1 × blank word (first in line 1)"),
        ("\ufeffa\tO\n", "byte-order mark"),
        (
            "a\tO\r\n \tI-LOC\r\n",
            "1 × blank word (first in line 2), 1 × I- that continues nothing (first in line 2), carriage returns",
        ),
        ("a\tO\nIMGID:1\nb\tO\n", "1 × no blank line before IMGID (first in line 2)"),
        ("IMGID:1\n\n\na\tO\n", "1 × blank line between IMGID and words (first in line 2)"),
        ("IMGID:1\n\nIMGID:2\na\tO\n\nIMGID:3\n", "2 × IMGID without words (first in line 1)"),
    ],
)
def test_what_is_borne_with_is_told(tmp_path: Path, content: str, told: str | None) -> None:
    (tmp_path / "a.txt").write_bytes(content.encode())
    assert read_conll(tmp_path / "a.txt")
    assert repairs(tmp_path / "a.txt") == told


@pytest.mark.parametrize(("name", "message"), [("none.txt", "no such file"), (".", "cannot be read")])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_conll(tmp_path / name)


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
