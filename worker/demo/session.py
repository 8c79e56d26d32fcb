"""One run of the demo, top to bottom: servers, worker, posts in, answers out, summary."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError
from rich.console import Console

from mner_model.commands.output import write_into_the_void
from worker.delivery.broker import client_options
from worker.delivery.topics import TopicsUnavailable, ensure_topics
from worker.demo.embedded import EmbeddedBroker, EmbeddedRedis, EmbeddedServerFailed, free_port
from worker.demo.exchange import AnswersStopped, Exchange
from worker.demo.pictures import serve_pictures
from worker.demo.posts import PostLine, brought_posts, sample_posts
from worker.demo.progress import Progress
from worker.demo.summary import print_summary
from worker.demo.worker_process import WorkerEnded, WorkerProcess, worker_environ
from worker.errors import ExitStatus
from worker.messages.topics import worker_topics
from worker.settings import Settings
from worker.watch.record_view import view_on_stdout
from worker.watch.scrape import Scrape

WORKER_READY_TIMEOUT_S = 300.0
LOOP_POSTS_PER_S = 2.0  # as fast as a person reads along
SAMPLE_ONCE_POSTS_PER_S = 10.0  # all at once would share one batch, and show neither the cache nor a usual latency
LAST_ANSWERS_S = 15.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for on the command line."""

    posts: Path | None = None
    """JSON lines to send instead of the sample, `-` for standard input."""
    once: bool = False
    """End when all posts are answered, instead of sending them again and again."""
    posts_per_s: float | None = None
    """Pace of the feeder; None: two a second in a loop; with `once` ten for the sample, else as they are answered."""
    patience_s: float = 60.0
    """How long without any answer, while posts wait for one, is too long."""
    logs: Path | None = None
    """Where to keep the logs of broker, Redis and worker; None: nowhere."""
    worker_command: tuple[str, ...] = (sys.executable, "-m", "worker", "run")
    """What is run as the worker."""


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What the worker needs around it, on ports chosen before anything is started."""

    broker: EmbeddedBroker
    redis: EmbeddedRedis
    http_port: int
    pictures_port: int
    logs: Path


def run_demo(options: DemoOptions, environ: Mapping[str, str] = os.environ) -> ExitStatus:
    """Run it all until the posts are answered, or Ctrl-C.

    Returns DONE only if every post that was sent was answered. Raises SettingsRefused for a bad MNER_ variable.
    """
    progress = Progress(Console(stderr=True, highlight=False))
    try:
        with ExitStack() as stack:
            logs = options.logs or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mner-demo-")))
            around = _Surroundings(EmbeddedBroker(logs), EmbeddedRedis(logs), free_port(), free_port(), logs)
            worker_env = worker_environ(
                environ,
                bootstrap=around.broker.bootstrap,
                redis_url=around.redis.url,
                http_port=around.http_port,
                pictures_port=around.pictures_port if options.posts is None else None,
            )
            settings = Settings.load(worker_env)
            # started in this thread, which outlives them: they are ended with the thread that started them
            with progress.step("Kafka broker, embedded, in memory"):
                stack.enter_context(around.broker)
            with progress.step("Redis, embedded, in memory"):
                stack.enter_context(around.redis)
            return asyncio.run(_Demo(options, progress, around, settings, worker_env).run())
    except BrokenPipeError:  # whoever read our output has seen enough, of the summary too
        write_into_the_void()
        return ExitStatus.FAILED if options.once else ExitStatus.DONE
    except (EmbeddedServerFailed, WorkerEnded, TopicsUnavailable, KafkaError, OSError) as error:
        progress.failed(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        progress.failed("interrupted")
    return ExitStatus.FAILED


class _Demo:
    """The part of a run that waits for several things at once."""

    def __init__(
        self,
        options: DemoOptions,
        progress: Progress,
        around: _Surroundings,
        settings: Settings,
        worker_env: Mapping[str, str],
    ) -> None:
        self._options, self._progress, self._around = options, progress, around
        self._settings, self._worker_env = settings, worker_env
        self._end_gently: Callable[[], object] | None = None

    async def run(self) -> ExitStatus:
        """From a broker without topics to the summary."""
        self._heed_signals()
        around = self._around
        async with AsyncExitStack() as stack:
            pictures = ""
            if self._options.posts is None:
                pictures = await stack.enter_async_context(serve_pictures(around.pictures_port))
            await ensure_topics(worker_topics(self._settings), **client_options(self._settings))
            process = WorkerProcess(
                self._options.worker_command, self._worker_env, around.http_port, around.logs / "worker.log"
            )
            worker = await stack.enter_async_context(process)
            exchange = await stack.enter_async_context(Exchange(self._settings, view_on_stdout()))
            with self._progress.step("worker, in a process of its own") as step:
                await worker.wait_until_ready(WORKER_READY_TIMEOUT_S, step.waiting)
            self._progress.say(
                f"  Kafka at {around.broker.bootstrap}, metrics at {worker.metrics_url}{self._how_it_ends()}\n"
                f"  in another terminal: MNER_BROKERS={around.broker.bootstrap} mner-worker tail, "
                f"mner-worker top --url {worker.metrics_url}\n"
            )
            went_well = await self._converse(exchange, worker, self._posts(pictures))
            metrics = Scrape(await worker.metrics_page())
        print_summary(self._progress.console, exchange.ledger, exchange.tally, metrics)
        return ExitStatus.DONE if went_well and not exchange.ledger.unanswered() else ExitStatus.FAILED

    def _how_it_ends(self) -> str:
        return "" if self._options.once else "; Ctrl-C ends it with a summary"

    async def _converse(self, exchange: Exchange, worker: WorkerProcess, posts: AsyncIterator[PostLine]) -> bool:
        """Posts in, answers out, until all are answered or somebody has seen enough; False if it went wrong."""
        feeding = asyncio.create_task(exchange.feed(posts, self._posts_per_s(), self._options.patience_s))
        alongside = (asyncio.create_task(exchange.read_answers()), asyncio.create_task(worker.wait_for_its_end()))
        self._end_gently = feeding.cancel
        try:
            await _until_done(feeding, alongside)
            if feeding.cancelled():  # Ctrl-C; the posts under way still get their answers
                feeding = asyncio.create_task(exchange.settle(LAST_ANSWERS_S))
                await _until_done(feeding, alongside)
                return not self._options.once  # of those that were to be sent once, some never were
        except (AnswersStopped, WorkerEnded) as error:
            self._progress.failed(str(error))
            return False
        finally:
            for task in (feeding, *alongside):
                task.cancel()
            await asyncio.gather(feeding, *alongside, return_exceptions=True)
        return True

    def _posts_per_s(self) -> float | None:
        if self._options.posts_per_s is not None:
            return self._options.posts_per_s
        if not self._options.once:
            return LOOP_POSTS_PER_S
        return SAMPLE_ONCE_POSTS_PER_S if self._options.posts is None else None

    async def _posts(self, pictures_url: str) -> AsyncIterator[PostLine]:
        """The posts, over and over unless once was asked for; standard input can be read only once."""
        path = self._options.posts
        again = True
        while again:
            again = False
            async for post in sample_posts(pictures_url) if path is None else brought_posts(path):
                again = not self._options.once and str(path) != "-"
                yield post

    def _heed_signals(self) -> None:
        """The first Ctrl-C or SIGTERM ends the conversation, the next one (or one before there is any) everything."""
        whole_run = asyncio.current_task()
        assert whole_run is not None

        def interrupt() -> None:
            end, self._end_gently = self._end_gently or whole_run.cancel, None
            end()

        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, interrupt)


async def _until_done(task: asyncio.Task[None], alongside: tuple[asyncio.Task[None], ...]) -> None:
    """Wait for the task; raises what it raised, or what one of those alongside raised meanwhile."""
    await asyncio.wait({task, *alongside}, return_when=asyncio.FIRST_COMPLETED)
    for finished in (*alongside, task):
        if finished.done() and not finished.cancelled():
            finished.result()
