"""What tests of several modules need."""

import logging

import pytest

from worker.telemetry import logs


@pytest.fixture
def logging_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in (*logs.CHATTY, *logs.OURS)}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
