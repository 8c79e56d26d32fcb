"""The handbook names commands, settings, metrics and dead-letter reasons that there are, and leaves none out."""

import re
import sys
from pathlib import Path

import click
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here

from exposed_metrics import exposed_labels

from worker import cli
from worker.errors import DeadReason, ExitStatus
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_its_settings_are_settings():
    named = set(re.findall(r"\bMNER_([A-Z][A-Z_]+)\b", PAGE))
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_its_metrics_and_their_label_values_are_the_workers():
    exposed = exposed_labels()
    for name, matchers in re.findall(r"\b((?:mner|process)_\w+)(?:\{([^}]*)\})?", PAGE):
        assert name in exposed or f"{name}_sum" in exposed
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
            assert value in exposed[name][label]


def options_of(words: list[str]) -> set[str]:
    """All options of the command that these words begin with; fails where there is no such command."""
    command: click.Command = cli.main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    return {option for parameter in command.params for option in parameter.opts}


COMMANDS = sorted(
    set(re.findall(r"^mner-worker (.*?)(?:  |$)", PAGE, re.MULTILINE) + re.findall(r"`mner-worker (.*?)`", PAGE))
)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_are_the_workers(line):
    if line == "…":
        return
    words = line.split()
    given = {word for word in words if word.startswith("--")}
    assert given <= options_of([word for word in words if not word.startswith("--")])


def test_there_are_commands_in_it():
    assert len(COMMANDS) > 5


def test_it_tells_of_every_reason_and_of_every_exit_status_of_a_worker():
    for reason in DeadReason:
        assert f"`{reason.value}`" in PAGE
    for status in (
        ExitStatus.DONE,
        ExitStatus.STOPPED_UNACKNOWLEDGED,
        ExitStatus.DRAIN_OVERDUE,
        ExitStatus.SETTINGS_REFUSED,
    ):
        assert re.search(rf"^\| {int(status)} \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)", PAGE))))
def test_its_links_lead_somewhere(target):
    assert (ROOT / "docs" / target).exists()


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([^)]+)\)", PAGE))))
def test_its_links_within_lead_to_a_heading(anchor):
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
