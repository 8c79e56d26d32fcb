"""A whole worker process with a stand-in for the model: everything else is the real thing.

Environment: the worker's own MNER_…; STUB_SECONDS, how long a batch takes (0); STUB_GATE, a file that holds every batch
for as long as it is there; STUB_STUMBLES_OVER, the id of a post that nobody foresaw; STUB_CLOCKS, times of the worker
that are to be others, as in `worker.app.LEAVE_TIMEOUT_S=1 worker.delivery.delivery.COMMIT_INTERVAL_S=2`.
"""

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mner_model.posts.image_status import ImageStatus
from worker import app
from worker.errors import DeadReason, Rejected
from worker.messages.records import ConsumedRecord, Outcome, tombstone
from worker.messages.wire import (
    EntityRecord,
    ImageReport,
    ModelReport,
    dead_letter,
    decode_post,
    from_milliseconds,
    record_message,
)
from worker.settings import Settings
from worker.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

MODEL = ModelReport(name="stub", fingerprint="0" * 64)
NO_IMAGE = ImageReport(status=ImageStatus.ABSENT)


class StubPipeline:
    """Answers every post with a record of no entities."""

    is_crowded = False

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._seconds = float(os.environ.get("STUB_SECONDS", "0"))
        self._gate = Path(os.environ.get("STUB_GATE", os.devnull + "/none"))

    async def start(self) -> None:
        """There is nothing to load."""

    async def answers(self, records: Sequence[ConsumedRecord]) -> AsyncGenerator[list[Outcome], None]:
        """As the real one, and as slow as told."""
        await asyncio.sleep(self._seconds)
        while self._gate.exists():  # noqa: ASYNC110 - it is opened from another process
            await asyncio.sleep(0.02)
        yield [self._outcome(record) for record in records]

    async def reload(self) -> None:
        """There is nothing to load again; the log tells that it was asked."""
        logger.info("reloaded")

    async def close(self) -> None:
        """There is nothing to end."""

    def _outcome(self, record: ConsumedRecord) -> Outcome:
        try:
            if record.value is None:
                return Outcome(record, (tombstone(record, self._settings.entities_topic),), "deleted")
            post = decode_post(record.key, record.value)
            if post.id == os.environ.get("STUB_STUMBLES_OVER"):
                raise RuntimeError(f"nobody foresaw {post.id}")
        except Rejected as rejected:
            return self._dead(record, rejected.reason, rejected.detail)
        answer = EntityRecord(
            schema=1,
            post_id=post.id,
            text=post.text,
            entities=(),
            image=NO_IMAGE,
            model=MODEL,
            created_at=from_milliseconds(record.timestamp),
            tagged_at=datetime.now(UTC),
        )
        return Outcome(record, (record_message(answer, self._settings.entities_topic),), "tagged")

    def _dead(self, record: ConsumedRecord, reason: DeadReason, detail: str) -> Outcome:
        topic = self._settings.dead_topic
        letter = dead_letter(record, reason, detail, topic=topic, attempts=1, failed_at=datetime.now(UTC))
        return Outcome(record, (letter,), "dead")


def turn_clocks(clocks: str) -> None:
    """So that a test need not wait for what takes half a minute."""
    for clock in clocks.split():
        name, _, seconds = clock.partition("=")
        module, _, constant = name.rpartition(".")
        turned = importlib.import_module(module)
        if not isinstance(getattr(turned, constant), float):
            raise TypeError(f"{name} is no time")
        setattr(turned, constant, float(seconds))


if __name__ == "__main__":
    turn_clocks(os.environ.get("STUB_CLOCKS", ""))
    sys.exit(app.run(Settings.load(), pipeline_factory=StubPipeline))
