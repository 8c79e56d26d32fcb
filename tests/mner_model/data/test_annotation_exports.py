import json
import lzma
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mner_model.data.annotation_exports import Export, ImportChoices, read_export
from mner_model.data.lines import DataError
from mner_model.text.labels import ENTITY_TYPES

SHARED = Path(__file__).parents[4] / "shared" / "data" / "ner"
TEXT = "Ada met NASA in Oslo"
MENTIONS = [(0, 3, "PER"), (8, 12, "ORG"), (16, 20, "LOC")]
ENGLISH = ImportChoices("en")

DOCCANO = {"id": 7, "text": TEXT, "label": [[16, 20, "LOC"], [0, 3, "PER"], [8, 12, "ORG"]], "Comments": []}
DOCCANO_BEFORE = {"id": 7, "text": TEXT, "labels": [[0, 3, "PER"], [8, 12, "ORG"], [16, 20, "LOC"]]}
DOCCANO_RELATIONS = {
    "id": 7,
    "text": TEXT,
    "relations": [{"id": 1, "from_id": 1, "to_id": 2, "type": "works for"}],
    "entities": [
        {"id": number, "label": type_, "start_offset": start, "end_offset": end}
        for number, (start, end, type_) in enumerate(MENTIONS)
    ],
}
PRODIGY = {
    "text": TEXT,
    "_input_hash": -1,
    "_task_hash": 2,
    "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0}],
    "spans": [
        {"start": start, "end": end, "token_start": 0, "token_end": 0, "label": type_} for start, end, type_ in MENTIONS
    ],
    "answer": "accept",
}
SPACY = {"text": TEXT, "entities": [[start, end, type_] for start, end, type_ in MENTIONS]}
SPACY_OBJECTS = {
    "text": TEXT,
    "entities": [{"start": start, "end": end, "label": type_} for start, end, type_ in MENTIONS],
}
OWN = {
    "id": "a",
    "lang": "de",
    "text": TEXT,
    "entities": [{"start": start, "end": end, "type": type_} for start, end, type_ in MENTIONS],
    "types": ["PER", "LOC", "ORG"],
}
FORMS = {
    "doccano JSONL": [DOCCANO, DOCCANO_BEFORE, DOCCANO_RELATIONS],
    "Prodigy JSONL": [PRODIGY],
    "spaCy-style JSON": [SPACY, SPACY_OBJECTS],
    "mner-model JSON lines": [OWN],
}


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def read(*records: object, choices: ImportChoices = ENGLISH) -> Export:
    return read_export(lines(*records), "a.jsonl", choices)


def mentions(export: Export) -> list[list[tuple[int, int, str]]]:
    return [[tuple(entity) for entity in text.entities] for text in export.texts]


def with_spans(*spans: tuple[int, int, object], text: str = TEXT) -> dict[str, Any]:
    return {"text": text, "entities": [list(span) for span in spans]}


@pytest.mark.parametrize(("form", "record"), [(form, record) for form, records in FORMS.items() for record in records])
def test_each_form_is_recognised_and_read(form: str, record: dict[str, Any]) -> None:
    export = read(record)
    assert (export.form, mentions(export)) == (form, [MENTIONS])
    assert (export.texts[0].text, export.texts[0].lang) == (TEXT, "en")
    assert (export.findings.left_out.told(), export.findings.changed.told()) == ("", "")


def test_a_line_has_the_form_of_the_data_sets() -> None:
    [text] = read(DOCCANO).texts
    assert text.line() == (
        '{"id": "7", "lang": "en", "text": "Ada met NASA in Oslo", "entities": [{"start": 0, "end": 3, "type": "PER"}, '
        '{"start": 8, "end": 12, "type": "ORG"}, {"start": 16, "end": 20, "type": "LOC"}], '
        '"types": ["PER", "LOC", "ORG", "MISC"]}'
    )


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets lie beside the checkout, and are not there")
@pytest.mark.parametrize("name", ["en_btc.valid", "zh_weibo.valid", "ja_wiki.valid"])
def test_data_sets_go_through_as_they_are(name: str) -> None:
    content = (SHARED / f"{name}.jsonl.xz").read_bytes()
    export = read_export(content, name, ImportChoices())
    assert "".join(f"{text.line()}\n" for text in export.texts).encode() == lzma.decompress(content)


