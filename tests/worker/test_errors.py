"""Each failure says what follows from it."""

import inspect

import pytest

from mner_model.posts.image_status import ImageStatus
from worker import errors
from worker.errors import DeadReason, ExitStatus, Fatal, ImageRefused, Rejected, SettingsRefused

GROUPS = (Rejected, ImageRefused, Fatal, SettingsRefused)
FAILURES = [member for _, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, Exception)]


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_belongs_to_exactly_one_group(failure: type[Exception]) -> None:
    assert sum(issubclass(failure, group) for group in GROUPS) == 1


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_has_its_sentence(failure: type[Exception]) -> None:
    assert (failure.__doc__ or "").splitlines()[0].endswith((".", "once."))


def test_a_refused_post_carries_its_reason_and_detail() -> None:
    rejected = Rejected(DeadReason.SCHEMA, "id: received 3, expected a string")
    assert (rejected.reason, rejected.detail) == ("schema", "id: received 3, expected a string")
    assert str(rejected) == "schema: id: received 3, expected a string"


def test_a_refused_image_carries_its_status_and_reason() -> None:
    refused = ImageRefused(ImageStatus.BLOCKED, "10.0.0.1 is not a public address")
    assert (refused.status, refused.reason) == ("blocked", "10.0.0.1 is not a public address")


def test_exit_statuses_are_those_people_script_against() -> None:
    assert [*ExitStatus] == [0, 1, 2, 70, 71, 78]
    assert Fatal.exit_status == 70
    assert SettingsRefused([]).exit_status == 78


def test_refused_settings_print_one_problem_a_line() -> None:
    assert str(SettingsRefused(["one", "two"])) == "one\ntwo"
