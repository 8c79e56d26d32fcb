import json
import logging

import pytest

from worker import logs

pytestmark = pytest.mark.usefixtures("logging_as_before")


def test_a_line_for_people_has_its_level_its_logger_and_its_message_and_goes_to_stderr(capsys):
    logs.configure("INFO", "text")
    logging.getLogger("worker.somewhere").info("three of %d", 5)
    written = capsys.readouterr()
    assert written.out == ""
    assert "INFO" in written.err
    assert "worker.somewhere: three of 5" in written.err


def test_a_json_line_is_one_object_even_with_a_traceback(capsys):
    logs.configure("INFO", "json")
    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("worker.somewhere").exception("it\nfailed")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("error", "worker.somewhere", "it\nfailed")
    assert "ValueError" in told["traceback"]


@pytest.mark.parametrize(("level", "told"), [("INFO", False), ("WARNING", False), ("DEBUG", True)])
def test_libraries_chatter_only_when_all_is_to_be_told(level, told):
    logs.configure(level, "text")
    assert logging.getLogger("faust.app").isEnabledFor(logging.INFO) == told
    assert logging.getLogger("aiokafka.consumer").isEnabledFor(logging.INFO) == told


def test_libraries_errors_are_told_at_every_level():
    logs.configure("ERROR", "text")
    assert logging.getLogger("aiokafka").isEnabledFor(logging.ERROR)
    assert not logging.getLogger("aiokafka").isEnabledFor(logging.WARNING)


def test_a_library_says_one_thing_once_in_ten_seconds_and_we_say_all(caplog):
    now = 100.0
    few = logs.FewRepeats(clock=lambda: now)

    def passes(name, message):
        return few.filter(logging.LogRecord(name, logging.ERROR, "", 0, message, (), None))

    assert passes("aiokafka.client", "no connection to %s")
    assert not passes("aiokafka.client", "no connection to %s")
    assert passes("aiokafka.client", "something else")
    assert passes("worker.app", "mine")
    assert passes("worker.app", "mine")
    now = 110.0
    assert passes("aiokafka.client", "no connection to %s")
