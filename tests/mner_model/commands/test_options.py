"""Help texts say what a newcomer cannot guess, and the same of the same option everywhere."""

import re
from collections.abc import Iterator

import click
import pytest

from mner_model.cli import main


def options(command: click.Command) -> Iterator[click.Option]:
    """Of a command and all below it."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from options(below)
    yield from (one for one in command.params if isinstance(one, click.Option))


def test_an_option_that_may_be_given_several_times_says_so() -> None:
    said = [(one.opts[0], one.help or "") for one in options(main) if one.multiple]
    assert [name for name, text in said if not re.search("repeatable|several", text)] == []


@pytest.mark.parametrize("name", ["--device", "--epochs", "--vectors", "--train", "--valid"])
def test_an_option_of_train_and_report_is_one_thing(name: str) -> None:
    [of_train], [of_report] = (
        [one for one in main.commands[command].params if name in one.opts] for command in ("train", "report")
    )
    assert of_train.to_info_dict() == of_report.to_info_dict()
