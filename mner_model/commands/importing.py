"""`mner-model import`: what annotation tools export, as texts with spans."""

import lzma
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mner_model.commands.console import failures, say

if TYPE_CHECKING:
    from mner_model.data.annotation_exports import AnnotatedText, Export
    from mner_model.data.annotation_spans import Units


@click.command("import")
@click.option("--lang", metavar="CODE", help="Language of all texts, as de or pt-BR.  [default: each record's lang]")
@click.option(
    "--type",
    "label_options",
    multiple=True,
    metavar="LABEL=TYPE",
    help="Read LABEL as PER, LOC, ORG or MISC, or leave it out (LABEL=); repeatable.",
)
@click.option(
    "--types",
    "types_option",
    metavar="TYPES",
    default="PER,LOC,ORG,MISC",
    show_default=True,
    help="The types that people looked for in these texts.",
)
@click.option(
    "--offsets",
    type=click.Choice(["code-points", "utf-16"]),
    help="What the tool counts where there are emoji.  [default: as that tool does]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, FILE.jsonl or FILE.jsonl.xz.  [default: standard output]",
)
@click.argument(
    "files", metavar="FILE...", type=click.Path(exists=True, dir_okay=False, allow_dash=True), nargs=-1, required=True
)
def import_(
    lang: str | None,
    label_options: tuple[str, ...],
    types_option: str,
    offsets: "Units | None",
    out: Path | None,
    files: tuple[str, ...],
) -> None:
    """Make training data of what an annotation tool exports.

    FILE (- for standard input) is an export of Label Studio (JSON or JSON-MIN), doccano (JSONL) or Prodigy (JSONL), or
    JSON with text and entities; plain or .xz. Which one it is, is found by what is in it. A JSON object a line comes
    out, with offsets in code points:

    \b
      {"id": "7", "lang": "en", "text": "Oslo is calm",
       "entities": [{"start": 0, "end": 4, "type": "LOC"}], "types": ["PER", "LOC", "ORG", "MISC"]}

    PERSON, LOCATION, GPE, ORGANIZATION, OTHER and the like are read as what they mean. Any other label needs --type.
    What is left out or changed is counted on stderr. Where something is wrong, nothing is written.
    """
    from mner_model.config import ConfigError
    from mner_model.data.annotation_exports import ImportChoices, is_language, read_export
    from mner_model.data.lines import DataError
    from mner_model.files.saved_file import check_writable
    from mner_model.text.labels import ENTITY_TYPES

    with failures():
        if lang is not None and not is_language(lang):
            raise ConfigError(f"--lang: expected a language's code, as de or pt-BR, got {lang!r}")
        types, labels = _types(types_option), _labels(label_options)
        if out is not None:
            if out.exists() and any(file != "-" and out.samefile(file) for file in files):
                raise ConfigError(f"--out {out}: is one of the files to read, expected another")
            check_writable(out, DataError)
        choices = ImportChoices(lang, types, labels, offsets)
        named = [("stdin" if file == "-" else file, _content(file)) for file in files]
        exports = [read_export(content, name, choices) for name, content in named]
        for (name, _), export in zip(named, exports, strict=True):
            _say_read(name, export)
        texts = [text for export in exports for text in export.texts]
        for label in labels:
            if not any(label in export.findings.labels for export in exports):
                say(f"--type {label}: nothing has this label")
        if types == ENTITY_TYPES:
            _say_never_met(texts)
        if out is not None:
            _write(texts, out)
    if out is None:
        for text in texts:
            click.echo(text.line().encode())


def _types(option: str) -> tuple[str, ...]:
    from mner_model.config import ConfigError
    from mner_model.text.labels import ENTITY_TYPES

    said = [type_.strip() for type_ in option.split(",")]
    if unknown := [type_ for type_ in said if type_ not in ENTITY_TYPES]:
        raise ConfigError(
            f"--types: expected some of {', '.join(ENTITY_TYPES)}, with commas between, got {unknown[0]!r}"
        )
    return tuple(type_ for type_ in ENTITY_TYPES if type_ in said)


def _labels(options: Iterable[str]) -> dict[str, str | None]:
    """The type of each label; None for one that is left out."""
    from mner_model.config import ConfigError
    from mner_model.text.labels import ENTITY_TYPES

    labels: dict[str, str | None] = {}
    for option in options:
        label, equals, type_ = option.rpartition("=")  # a label may have an = in it, a type has none
        if not equals or not label or (type_ and type_ not in ENTITY_TYPES):
            expected = f"LABEL=TYPE with one of {', '.join(ENTITY_TYPES)}, or LABEL="
            raise ConfigError(f"--type: expected {expected}, got {option!r}")
        if labels.setdefault(label, type_ or None) != (type_ or None):
            raise ConfigError(f"--type: expected one type for a label, got two for {label!r}")
    return labels


def _content(file: str) -> bytes:
    from mner_model.data.lines import read_bytes

    return click.get_binary_stream("stdin").read() if file == "-" else read_bytes(Path(file))


def _write(texts: "Sequence[AnnotatedText]", out: Path) -> None:
    from mner_model.data.lines import DataError
    from mner_model.files.saved_file import saved_file

    lines = "".join(f"{text.line()}\n" for text in texts).encode()
    with saved_file(out, DataError) as draft:
        draft.write_bytes(lzma.compress(lines) if out.suffix == ".xz" else lines)
    say(f"wrote {out}: {_number(len(texts), 'text')}")


def _say_read(file: str, export: "Export") -> None:
    counts = Counter(entity.type for text in export.texts for entity in text.entities)
    by_type = f" ({', '.join(f'{count:,} {type_}' for type_, count in counts.most_common())})" if counts else ""
    counted = f"{_number(len(export.texts), 'text')}, {_number(counts.total(), 'mention')}"
    say(f"{file}: read as {export.form}: {counted}{by_type}")
    for what, tally in (("left out", export.findings.left_out), ("changed", export.findings.changed)):
        if told := tally.told():
            say(f"{file}: {what}: {told}")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _say_never_met(texts: "Sequence[AnnotatedText]") -> None:
    """A type that nobody looked for should not be learned as one that is never there."""
    annotated = {type_ for text in texts for type_ in text.types}
    met = {entity.type for text in texts for entity in text.entities}
    if met and (never := sorted(annotated - met)):
        looked_for = ",".join(type_ for type_ in ("PER", "LOC", "ORG", "MISC") if type_ in met)
        say(f"no mention is {' or '.join(never)}: if nobody looked for these, give --types {looked_for}")
