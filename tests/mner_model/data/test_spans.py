import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.data.examples import SpanExample, fingerprint, mention_count, mention_hashes
from mner_model.data.lines import DataError
from mner_model.data.reader import read_examples, repairs
from mner_model.data.spans import read_spans
from mner_model.text.labels import Span, TagSet
from mner_model.text.tokenizer import tokenize

OSLO = {"lang": "no", "text": "in Oslo now", "entities": [{"start": 3, "end": 7, "type": "LOC"}]}


def write(path: Path, *lines: Any) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
    path.write_bytes(lzma.compress(text.encode()) if path.suffix == ".xz" else text.encode())
    return path


def example(text: str, *spans: Span, types: tuple[str, ...] = ("PER", "LOC", "ORG", "MISC")) -> SpanExample:
    return SpanExample(text, tokenize(text), spans=spans, types=types)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.xz"])
def test_json_lines_are_read_plain_and_compressed(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, OSLO, "", {"text": "hi", "entities": [], "types": ["PER"]})
    first, second = read_examples(file)
    assert (first.text, first.lang, first.mentions()) == ("in Oslo now", "no", [("Oslo", "LOC")])
    assert first.token_tags() == ("O", "B-LOC", "O")
    assert (second.types, second.lang, repairs(file)) == (("PER",), None, None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "expected a line such as"),
        ('["a"]', "expected a line such as"),
        ({"entities": []}, "expected a line such as"),
        (OSLO | {"entities": [{"start": 3, "end": 12, "type": "LOC"}]}, "a mention from 3 to 12, expected 0 ≤ start"),
        (OSLO | {"entities": [{"start": 3, "end": 3, "type": "LOC"}]}, "a mention from 3 to 3, expected 0 ≤ start"),
        (OSLO | {"entities": [{"start": True, "end": 3, "type": "LOC"}]}, "a mention from True to 3"),
        (OSLO | {"entities": [{"start": 3, "end": 7, "type": "GPE"}]}, "unknown type 'GPE', expected one of PER, LOC"),
        (OSLO | {"entities": ["Oslo"]}, "expected a mention such as"),
        (OSLO | {"entities": {"start": 3}}, "entities: expected a list"),
        (
            OSLO | {"entities": [{"start": 0, "end": 4, "type": "PER"}, {"start": 3, "end": 7, "type": "LOC"}]},
            "none lies over another, got PER 0 to 4 and LOC 3 to 7",
        ),
        (OSLO | {"types": ["PER"]}, "a mention of the type LOC, expected one of `types`: PER"),
        (OSLO | {"types": ["PER", "XYZ"]}, "types: unknown type 'XYZ'"),
        (OSLO | {"types": []}, "types: expected a list of those that were looked for"),
        (OSLO | {"lang": "klingon"}, "lang: unknown language 'klingon', expected a code such as en or pt-BR"),
        (OSLO | {"lang": 7}, "lang: unknown language 7"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, line: Any, problem: str) -> None:
    file = write(tmp_path / "a.jsonl", OSLO, line)
    with pytest.raises(DataError, match=r"a\.jsonl:2: ") as told:
        read_spans(file)
    assert problem in str(told.value)


def test_files_without_posts_or_damaged_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no post"):
        read_spans(write(tmp_path / "a.jsonl", "", " "))
    with pytest.raises(DataError, match="holds no word"):
        read_spans(write(tmp_path / "a.jsonl", {"text": " "}))
    (tmp_path / "b.jsonl.xz").write_bytes(b"no xz")
    with pytest.raises(DataError, match="damaged, expected a file compressed with xz"):
        read_spans(tmp_path / "b.jsonl.xz")
    with pytest.raises(DataError, match="as spans come without images"):
        read_examples(write(tmp_path / "a.jsonl", OSLO), captions=tmp_path / "c.tsv")


def test_a_boundary_inside_a_token_is_an_error_to_the_score() -> None:
    gold = example("in Osloby now", Span(3, 7, "LOC"))
    assert gold.token_tags() == ("O", "B-LOC", "O"), "most of the token lies in the mention"
    judged = gold.judged([Span(1, 2, "LOC")])
    assert (judged.gold, judged.predicted) == ({Span(3, 7, "LOC")}, {Span(3, 9, "LOC")})


def test_offsets_are_of_the_text_as_received() -> None:
    gold = example("Lon\u00addon &amp; Par&iacute;s", Span(0, 7, "LOC"), Span(14, 26, "LOC"))
    assert gold.judged(gold.token_spans()).predicted == {Span(0, 7, "LOC"), Span(14, 26, "LOC")}
    assert gold.mentions() == [("Lon\u00addon", "LOC"), ("Par&iacute;s", "LOC")]


def test_a_mention_ends_where_the_line_does() -> None:
    assert example("New\nYork", Span(0, 8, "LOC")).token_spans() == [Span(0, 1, "LOC")]
    assert example("see t.co/x", Span(4, 10, "MISC")).token_spans() == []


def test_types_that_a_set_does_not_annotate_are_neither_right_nor_wrong() -> None:
    gold = example("Rio by Duran Duran", Span(7, 18, "ORG"), types=("PER", "LOC", "ORG"))
    judged = gold.judged([Span(0, 1, "MISC"), Span(2, 4, "ORG")])
    assert judged.predicted == judged.gold == {Span(7, 18, "ORG")}


def test_types_that_a_set_does_not_annotate_are_left_open() -> None:
    tagset = TagSet()
    allowed = example("in Oslo", Span(3, 7, "LOC"), types=("LOC", "PER")).allowed(tagset)
    assert allowed is not None
    left = [[tag for tag, is_open in zip(tagset.tags, row, strict=True) if is_open] for row in allowed]
    assert left == [["O", "B-ORG", "I-ORG", "B-MISC", "I-MISC"], ["B-LOC"]]
    assert example("in Oslo").allowed(tagset) is None


@given(st.text(max_size=40), st.data())
def test_gold_on_tokens_comes_back_as_it_was(text: str, data: st.DataObject) -> None:
    tokens = tokenize(text)
    spans, at = [], 0
    while at < len(tokens) and data.draw(st.booleans()):
        start = data.draw(st.integers(at, len(tokens) - 1))
        end = start + 1
        while end < len(tokens) and not tokens.bounds[end] and data.draw(st.booleans()):
            end += 1
        spans.append(Span(tokens.starts[start], tokens.ends[end - 1], data.draw(st.sampled_from(["PER", "ORG"]))))
        at = end
    gold = example(text, *spans)
    on_tokens = gold.token_spans()
    assert gold.judged(on_tokens).predicted == gold.judged(()).gold
    assert np.all(np.diff([span.start for span in on_tokens]) > 0)


def test_fingerprint_and_hashes_know_texts_spans_and_types() -> None:
    posts = [example("in Oslo", Span(3, 7, "LOC"))]
    others = [example("in Oslo"), example("in oslo", Span(3, 7, "LOC"))]
    others.append(example("in Oslo", Span(3, 7, "LOC"), types=("LOC",)))
    assert len({fingerprint([one]) for one in (*posts, *others)}) == 4
    assert mention_hashes(posts) == mention_hashes([others[1]])
    assert mention_count(posts) == 1
