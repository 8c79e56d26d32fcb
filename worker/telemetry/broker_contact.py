"""How long no broker has answered: a worker with nothing to do and one that is cut off look alike otherwise.

Knows nothing of Kafka clients: they are asked when they last had an answer.
"""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class BrokerContact:
    """Silence counts from the last answer to anything: a fetch, a heartbeat, a commit, a question about topics."""

    def __init__(self, silent_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """silent_after_s: how long no answer is nothing to speak of; the group's session is that long"""
        self._silent_after_s = silent_after_s
        self._clock = clock
        self._sources: list[Callable[[], float | None]] = []
        self._heard_at: float | None = None
        self._since: float | None = None
        """Of a silence that was told."""

    def begin(self) -> None:
        """A broker is being asked for the first time."""
        self._heard_at = self._clock()

    def hear(self, last_answer: Callable[[], float | None]) -> None:
        """Listen to a client too, which tells when it last had an answer by `time.monotonic`, None if never."""
        self._sources.append(last_answer)

    def silence_s(self) -> float:
        """Seconds since any broker last answered; 0 before one was asked."""
        if self._heard_at is None:
            return 0.0
        # the latest is kept, for a client forgets those of connections that it closes
        self._heard_at = max([self._heard_at, *(at for source in self._sources if (at := source()) is not None)])
        return max(0.0, self._clock() - self._heard_at)

    @property
    def is_silent(self) -> bool:
        """Whether it has lasted longer than can be borne."""
        return self.silence_s() > self._silent_after_s

    def tell(self) -> None:
        """Say it once when brokers fall silent, and once when one answers again; to be called regularly."""
        silence_s = self.silence_s()
        if self._since is None and silence_s > self._silent_after_s:
            self._since = self._heard_at
            logger.warning("no broker has answered anything for %.0f s; going on when one does", silence_s)
        elif self._since is not None and self._heard_at is not None and silence_s <= self._silent_after_s:
            logger.warning("a broker answers again, after %.0f s", self._heard_at - self._since)
            self._since = None
