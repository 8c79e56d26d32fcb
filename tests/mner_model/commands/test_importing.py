"""`mner-model import` as people script it: JSON lines on stdout, everything else on stderr, whole files or none."""

import io
import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mner_model.cli import main
from mner_model.data.annotation_spans import LABEL_ALIASES

ROOT = Path(__file__).parents[3]
RECORDS = [
    {"id": 1, "text": "Ada met NASA", "label": [[0, 3, "PERSON"], [8, 12, "ORG"]], "Comments": []},
    {"id": 2, "text": "in Oslo today", "label": [[3, 7, "GPE"], [8, 13, "DATE"]], "Comments": []},
]
OSLO = '{"id": "2", "lang": "en", "text": "in Oslo today", "entities": [{"start": 3, "end": 7, "type": "LOC"}], '


@pytest.fixture
def export(tmp_path: Path) -> Path:
    file = tmp_path / "export.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return file


def run(*arguments: object, given: bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["import", *(str(argument) for argument in arguments)], input=given)
    return result.exit_code, result.stdout, result.stderr


def test_json_lines_go_to_stdout_and_what_was_met_to_stderr(export: Path) -> None:
    code, out, err = run(export, "--lang", "en", "--type", "DATE=")
    assert code == 0
    assert out.splitlines()[1] == f'{OSLO}"types": ["PER", "LOC", "ORG", "MISC"]}}'
    assert err.splitlines() == [
        f"{export}: read as doccano JSONL: 2 texts, 3 mentions (1 PER, 1 ORG, 1 LOC)",
        f"{export}: left out: 1 × label 'DATE' (first in line 2)",
        f"{export}: changed: 1 × label 'PERSON' to PER (first in line 1), 1 × label 'GPE' to LOC (first in line 2)",
        "no mention is MISC: if nobody looked for these, give --types PER,LOC,ORG",
    ]


def test_with_types_nothing_is_said_of_those_that_are_not_there(export: Path) -> None:
    code, out, err = run(export, "--lang", "en", "--type", "DATE=", "--types", "PER, ORG,LOC")
    assert (code, out.splitlines()[1]) == (0, f'{OSLO}"types": ["PER", "LOC", "ORG"]}}')
    assert "no mention is" not in err


def test_standard_input_and_several_files_are_read_in_their_order(export: Path) -> None:
    code, out, err = run(export, "-", "--lang", "en", "--type", "DATE=", given=b'{"text": "Rio", "entities": []}')
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["1", "2", "stdin-1"]
    assert (code, "stdin: read as spaCy-style JSON: 1 text, 0 mentions\n" in err) == (0, True)


@pytest.mark.parametrize("name", ["new/data.jsonl", "data.jsonl.xz"])
def test_a_file_is_written_as_a_whole_and_replaced(export: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    for _ in range(2):
        code, printed, err = run(export, "--lang", "en", "--type", "DATE=", "--out", out)
        assert (code, printed, err.splitlines()[-1]) == (0, "", f"wrote {out}: 2 texts")
        written = lzma.decompress(out.read_bytes()) if out.suffix == ".xz" else out.read_bytes()
        assert written.decode() == run(export, "--lang", "en", "--type", "DATE=")[1]


def test_what_was_written_can_be_read_again(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "data.jsonl.xz"
    run(export, "--lang", "en", "--type", "DATE=", "--out", out)
    code, again, _ = run(out)
    assert (code, again.encode()) == (0, lzma.decompress(out.read_bytes()))


def test_where_something_is_wrong_nothing_is_written(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "data.jsonl"
    out.write_text("before\n")
    code, printed, err = run(export, export, "--lang", "en", "--out", out)
    said = (
        f"mner-model: {export}:2: unknown label 'DATE', expected one of PER, LOC, ORG, MISC, "
        "or --type LABEL=TYPE for it (--type LABEL= leaves it out)\n"
    )
    assert (code, printed, err, out.read_text()) == (1, "", said, "before\n")
    assert run(export, "--lang", "en")[:2] == (1, "")


def test_an_option_for_a_label_that_nothing_has_is_pointed_out(export: Path) -> None:
    code, _, err = run(export, "--lang", "en", "--type", "DATE=", "--type", "DATES=MISC", "--type", "PERSON=PER")
    assert (code, err.splitlines()[-2]) == (0, "--type DATES: nothing has this label")


def test_a_label_may_have_an_equals_sign_in_it() -> None:
    record = b'{"text": "Rio", "entities": [[0, 3, "a=b"]]}'
    code, out, _ = run("-", "--lang", "en", "--type", "a=b=LOC", given=record)
    assert (code, json.loads(out)["entities"]) == (0, [{"start": 0, "end": 3, "type": "LOC"}])


def test_how_a_tool_counts_can_be_said() -> None:
    record = '{"text": "😀 Rio", "entities": [[3, 6, "LOC"]]}'.encode()
    code, out, _ = run("-", "--lang", "en", "--offsets", "utf-16", given=record)
    assert (code, json.loads(out)["entities"]) == (0, [{"start": 2, "end": 5, "type": "LOC"}])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lang", "German"], "--lang: expected a language's code, as de or pt-BR, got 'German'"),
        (["--types", "PER,GPE"], "--types: expected some of PER, LOC, ORG, MISC, with commas between, got 'GPE'"),
        (["--types", ""], "--types: expected some of PER, LOC, ORG, MISC, with commas between, got ''"),
        (["--type", "DATE"], "--type: expected LABEL=TYPE with one of PER, LOC, ORG, MISC, or LABEL=, got 'DATE'"),
        (
            ["--type", "DATE=TIME"],
            "--type: expected LABEL=TYPE with one of PER, LOC, ORG, MISC, or LABEL=, got 'DATE=T",
        ),
        (["--type", "=PER"], "--type: expected LABEL=TYPE"),
        (["--type", "DATE=", "--type", "DATE=PER"], "--type: expected one type for a label, got two for 'DATE'"),
        ([], "{file}:1: has no lang, expected one in each record, or --lang CODE for all of them"),
        (["--out", "{file}"], "--out {file}: is one of the files to read, expected another"),
        (["--out", "{file}/data"], "{file}/data: cannot be written: "),
    ],
)
def test_a_wrong_option_is_one_line(export: Path, options: list[str], said: str) -> None:
    code, out, err = run(export, *(option.format(file=export) for option in options))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"mner-model: {said.format(file=export)}")


def test_a_folder_and_a_missing_file_are_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path)[0] == run(tmp_path / "none")[0] == run()[0] == 2


def test_output_that_goes_to_a_full_disk_or_a_closed_pipe_is_no_traceback(export: Path) -> None:
    command = [sys.executable, "-m", "mner_model", "import", str(export), "--lang", "en", "--type", "DATE="]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "mner-model: standard output cannot be written: No space left on device"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, said)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert isinstance(started.stdout, io.BufferedReader)
        started.stdout.close()
        assert started.stderr is not None
        assert b"Traceback" not in started.stderr.read()
    assert started.returncode == 1


def test_the_page_shows_the_form_and_names_the_labels_that_need_no_option() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```json\n(.*\n)```$", page, re.MULTILINE)
    assert run("-", given=example.encode())[:2] == (0, example)
    assert [label for label in LABEL_ALIASES if label not in page] == []
