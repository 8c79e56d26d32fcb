"""The worker as one process: settings in, exit status out. Faust stands at this edge and nowhere further in.

Reading order: `run`, `Worker.run`, then `tag_posts`, which every post comes through.
"""

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, cast

from faust import Stream
from faust.types import TP

from worker.delivery.broker import last_answer, start_when_a_broker_answers, wait_for_topics
from worker.delivery.delivery import Delivery, Limits, Pipeline
from worker.delivery.hard_exit import HardExit
from worker.delivery.positions import Fetch
from worker.delivery.publisher import KafkaProducer, Publisher, new_producer
from worker.delivery.transport import Consumer, WorkerApp, new_app
from worker.errors import ExitStatus, Fatal, SettingsRefused
from worker.messages.topics import worker_topics
from worker.settings import Settings
from worker.tagging import memory
from worker.tagging.reloading import Reloadable, Reloading
from worker.telemetry import logs, tracing
from worker.telemetry.health import HealthServer, HealthState
from worker.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0
ENDS_INTERVAL_S = 5.0
LEAVE_TIMEOUT_S = 5.0
# On top of the drain: its commit, then Faust, the producer and the pipeline leaving.
HARD_EXIT_MARGIN_S = 30.0


class PostPipeline(Pipeline, Reloadable, Protocol):
    """A pipeline from its start to its end."""

    async def start(self) -> None:
        """Load the model and run it once."""

    async def close(self) -> None:
        """End what `start` began."""


PipelineFactory = Callable[[Settings, Metrics], PostPipeline]


def run(settings: Settings, *, pipeline_factory: PipelineFactory | None = None) -> int:
    """Work until SIGTERM or SIGINT, or an error that must not be committed past; returns the exit status.

    0 drained and left; 70 stopped unacknowledged; 71 the drain did not end in time; 78 the settings' model is refused.
    """
    logs.configure(settings.log_level, settings.log_format)
    if settings.traces:
        tracing.configure()
    worker = Worker(settings, pipeline_factory or _real_pipeline)
    status = _exit_status(worker)
    tracing.flush()
    worker.hard_exit.disarm(status)
    return status


def _exit_status(worker: "Worker") -> int:
    try:
        return asyncio.run(worker.run())
    except SettingsRefused as refused:
        for problem in refused.problems:
            logger.error("%s", problem)
        return refused.exit_status
    except Fatal as fatal:
        logger.error("stopping unacknowledged: %s", fatal)
        return fatal.exit_status
    except Exception:
        logger.exception("stopping unacknowledged on an unexpected error")
        return ExitStatus.STOPPED_UNACKNOWLEDGED


def _real_pipeline(settings: Settings, metrics: Metrics) -> PostPipeline:
    # Here, so that a worker with a stand-in for the model need not load torch.
    from worker.tagging import pipeline

    return pipeline.Pipeline(settings, metrics)