def test_of_our_own_form_types_and_language_stay() -> None:
    [text] = read(OWN, choices=ImportChoices()).texts
    assert (text.id, text.lang, text.types) == ("a", "de", ("PER", "LOC", "ORG"))


def test_what_is_imported_is_imported_again_as_it_is() -> None:
    first = read(DOCCANO, PRODIGY | {"label": [[0, 3, "PER"]]})
    again = read_export("\n".join(text.line() for text in first.texts).encode(), "b.jsonl", ImportChoices())
    assert again.texts == first.texts


# Property: every text with every mentions in it comes back from every form.

Mentions = Sequence[tuple[int, int, str]]
SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("😀🇳🇴 é\u0301\u200d\n")
MENTION = st.tuples(
    st.text(SIGNS, max_size=5),
    st.text(SIGNS, min_size=1, max_size=6).map(lambda surface: surface.strip() or "x"),
    st.sampled_from(ENTITY_TYPES),
)


@st.composite
def annotated(draw: st.DrawFn) -> tuple[str, Mentions]:
    text, found = "", []
    for between, surface, type_ in draw(st.lists(MENTION, max_size=5)):
        start = len(text) + len(between)
        text += between + surface
        found.append((start, start + len(surface), type_))
    text += draw(st.text(SIGNS, max_size=5))
    assume(text.strip())
    return text, found


