"""Posts as raw text with spans: JSON lines, plain or compressed with xz.

A line is {"id", "lang", "text", "entities": [{"start", "end", "type"}], "types": [...]}. Offsets count code points of
the text, the end is exclusive. `types` are those that were looked for; where they are not named, all are meant.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from mner_model.data.examples import SpanExample
from mner_model.data.lines import DataError, read_lines
from mner_model.text.labels import ENTITY_TYPES, Span
from mner_model.text.languages import check_language
from mner_model.text.tokenizer import tokenize

_MENTION = '{"start": 0, "end": 4, "type": "LOC"}'
_FORM = '{"text": …, "entities": [{"start": 0, "end": 4, "type": "LOC"}], "lang": "en"}'


def read_spans(path: str | Path) -> list[SpanExample]:
    """Reads one file of JSON lines; blank lines are left out.

    Raises DataError with file, line, value and what was expected: for a line that is no such object, a span that leaves
    its text, is empty or lies over another, and a type or a language that is not known; with the file for one that has
    no post.
    """
    path = Path(path)
    examples = [_example(f"{path}:{number}", line) for number, line in _numbered(path)]
    if not examples:
        raise DataError(f"{path}: holds no post, expected lines such as {_FORM}")
    if not any(len(example.tokens) for example in examples):
        raise DataError(f"{path}: holds no word, all texts are blank")
    return examples


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(read_lines(path), start=1) if line.strip())


def _example(where: str, line: str) -> SpanExample:
    try:
        post = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected a line such as {_FORM}, got {line[:60]!r}: {error}") from None
    if not isinstance(post, dict) or not isinstance(post.get("text"), str):
        raise DataError(f"{where}: expected a line such as {_FORM}, got {line[:60]!r}")
    text = post["text"]
    types = _types(where, post.get("types"))
    lang = post.get("lang")
    if lang is not None:
        try:
            check_language(lang)
        except ValueError as error:
            raise DataError(f"{where}: lang: {error}") from None
    return SpanExample(text, tokenize(text), lang=lang, types=types, spans=_spans(where, post, types))


def _types(where: str, named: object) -> tuple[str, ...]:
    if named is None:
        return ENTITY_TYPES
    if not isinstance(named, list) or not named:
        raise DataError(f"{where}: types: expected a list of those that were looked for, got {named!r}")
    for type_ in named:
        _check_type(f"{where}: types", type_)
    return tuple(type_ for type_ in ENTITY_TYPES if type_ in named)


def _check_type(where: str, type_: object) -> None:
    if type_ not in ENTITY_TYPES:
        raise DataError(f"{where}: unknown type {type_!r}, expected one of {', '.join(ENTITY_TYPES)}")


def _spans(where: str, post: Mapping[str, Any], types: tuple[str, ...]) -> tuple[Span, ...]:
    entities = post.get("entities", [])
    if not isinstance(entities, list):
        raise DataError(f"{where}: entities: expected a list, got {entities!r:.60}")
    spans = sorted(_span(where, entity, len(post["text"]), types) for entity in entities)
    for before, span in pairwise(spans):
        if span.start < before.end:
            raise DataError(
                f"{where}: expected mentions of which none lies over another, got {before.type} {before.start} to "
                f"{before.end} and {span.type} {span.start} to {span.end}"
            )
    return tuple(spans)


def _span(where: str, entity: object, length: int, types: tuple[str, ...]) -> Span:
    if not isinstance(entity, dict):
        raise DataError(
            f'{where}: expected a mention such as {{"start": 0, "end": 4, "type": "LOC"}}, got {entity!r:.60}'
        )
    start, end, type_ = (entity.get(name) for name in ("start", "end", "type"))
    _check_type(where, type_)
    if type_ not in types:
        raise DataError(f"{where}: a mention of the type {type_}, expected one of `types`: {', '.join(types)}")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= length:
        raise DataError(
            f"{where}: a mention from {start!r} to {end!r}, expected 0 ≤ start < end ≤ {length}, the text's code points"
        )
    return Span(start, end, str(type_))