class Worker:
    """One worker, from its first wait for a broker to its last commit."""

    def __init__(self, settings: Settings, pipeline_factory: PipelineFactory) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.health = HealthState(broker_silent_after_s=settings.session_timeout_s)
        self.metrics.ready(lambda: not self.health.why_not_ready())
        self.hard_exit = HardExit()
        self._reloading = Reloading(settings)
        self._pipeline_factory = pipeline_factory

    async def run(self) -> int:
        """Start what is needed, in order, serve, and end it again in the opposite one."""
        settings = self.settings
        stop = _stop_signal(or_reload=self._reloading)
        async with contextlib.AsyncExitStack() as stack:
            server = HealthServer(settings, self.metrics, self.health)
            await server.start()
            stack.push_async_callback(server.stop)

            # The model first: once this worker has joined, the others wait for it at every rebalance.
            # In a thread: reading torch's files takes seconds, and /live should answer meanwhile.
            pipeline = await asyncio.to_thread(self._pipeline_factory, settings, self.metrics)
            if not await self._unless(stop, pipeline.start()):
                return ExitStatus.DONE
            stack.push_async_callback(self.hard_exit.in_time, pipeline.close, LEAVE_TIMEOUT_S)
            self.health.model_warm = True

            producer = new_producer(settings)
            stack.push_async_callback(self.hard_exit.in_time, producer.stop, LEAVE_TIMEOUT_S)
            if not await self._unless(stop, self._until_brokers_are_ready(producer)):
                return ExitStatus.DONE

            app = new_app(settings, stack.enter_context(tempfile.TemporaryDirectory(prefix="mner-worker-")))
            delivery = Delivery(
                app.consumer,
                pipeline,
                Publisher(producer, settings.dead_topic),
                metrics=self.metrics,
                health=self.health,
                limits=Limits(posts=settings.open_posts_max),
            )
            self._connect(app, delivery)
            memory.spare_the_garbage_collector()
            return await self._serve(app, delivery, pipeline, stop)

    async def _until_brokers_are_ready(self, producer: KafkaProducer) -> None:
        """One answers and has all topics; /ready says what is waited for."""
        settings, health = self.settings, self.health

        def missing(topics: Sequence[str]) -> None:
            health.waiting_for = f"topic {', '.join(topics)}" if topics else ""

        health.waiting_for = "a broker"
        health.broker.begin()
        health.broker.hear(lambda: last_answer(producer.client))
        self.metrics.broker_silence(health.broker.silence_s)
        await start_when_a_broker_answers(producer, settings.brokers)
        health.waiting_for = ""
        await wait_for_topics(producer, [topic.name for topic in worker_topics(settings)], missing)

    def _connect(self, app: WorkerApp, delivery: Delivery) -> None:
        """Lead the app's fetches into the delivery, and tell it when partitions come and go."""
        settings, health = self.settings, self.health
        posts = app.topic(settings.posts_topic, acks=False, key_serializer="raw", value_serializer="raw")

        @app.agent(posts, name="tag_posts", concurrency=1)
        async def tag_posts(fetches: Any) -> None:
            try:
                async for fetch in cast("Stream[Fetch]", fetches).noack():
                    await delivery.accept(fetch)
            except Exception as error:
                delivery.fail(error)
                raise
            except asyncio.CancelledError:
                # Faust would start the agent anew, and the fetch in its hand would be gone
                delivery.fail(RuntimeError("the agent was cancelled"))
                raise

        # Well within what the group allows, so that the commit after it is in time too.
        drain_timeout_s = min(settings.drain_timeout_s, settings.rebalance_timeout_s / 2)

        async def revoked(_: Any, partitions: set[TP], **__: Any) -> None:
            if partitions:
                health.assigned, health.kept_out = False, ""
                await delivery.drain(drain_timeout_s)
                delivery.forget(partitions)
                self.metrics.forget_lag()

        async def assigned(_: Any, partitions: set[TP], **__: Any) -> None:
            health.assigned, health.kept_out = True, ""
            logger.info("partitions of %s: %s", settings.posts_topic, sorted(number for _, number in partitions))

        health.broker.hear(app.consumer.last_answer)
        app.on_partitions_revoked.connect(cast("Any", revoked))
        app.on_partitions_assigned.connect(cast("Any", assigned))

    async def _serve(self, app: WorkerApp, delivery: Delivery, pipeline: PostPipeline, stop: asyncio.Event) -> int:
        """Until the signal to stop, then drain; raises what ended it otherwise, with nothing more committed."""
        stopping = asyncio.create_task(stop.wait())
        working = [
            asyncio.create_task(_until_it_ends(app)),
            asyncio.create_task(delivery.commit_regularly()),
            asyncio.create_task(self._report(app.consumer, delivery)),
            asyncio.create_task(_keep_ends_fresh(app.consumer)),
            asyncio.create_task(self._reloading.run(pipeline)),
        ]
        ends: list[asyncio.Future[Any]] = [stopping, delivery.failed, *working]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            self.hard_exit.arm(self.settings.drain_timeout_s + HARD_EXIT_MARGIN_S)
            for end in ends:
                if end is not stopping and end.done():
                    await end
            self.health.draining = True
            delivery.close_intake()
            drained = await delivery.drain(self.settings.drain_timeout_s)
            if delivery.failed.done():
                await delivery.failed
            logger.info("drained, leaving" if drained else "leaving with open posts, which come again")
            return ExitStatus.DONE if drained else ExitStatus.DRAIN_OVERDUE
        finally:
            await self.hard_exit.in_time(app.stop, LEAVE_TIMEOUT_S)
            for task in (stopping, *working):
                task.cancel()
            await asyncio.gather(stopping, *working, return_exceptions=True)

    async def _report(self, consumer: Consumer, delivery: Delivery) -> None:
        while True:
            self.health.broker.tell()
            self.health.kept_out = consumer.why_not_in_group() or self.health.kept_out
            self.metrics.open_posts(delivery.open_posts, delivery.oldest_open_s())
            self.metrics.forget_lag()
            for (topic, partition), posts in consumer.lag().items():
                self.metrics.lag(topic, partition, posts)
            await asyncio.sleep(REPORT_INTERVAL_S)

    async def _unless(self, stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work was done; False when the signal to stop came first."""
        working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done():
            await working
            return True
        self.hard_exit.arm(HARD_EXIT_MARGIN_S)
        working.cancel()
        await asyncio.wait({working})
        return False


def _stop_signal(or_reload: Reloading) -> asyncio.Event:
    """Set by SIGTERM, SIGINT, and the SIGHUP of a terminal that is gone; any other SIGHUP asks for a reload."""
    stop, loop, began_on_terminal = asyncio.Event(), asyncio.get_running_loop(), _is_on_terminal()

    def hang_up() -> None:
        if began_on_terminal and not _is_on_terminal():
            logger.info("SIGHUP, and the terminal is gone: stopping")
            stop.set()
        else:
            logger.info("SIGHUP: reading the checkpoints again")
            or_reload.ask()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    return stop


def _is_on_terminal() -> bool:
    """Not the stream's `isatty`, for that fails where standard input was closed. Of a terminal that is gone: False."""
    return os.isatty(0)


async def _keep_ends_fresh(consumer: Consumer) -> None:
    while True:
        await asyncio.sleep(ENDS_INTERVAL_S)
        await consumer.refresh_ends()


async def _until_it_ends(app: WorkerApp) -> None:
    await app.start()
    await app.wait_until_stopped()
    raise app.crash_reason or RuntimeError("Faust stopped by itself")