def in_utf_16(text: str, found: Mentions) -> Mentions:
    at = list(accumulate((len(sign.encode("utf-16-le")) // 2 for sign in text), initial=0))
    return [(at[start], at[end], type_) for start, end, type_ in found]


def as_label_studio(text: str, found: Mentions, surfaces: Sequence[str]) -> object:
    results = [
        {
            "value": {"start": start, "end": end, "text": surface, "labels": [type_]},
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
        }
        for (start, end, type_), surface in zip(found, surfaces, strict=True)
    ]
    return {"id": 1, "data": {"text": text}, "annotations": [{"result": results, "was_cancelled": False}]}


def as_label_studio_min(text: str, found: Mentions, surfaces: Sequence[str]) -> object:
    label = [
        {"start": start, "end": end, "text": surface, "labels": [type_]}
        for (start, end, type_), surface in zip(found, surfaces, strict=True)
    ]
    return {"text": text, "id": 1, "annotation_id": 2, "annotator": 1} | ({"label": label} if label else {})


def as_doccano(text: str, found: Mentions, surfaces: Sequence[str]) -> object:
    return {"id": 1, "text": text, "label": [list(span) for span in found], "Comments": []}


def as_doccano_relations(text: str, found: Mentions, surfaces: Sequence[str]) -> object:
    entities = [{"start_offset": start, "end_offset": end, "label": type_} for start, end, type_ in found]
    return {"id": 1, "text": text, "entities": entities, "relations": []}


def as_prodigy(text: str, found: Mentions, surfaces: Sequence[str]) -> object:
    spans = [{"start": start, "end": end, "label": type_} for start, end, type_ in found]
    return {"text": text, "spans": spans, "answer": "accept"}


def as_spacy(text: str, found: Mentions, surfaces: Sequence[str]) -> object:
    return {"text": text, "entities": [list(span) for span in found]}


def as_own(text: str, found: Mentions, surfaces: Sequence[str]) -> object:
    entities = [{"start": start, "end": end, "type": type_} for start, end, type_ in found]
    return {"id": "1", "lang": "en", "text": text, "entities": entities, "types": ENTITY_TYPES}


WRITERS: list[tuple[Callable[[str, Mentions, Sequence[str]], object], str]] = [
    (as_label_studio, "code-points"),
    (as_label_studio, "utf-16"),
    (as_label_studio_min, "code-points"),
    (as_label_studio_min, "utf-16"),
    (as_doccano, "utf-16"),
    (as_doccano_relations, "utf-16"),
    (as_prodigy, "code-points"),
    (as_spacy, "code-points"),
    (as_own, "code-points"),
]


@pytest.mark.parametrize(("write", "units"), WRITERS)
@given(example=annotated())
def test_the_mentions_of_any_text_come_back(
    write: Callable[[str, Mentions, Sequence[str]], object], units: str, example: tuple[str, Mentions]
) -> None:
    text, found = example
    surfaces = [text[start:end] for start, end, _ in found]
    record = write(text, in_utf_16(text, found) if units == "utf-16" else found, surfaces)
    # by itself Label Studio is read in code points where its spans' texts agree with both
    is_old = units == "utf-16" and write in (as_label_studio, as_label_studio_min)
    export = read(record, choices=ImportChoices("en", offsets="utf-16") if is_old else ENGLISH)
    assert [read_text.text for read_text in export.texts] == [text]
    assert mentions(export) == [list(found)]


@pytest.mark.parametrize("write", [as_label_studio, as_label_studio_min])
@given(example=annotated())
def test_the_texts_of_spans_tell_how_their_tool_counts(
    write: Callable[[str, Mentions, Sequence[str]], object], example: tuple[str, Mentions]
) -> None:
    text, found = example
    surfaces = [text[start:end] for start, end, _ in found]
    assume(not any("".join(surface.split()) == "" or "\\n" in surface for surface in surfaces))
    [[*entities]] = mentions(read(write(text, in_utf_16(text, found), surfaces)))
    assert ["".join(text[start:end].split()) for start, end, _ in entities] == ["".join(s.split()) for s in surfaces]


def test_doccano_counts_utf_16_units_unless_told_otherwise() -> None:
    record = {"text": "😀 Ada", "label": [[3, 6, "PER"]]}
    export = read(record)
    assert mentions(export) == [[(2, 5, "PER")]]
    assert export.findings.changed.told() == "1 × text with offsets in UTF-16 units, to code points (first in line 1)"
    of_old_version = {"text": "😀 Ada", "label": [[2, 5, "PER"]]}
    assert mentions(read(of_old_version, choices=ImportChoices("en", offsets="code-points"))) == [[(2, 5, "PER")]]


# What is left out, changed and made up.


def test_of_prodigy_only_what_was_accepted_is_taken_and_once() -> None:
    records = [
        PRODIGY,
        PRODIGY | {"_session_id": "another"},
        PRODIGY | {"answer": "reject", "_input_hash": 2},
        PRODIGY | {"answer": "ignore", "_input_hash": 3},
        {"text": "nothing in it", "_input_hash": 4, "answer": "accept"},
        {"text": "nobody looked at it", "_input_hash": 5},
    ]
    export = read(*records)
    assert [text.text for text in export.texts] == [TEXT, "nothing in it"]
    assert export.findings.left_out.told() == (
        "1 × annotation of a task that has one before it (first in line 2), 1 × answer reject (first in line 3), "
        "1 × answer ignore (first in line 4), 1 × text without annotation (first in line 6)"
    )


def test_white_space_at_the_ends_of_a_span_is_cut_off_and_counted() -> None:
    export = read(with_spans((0, 4, "PER"), (7, 13, "ORG"), text="Ada\u00a0met NASA\n"))
    assert mentions(export) == [[(0, 3, "PER"), (8, 12, "ORG")]]
    assert export.findings.changed.told() == "2 × white space at the ends of a span, cut off (first in line 1)"


@pytest.mark.parametrize(
    ("label", "type_"),
    [
        ("PER", "PER"),
        ("PERSON", "PER"),
        ("Pers", "PER"),
        ("location", "LOC"),
        ("GPE", "LOC"),
        ("Organization", "ORG"),
        ("organisation", "ORG"),
        ("OTHER", "MISC"),
        ("Miscellaneous", "MISC"),
        ("loc", "LOC"),
    ],
)
def test_well_known_labels_are_read_as_what_they_mean_and_told(label: str, type_: str) -> None:
    export = read(with_spans((0, 3, label)))
    assert mentions(export) == [[(0, 3, type_)]]
    told = f"1 × label {label!r} to {type_} (first in line 1)"
    assert export.findings.changed.told() == ("" if label == type_ else told)


def test_labels_are_read_as_the_user_says_or_left_out() -> None:
    choices = ImportChoices("en", labels={"Star": "PER", "DATE": None, "GPE": "MISC"})
    export = read(with_spans((0, 3, "Star"), (0, 7, "DATE"), (16, 20, "GPE")), choices=choices)
    assert mentions(export) == [[(0, 3, "PER"), (16, 20, "MISC")]]
    assert export.findings.left_out.told() == "1 × label 'DATE' (first in line 1)"
    assert export.findings.labels == {"Star", "DATE", "GPE"}


def test_a_span_that_comes_twice_counts_once() -> None:
    export = read(with_spans((0, 3, "PER"), (0, 3, "PERSON")))
    assert mentions(export) == [[(0, 3, "PER")]]
    assert export.findings.left_out.told() == "1 × span that comes twice (first in line 1)"


def test_a_blank_text_is_left_out() -> None:
    export = read(SPACY, {"text": " \n", "entities": []})
    assert (len(export.texts), export.findings.left_out.told()) == (1, "1 × blank text (first in line 2)")


def test_a_record_without_an_id_gets_one_of_its_place() -> None:
    export = read_export(b"\n" + lines(SPACY, SPACY | {"id": 0}, SPACY), "data/a.b.jsonl.xz", ENGLISH)
    assert [text.id for text in export.texts] == ["a-2", "0", "a-4"]


def test_a_language_beside_the_text_is_taken_unless_the_user_says_one() -> None:
    assert [text.lang for text in read(SPACY | {"lang": "pt-BR"}, choices=ImportChoices()).texts] == ["pt-BR"]
    assert [text.lang for text in read(SPACY | {"lang": "pt-BR"}).texts] == ["en"]


def test_the_user_may_name_fewer_types() -> None:
    few = ImportChoices("en", types=("PER", "LOC", "ORG"))
    assert read(SPACY, choices=few).texts[0].types == ("PER", "LOC", "ORG")
    assert read(OWN | {"types": ["MISC", "ORG", "PER", "LOC"]}, choices=few).texts[0].types == ("PER", "LOC", "ORG")


# How records may lie in a file.


@pytest.mark.parametrize(
    "content",
    [
        lines(SPACY, SPACY),
        b"\xef\xbb\xbf" + lines(SPACY, SPACY).replace(b"\n", b"\r\n\r\n"),
        json.dumps([SPACY, SPACY]).encode(),
        json.dumps([SPACY, SPACY], indent=2).encode(),
        lzma.compress(lines(SPACY, SPACY)),
    ],
    ids=["lines", "blank lines, CRLF, byte-order mark", "list", "list over lines", "xz"],
)
def test_records_may_lie_in_lines_or_in_a_list(content: bytes) -> None:
    assert mentions(read_export(content, "a", ENGLISH)) == [MENTIONS, MENTIONS]


def test_a_single_record_may_lie_over_several_lines() -> None:
    assert mentions(read_export(json.dumps(SPACY, indent=2).encode(), "a", ENGLISH)) == [MENTIONS]


def test_signs_that_end_lines_elsewhere_end_none_here() -> None:
    text = "one\u2028two\u0085three\u000b"
    assert [one.text for one in read(with_spans((0, 3, "PER"), text=text)).texts] == [text]


@pytest.mark.parametrize(
    "records",
    [
        [{"text": "a", "label": []}, {"text": "b", "label": []}],
        [{"text": "a", "entities": []}],
        [{"text": "a", "entities": [], "types": ["PER"]}],
    ],
)
def test_a_file_may_have_no_mention_at_all(records: list[dict[str, Any]]) -> None:
    assert mentions(read(*records)) == [[] for _ in records]


# What is refused.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.jsonl: is empty, expected a JSON object a line"),
        (b" \n\n", r"a\.jsonl: is empty"),
        (b"[]", r"a\.jsonl: is an empty list"),
        (b"Ada\tB-PER\n", r"a\.jsonl:1: is no JSON \(Expecting value\), expected .*, got 'Ada\\tB-PER'"),
        (lines(SPACY) + b'{"text": \n', r"a\.jsonl:2: is no JSON"),
        (lines(SPACY) + b"7\n", r"a\.jsonl:2: expected a JSON object a line, .* got '7'"),
        (b'[\n{"text": "a"},\n{"text": ]\n', r"a\.jsonl:3: is no JSON \(Expecting value\), .* got '\{\"text\": \]'"),
        (b"[1]", r"a\.jsonl: task 1: expected a JSON object a line, .* got 1"),
        (b'{"a": ' + b"[" * 100_000, r"a\.jsonl:1: is nested too deeply"),
        (b'{"a": ' + b"1" * 5_000 + b"}", r"a\.jsonl:1: has a number that is too long"),
        (lines(SPACY) + b'{"text": "\xff"}', r"a\.jsonl:2: byte 0xff is not UTF-8"),
        (lines(SPACY) + b'{"text": "\0"}', r"a\.jsonl:2: holds a NUL byte"),
        ('{"text": "é"}'.encode("utf-16"), r"a\.jsonl:1: (byte 0xff is not UTF-8|holds a NUL byte)"),
        (lzma.compress(lines(SPACY))[:-9], r"a\.jsonl: damaged: "),
        (
            lines({"text": "a", "sentence": "b"}),
            r"a\.jsonl:1: not recognised: expected .*, got the fields 'text, sentence'",
        ),
        (lines({"tokens": [], "ner_tags": []}), r"a\.jsonl:1: not recognised"),
        (lines(SPACY, PRODIGY), r"a\.jsonl:2: is of Prodigy JSONL, expected spaCy-style JSON as the records before it"),
    ],
)
def test_a_file_that_is_no_export_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        read_export(content, "a.jsonl", ENGLISH)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (with_spans((4, 4, "PER")), "span 4–4 is empty, expected an end behind its start"),
        (with_spans((7, 4, "PER")), "span 7–4 is empty"),
        (with_spans((16, 21, "LOC")), "span 16–21 lies outside the text, expected offsets from 0 to 20"),
        (with_spans((-4, 3, "LOC")), "span -4–3 lies outside the text"),
        (with_spans((3, 4, "PER")), "span 3–4 holds only white space, expected a mention"),
        (
            with_spans((0, 7, "PER"), (4, 12, "ORG")),
            r"spans 0–7 \(PER 'Ada met'\) and 4–12 \(ORG 'met NASA'\) overlap, expected each sign in one span at most",
        ),
        (with_spans((0, 3, "PER"), (0, 3, "ORG")), "spans 0–3 .* and 0–3 .* overlap"),
        (with_spans((0, 20, "PER"), (8, 12, "ORG"), (13, 15, "LOC")), r"spans 0–20 \(PER .* and 8–12 .* overlap"),
        (with_spans((0, 3, "DATE")), "unknown label 'DATE', expected one of PER, LOC, ORG, MISC, or --type LABEL=TYPE"),
        (with_spans((0, 3, 7)), "unknown label 7, expected"),
        (with_spans((0, 3, None)), "unknown label None, expected"),
        (with_spans((0.0, 3, "PER")), r"entities: expected whole numbers as a span's start and end, got \[0\.0, 3\]"),
        (with_spans((False, True, "PER")), "entities: expected whole numbers"),
        ({"text": TEXT, "entities": [[0, 3]]}, r"entities: expected a span's start, end and label, got \[0, 3\]"),
        ({"text": TEXT, "label": ["positive"]}, "label: expected a span's start, end and label, got 'positive'"),
        ({"text": TEXT, "Comments": []}, "expected a field label or labels or entities, got 'text, Comments'"),
        ({"text": TEXT, "spans": {}, "answer": "accept"}, r"spans: expected a list of spans, got \{\}"),
        ({"text": TEXT, "spans": [], "answer": "yes"}, "answer: expected one of accept, reject, ignore, got 'yes'"),
        ({"entities": [[0, 3, "PER"]]}, "expected a field text, got 'entities'"),
        (SPACY | {"text": None}, "text: expected a text, got None"),
        (SPACY | {"text": TEXT + "\0"}, "text: holds a NUL, expected text"),
        (SPACY | {"text": TEXT + "\ud83d"}, "text: holds half of a surrogate pair, expected whole signs"),
        (SPACY | {"id": [1]}, r"id: expected a text or a number, got \[1\]"),
        (SPACY | {"id": ""}, "id: expected a text or a number, got ''"),
        (OWN | {"types": ["PER", "LOC"]}, "label 'ORG' is ORG, expected one of PER, LOC, the types that are annotated"),
        (OWN | {"types": ["PERSON"]}, r"types: expected some of PER, LOC, ORG, MISC, got \['PERSON'\]"),
        (OWN | {"types": "PER"}, "types: expected some of PER, LOC, ORG, MISC, got 'PER'"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_with_its_place(record: dict[str, Any], message: str) -> None:
    ascii_lines = f"\n{json.dumps(record)}\n".encode()
    with pytest.raises(DataError, match=rf"^a\.jsonl:2: {message}"):
        read_export(ascii_lines, "a.jsonl", ENGLISH)


def test_an_offset_inside_an_emoji_is_refused_with_what_it_was_counted_in() -> None:
    message = r"span 1–5 begins or ends inside a sign, .* \(counted in utf-16; --offsets sets that\)"
    with pytest.raises(DataError, match=message):
        read({"text": "😀 Ada", "label": [[1, 5, "PER"]]})


@pytest.mark.parametrize(
    ("record", "choices", "message"),
    [
        (SPACY, ImportChoices(), "has no lang, expected one in each record, or --lang CODE"),
        (
            SPACY | {"lang": "English"},
            ImportChoices(),
            "lang: expected a language's code, as de or pt-BR, got 'English'",
        ),
        (SPACY | {"lang": 1}, ImportChoices(), "lang: expected a language's code"),
        (SPACY, ImportChoices("en", types=("PER",)), "label 'ORG' is ORG, expected one of PER, the types"),
        (OWN, ImportChoices(types=("MISC",)), "types: expected one of MISC, got PER, LOC, ORG"),
    ],
)
def test_what_the_user_says_must_fit_the_records(record: dict[str, Any], choices: ImportChoices, message: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.jsonl:1: {message}"):
        read(record, choices=choices)


def test_a_place_in_a_list_is_named_with_its_id() -> None:
    content = json.dumps([SPACY, with_spans((0, 99, "PER")) | {"id": 17}]).encode()
    with pytest.raises(DataError, match=r"^a\.json: task 2 \(id 17\): span 0–99 lies outside the text"):
        read_export(content, "a.json", ENGLISH)


def test_a_file_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"holds no annotated text, read as Prodigy JSONL: 1 × answer reject .* left out"
    ):
        read(PRODIGY | {"answer": "reject"})


NAMES = (
    "id text data label labels entities spans answer annotations result value start end type types lang annotation_id "
    "was_cancelled _input_hash start_offset"
).split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@given(JSON)
@example([{}, {"data": {}}])
def test_whatever_the_json_is_it_is_read_or_refused_in_one_line(value: object) -> None:
    try:
        texts = read_export(json.dumps(value).encode(), "a.json", ENGLISH).texts
    except DataError as error:
        said = str(error)
    else:
        said = "a.json"
        assert all(first.end <= second.start for text in texts for first, second in pairwise(text.entities))
    assert (said.startswith("a.json"), "\n" in said) == (True, False)
