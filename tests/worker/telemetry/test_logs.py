import asyncio
import json
import logging

import pytest

from worker.telemetry import logs

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


@pytest.mark.parametrize("style", ["text", "json"])
def test_every_line_of_a_task_says_what_it_is_about_and_no_other_line_does(style, capsys):
    logs.configure("INFO", style)
    logger = logging.getLogger("worker.somewhere")

    async def task(window):
        logs.about.set({"window": window, "trace": ""})
        await asyncio.sleep(0)
        logger.info("at work")

    async def both():
        await asyncio.gather(task("1a"), task("2b"))
        logger.info("done")

    asyncio.run(both())
    first, second, last = capsys.readouterr().err.splitlines()
    if style == "json":
        assert [json.loads(line).get("window") for line in (first, second, last)] == ["1a", "2b", None]
        assert "trace" not in json.loads(first)
    else:
        assert (first.endswith("at work [window 1a]"), second.endswith("at work [window 2b]")) == (True, True)
        assert last.endswith("done")


def test_figures_are_fields_of_a_json_line(capsys):
    logs.configure("DEBUG", "json")
    logging.getLogger("worker.somewhere").debug("a window", extra={"figures": {"posts": 7, "seconds": 0.25}})
    told = json.loads(capsys.readouterr().err)
    assert (told["message"], told["posts"], told["seconds"]) == ("a window", 7, 0.25)


@pytest.mark.parametrize("library", ["aiokafka.conn", "PIL.PngImagePlugin", "urllib3.connectionpool", "any.other"])
def test_libraries_never_tell_all_for_they_would_tell_of_posts(library):
    logs.configure("DEBUG", "text")
    assert not logging.getLogger(library).isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize("name", ["worker.tagging.pipeline", "mner_model.imaging.decoding"])
def test_ours_tell_all_where_that_is_asked_for(name):
    logs.configure("DEBUG", "text")
    assert logging.getLogger(name).isEnabledFor(logging.DEBUG)
    logs.configure("WARNING", "text")
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)


@pytest.mark.parametrize(("level", "told"), [("INFO", False), ("WARNING", False), ("DEBUG", True)])
def test_libraries_chatter_only_when_all_is_to_be_told(level, told):
    logs.configure(level, "text")
    assert logging.getLogger("faust.app").isEnabledFor(logging.INFO) == told
    assert logging.getLogger("aiokafka.consumer").isEnabledFor(logging.INFO) == told


def test_libraries_errors_are_told_at_every_level():
    logs.configure("ERROR", "text")
    assert logging.getLogger("aiokafka").isEnabledFor(logging.ERROR)
    assert not logging.getLogger("aiokafka").isEnabledFor(logging.WARNING)


def test_a_collector_that_is_away_is_a_line_for_each_kind_of_complaint(capsys):
    logs.configure("INFO", "text")
    for _ in range(20):
        exporter = logging.getLogger("opentelemetry.exporter.otlp.common.http")
        for wait_s in (0.9, 2.1, 4.3):
            exporter.warning("Transient error %s encountered, retrying in %.2fs.", "x", wait_s)
        exporter.error("Failed to export span batch code: %s, reason: %s", None, "x")
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["WARNING", "ERROR"]


def test_what_mostly_passes_is_a_warning_first_and_an_error_when_it_lasts():
    logs.configure("INFO", "text")  # other tests leave levels of their own
    now = 100.0
    few = logs.FewRepeats(clock=lambda: now)

    def level():
        message = "Group Coordinator Request failed: %s"
        record = logging.LogRecord("aiokafka.consumer.group_coordinator", logging.ERROR, "", 0, message, ("x",), None)
        return record.levelname if few.filter(record) else None

    lasting = []
    for _ in range(5):
        lasting.append(level())
        now += 30
    assert lasting == ["WARNING", None, "ERROR", None, "ERROR"]
    now += 3600
    assert level() == "WARNING"


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_a_flood_of_a_librarys_complaints_is_one_line_at_every_level(level, capsys):
    logs.configure(level, "text")
    for topic in range(100):
        logging.getLogger("aiokafka.cluster").error("Topic %s not found in cluster metadata", topic)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_library_complains_of_one_thing_once_a_minute_and_we_say_all(caplog):
    now = 100.0
    few = logs.FewRepeats(clock=lambda: now)

    def passes(name, message, level=logging.ERROR):
        return few.filter(logging.LogRecord(name, level, "", 0, message, (), None))

    assert passes("aiokafka.client", "no connection to %s")
    assert not passes("aiokafka.client", "no connection to %s")
    assert passes("aiokafka.client", "something else")
    assert passes("worker.app", "mine")
    assert passes("worker.app", "mine")
    assert passes("aiokafka.consumer", "assigned %s", logging.INFO)
    assert passes("aiokafka.consumer", "assigned %s", logging.INFO)
    now = 160.0
    assert passes("aiokafka.client", "no connection to %s")


def test_what_happens_again_and_again_is_said_at_once_then_once_a_minute_with_a_count_and_when_it_ends(caplog):
    now = 100.0
    recurring = logs.Recurring(logging.getLogger("worker.somewhere"), "not done", clock=lambda: now)
    recurring.ended("done")
    for _ in range(30):
        recurring.happened("no answer")
        now += 5
    recurring.ended("done again")
    recurring.ended("done again")
    recurring.happened("no answer")
    assert caplog.messages == [
        "not done: no answer",
        "not done, 13 times by now: no answer",
        "not done, 25 times by now: no answer",
        "done again, after 30 times",
        "not done: no answer",
    ]
