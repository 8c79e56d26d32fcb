"""The place of a model at work: filled once, then given another model whenever the checkpoint is another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from worker.errors import ModelBroken
from worker.served_model import ServedModel

logger = logging.getLogger(__name__)


class ModelSlot:
    """Holds one model at a time; those that were replaced end with the last window that holds them.

    what   it is the place of, for the log: "model", "shadow model"
    load   gives a model, warm; CheckpointError where there is none to be had
    taken  is told of every model that comes to work here
    """

    def __init__(
        self, what: str, load: Callable[[], Awaitable[ServedModel]], taken: Callable[[ServedModel], None]
    ) -> None:
        self._what = what
        self._load = load
        self._taken = taken
        self._retiring: set[asyncio.Task[None]] = set()

    async def fill(self) -> None:
        """Loads the first model; its errors are passed on."""
        self._take(await self._load())

    def _take(self, model: ServedModel) -> None:
        self.current = model
        self._taken(model)
        said = (self._what, model.report.name, model.report.fingerprint[:12], model.predictor.device)
        logger.info("%s %s, fingerprint %s, on %s", *said)

    async def reload(self) -> bool:
        """Loads a model beside the one at work and lets it take over, unless it is the same.

        returns  False when none could be loaded: it is said in the log, and the one at work goes on

        Raises ModelBroken when trying left the device unusable.
        """
        try:
            model = await self._load()
        except Exception as error:  # of a file or its reader: what works must not end for it
            if self.current.predictor.is_broken_by(error):
                raise ModelBroken(f"the device can do no more since a {self._what} was loaded: {error}") from error
            logger.error("%s refused, the one at work goes on: %s: %s", self._what, type(error).__name__, error)
            return False
        if model.report == self.current.report:
            logger.info("%s %s is at work already", self._what, model.report.fingerprint[:12])
            await model.close()
            return True
        retiring = asyncio.create_task(self.current.retire(), name=f"retire {self._what}")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retired)
        self._take(model)
        return True

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a replaced %s did not end in order: %s", self._what, error)

    async def close(self) -> None:
        """Ends the model at work, and lets those that were replaced end."""
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.current.close()
