"""The place of a model at work: filled once, then given another model whenever the checkpoint is another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from worker.errors import ModelBroken
from worker.tagging import memory
from worker.tagging.served_model import ServedModel

logger = logging.getLogger(__name__)


class ModelSlot:
    """Holds one model at a time; those that were replaced end with the last window that holds them.

    what         it is the place of, for the log: "model", "shadow model"
    fingerprint  of the model that `load` would give, as far as it can be told without; blocking
    load         gives a model, warm; CheckpointError where there is none to be had
    taken        is told of every model that comes to work here
    """

    def __init__(
        self,
        what: str,
        fingerprint: Callable[[], str],
        load: Callable[[], Awaitable[ServedModel]],
        taken: Callable[[ServedModel], None],
    ) -> None:
        self._what = what
        self._fingerprint = fingerprint
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
        if await asyncio.to_thread(self._fingerprint) == self.current.report.fingerprint:
            self._say_that_it_is_the_same()
            return True
        model = await self._loaded()
        if model is None:
            await asyncio.to_thread(memory.give_back)
            return False
        if model.report == self.current.report:
            self._say_that_it_is_the_same()
            self._retire(model)
        else:
            self._retire(self.current)
            self._take(model)
        return True

    async def _loaded(self) -> ServedModel | None:
        """None for what is refused; the error, which holds what was read by then, ends in here."""
        try:
            return await self._load()
        except Exception as error:  # of a file or its reader: what works must not end for it
            if self.current.predictor.is_broken_by(error):
                raise ModelBroken(f"the device can do no more since a {self._what} was loaded: {error}") from error
            logger.error("%s refused, the one at work goes on: %s: %s", self._what, type(error).__name__, error)
            return None

    def _say_that_it_is_the_same(self) -> None:
        logger.info("%s %s is at work already", self._what, self.current.report.fingerprint[:12])

    def _retire(self, model: ServedModel) -> None:
        retiring = asyncio.create_task(self._retired(model), name=f"retire {self._what}")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def _retired(self, model: ServedModel) -> None:
        try:
            await model.retire()
        except Exception as error:
            logger.error("a replaced %s did not end in order: %s", self._what, error)
        del model  # before its memory can be given back
        await asyncio.to_thread(memory.give_back)

    async def close(self) -> None:
        """Ends the model at work, and lets those that were replaced end."""
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.current.close()
