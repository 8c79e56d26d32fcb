"""The worker's one HTTP port: is it alive, is it ready, and its metrics.

`HealthState` is fed by those who know; `HealthServer` only reads it. Orchestrators restart a worker that is not live,
and take a rollout no further while one is not ready.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from worker.errors import AddressUnavailable
from worker.settings import Settings
from worker.telemetry.broker_contact import BrokerContact
from worker.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

BEAT_S = 1.0
LOOP_STALLED_AFTER_S = 15.0
BATCH_STALLED_AFTER_S = 60.0
# A restart brings no broker back, and publishing gives up by itself; this is for a client that hangs for good.
PUBLISHING_STALLED_AFTER_S = 1800.0


class Work:
    """Posts that wait for one thing to be done with them, and how long nothing of it was done."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.posts = 0
        self._last_progress = clock()

    @contextlib.contextmanager
    def on(self, posts: int) -> Iterator[None]:
        """It is being done with these posts."""
        if self.posts == 0:
            self._last_progress = self._clock()
        self.posts += posts
        try:
            yield
        finally:
            self.posts -= posts
            self._last_progress = self._clock()

    def idle_s(self) -> float:
        """Seconds without progress while posts wait, 0 while none do."""
        return self._clock() - self._last_progress if self.posts else 0.0


class HealthState:
    """What is known of the worker's health.

    model_warm   the model is loaded and has run once
    waiting_for  what it cannot begin without and has not got, such as "a broker" or "topic posts"; else empty
    assigned     the group has given this worker its share of the partitions (which may be none, with many workers)
    kept_out     why it is not in the group, where more is known than that it is not; else empty
    broker       how long none has answered
    draining     the worker finishes what it holds and takes nothing new
    tagging      posts in the pipeline
    publishing   posts whose answers wait for the broker's confirmation
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, broker_silent_after_s: float = 45.0) -> None:
        self.broker = BrokerContact(broker_silent_after_s, clock)
        self.waiting_for = ""
        self.assigned = False
        self.kept_out = ""
        self.model_warm = False
        self.draining = False
        self.tagging = Work(clock)
        self.publishing = Work(clock)
        self._clock = clock
        self._last_beat = clock()

    def beat(self) -> None:
        """The event loop turned."""
        self._last_beat = self._clock()

    def why_not_live(self) -> list[str]:
        """What a restart would mend; empty when live."""
        reasons = []
        if (silent_s := self._clock() - self._last_beat) > LOOP_STALLED_AFTER_S:
            reasons.append(f"the event loop has not turned for {silent_s:.0f} s")
        if (idle_s := self.tagging.idle_s()) > BATCH_STALLED_AFTER_S:
            reasons.append(f"{self.tagging.posts} posts are in the pipeline and no batch was made for {idle_s:.0f} s")
        if (idle_s := self.publishing.idle_s()) > PUBLISHING_STALLED_AFTER_S:
            reasons.append(f"{self.publishing.posts} answers are on their way and none arrived for {idle_s:.0f} s")
        return reasons

    def why_not_ready(self) -> list[str]:
        """What is still to come, or past, before posts are tagged; empty when ready."""
        return [
            reason
            for reason, holds in (
                ("the model is not warm", not self.model_warm),
                (f"waiting for {self.waiting_for}", self.waiting_for),
                (
                    "no partitions are assigned" + (f": {self.kept_out}" if self.kept_out else ""),
                    not self.waiting_for and not self.assigned,
                ),
                (f"no broker has answered for {self.broker.silence_s():.0f} s", self.broker.is_silent),
                ("the worker is draining", self.draining),
            )
            if holds
        ]


class HealthServer:
    """Answers GET and HEAD of /live, /ready and /metrics on the settings' host and port, and beats the state."""

    def __init__(self, settings: Settings, metrics: Metrics, state: HealthState) -> None:
        self._host, self._wanted_port = settings.http_host, settings.http_port
        self._metrics = metrics
        self._state = state
        self._runner: web.AppRunner | None = None
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens from here on. Raises AddressUnavailable if that host and port cannot be had."""
        app = web.Application(middlewares=[_errors_as_json])
        app.add_routes([web.get("/live", self._live), web.get("/ready", self._ready), web.get("/metrics", self._page)])
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._wanted_port).start()
        except OSError as error:
            await self.stop()
            reason = "another process listens there" if error.errno == errno.EADDRINUSE else str(error)
            raise AddressUnavailable(
                f"cannot listen on {self._host}:{self._wanted_port} (MNER_HTTP_HOST, MNER_HTTP_PORT): {reason}"
            ) from error
        self._beating = asyncio.create_task(self._beat(), name="health-beat")
        logger.info("/live, /ready and /metrics are at http://%s:%d", self._host, self.port)

    @property
    def port(self) -> int:
        """The port listened on, which tells which one it is when the settings' is 0."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the health server has a port only between start and stop")
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening; may be called at any time, and again."""
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
            self._beating = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _beat(self) -> None:
        while True:
            self._state.beat()
            await asyncio.sleep(BEAT_S)

    async def _live(self, _: web.Request) -> web.Response:
        return _verdict("live", self._state.why_not_live())

    async def _ready(self, _: web.Request) -> web.Response:
        return _verdict("ready", self._state.why_not_ready())

    async def _page(self, request: web.Request) -> web.Response:
        page, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})


def _verdict(quality: str, why_not: list[str]) -> web.Response:
    return _json(503 if why_not else 200, {quality: not why_not, "why_not": why_not})


def _json(status: int, body: dict[str, Any], **headers: str) -> web.Response:
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store", **headers})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as refused:
        return _json(405, {"error": "only GET and HEAD are answered here"}, Allow=refused.headers["Allow"])
    except web.HTTPNotFound:
        return _json(404, {"error": "not found", "paths": ["/live", "/ready", "/metrics"]})
