"""Exports of annotation tools as texts with spans, one JSON object a line: what `mner-model import` writes.

    {"id": "7", "lang": "en", "text": "Oslo is calm", "entities": [{"start": 0, "end": 4, "type": "LOC"}],
     "types": ["PER", "LOC", "ORG", "MISC"]}

Offsets count code points. `types` are those that the text is annotated with: where MISC is not among them, a name that
would be MISC is untagged, and that is no evidence against the tag.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mner_model.data.annotation_fields import GivenText
from mner_model.data.annotation_forms import form_of
from mner_model.data.annotation_records import Findings, Record, read_records, shown
from mner_model.data.annotation_spans import Entity, SpanRules, Units, entities_in
from mner_model.data.lines import DataError
from mner_model.text.labels import ENTITY_TYPES
from mner_model.text.languages import check_language


@dataclass(frozen=True)
class ImportChoices:
    """What the user of an import says.

    lang    of all texts; None: of each what stands beside it
    types   that are annotated; a record may name fewer
    labels  the type of a tool's label, None to leave it out
    offsets that the tool counts in; None: as that tool does
    """

    lang: str | None = None
    types: Sequence[str] = ENTITY_TYPES
    labels: Mapping[str, str | None] = field(default_factory=dict)
    offsets: Units | None = None


@dataclass(frozen=True)
class AnnotatedText:
    """A text with its mentions, in order and none over another; offsets in code points."""

    id: str
    lang: str
    text: str
    entities: tuple[Entity, ...]
    types: tuple[str, ...]

    def line(self) -> str:
        """Its JSON, without the end of the line."""
        entities = [entity._asdict() for entity in self.entities]
        about = {"id": self.id, "lang": self.lang, "text": self.text, "entities": entities, "types": self.types}
        return json.dumps(about, ensure_ascii=False)


@dataclass(frozen=True)
class Export:
    """What a file was read as, its texts, and what people should know of the reading."""

    form: str
    texts: list[AnnotatedText]
    findings: Findings


def is_language(code: object) -> bool:
    """Whether this is a language's code: de, pt-BR."""
    try:
        check_language(code)
    except ValueError:
        return False
    return True


def read_export(content: bytes, file: str, choices: ImportChoices) -> Export:
    """The annotated texts of an export, in their order; which tool's it is, is found by what is in it.

    content  of the file: JSON or JSON lines in UTF-8, or these in xz
    file     what errors name, and ids where records have none

    Raises DataError, with file and line (or task), where it is of no known form or of several, where a span or a label
    cannot be read (as `entities_in` has it), where a text has no language, and where no text is left.
    """
    records = read_records(content, file)
    form = form_of(records)
    rules = SpanRules(choices.labels, form.units if choices.offsets is None else (choices.offsets,))
    findings = Findings()
    texts: list[AnnotatedText] = []
    tasks: set[str] = set()
    for record in records:
        given = form.read(record, findings)
        if given is None or _is_left_out(given, tasks, findings):
            continue
        lang, types = _language(given, choices), _types(given, choices)
        entities = entities_in(given.text, given.spans, rules, types, record, findings)
        texts.append(AnnotatedText(given.id, lang, given.text, entities, types))
    if not texts:
        raise DataError(f"{file}: holds no annotated text, read as {form.name}: {findings.left_out.told()} left out")
    return Export(form.name, texts, findings)


def _is_left_out(given: GivenText, tasks: set[str], findings: Findings) -> bool:
    """Whether a text is blank, or its task has come before (then it is counted); remembers its task."""
    _check_signs(given.record, given.id, "id")
    _check_signs(given.record, given.text, "text")
    if not given.text.strip():
        findings.left_out.add("blank text", given.record)
        return True
    if given.task is not None and given.task in tasks:
        findings.left_out.add("annotation of a task that has one before it", given.record)
        return True
    if given.task is not None:
        tasks.add(given.task)
    return False


def _check_signs(record: Record, text: str, name: str) -> None:
    """JSON can name signs that no UTF-8 file of texts should hold."""
    if "\0" in text:
        raise record.error(f"{name}: holds a NUL, expected text")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise record.error(f"{name}: holds half of a surrogate pair, expected whole signs")


def _language(given: GivenText, choices: ImportChoices) -> str:
    lang = given.lang if choices.lang is None else choices.lang
    if lang is None:
        raise given.record.error("has no lang, expected one in each record, or --lang CODE for all of them")
    if not is_language(lang):
        raise given.record.error(f"lang: expected a language's code, as de or pt-BR, got {shown(lang)}")
    return str(lang)


def _types(given: GivenText, choices: ImportChoices) -> tuple[str, ...]:
    """The types that are annotated, in the order of ENTITY_TYPES."""
    own = choices.types if given.types is None else given.types
    if not isinstance(own, list | tuple) or not own or any(type_ not in ENTITY_TYPES for type_ in own):
        raise given.record.error(f"types: expected some of {', '.join(ENTITY_TYPES)}, got {shown(own)}")
    types = tuple(type_ for type_ in ENTITY_TYPES if type_ in own and type_ in choices.types)
    if not types:
        raise given.record.error(f"types: expected one of {', '.join(choices.types)}, got {', '.join(own)}")
    return types
