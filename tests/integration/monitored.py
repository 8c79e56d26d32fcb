"""One Prometheus, its clock hastened, and some troubled workers that it watches, each a job of its own."""

import asyncio
import base64
import io
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from hastened_rules import write_hastened
from lab import ROOT, Lab, until
from PIL import Image

sys.path.insert(0, str(ROOT / "scripts"))
from dashboard_picture.queries import expanded, panels
from prometheus_server import DEPLOYED, PrometheusServer, local_config

from worker.demo.embedded import EmbeddedRedis, free_port
from worker.demo.worker_process import WorkerProcess

__all__ = ["Monitored", "expanded", "panels"]

SPEED = 30
"""How many times as fast the rules' clock runs: two minutes are four seconds."""
JOBS = ("stalled", "lagging", "dead", "redis", "mner-worker")


class Monitored:
    """Made with a broker, started, asked what fires, closed."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.folder = folder
        self._bootstrap = bootstrap
        self._stack = AsyncExitStack()
        self._ports = {job: free_port() for job in JOBS}
        self._tasks: list[asyncio.Task] = []
        self.redis = EmbeddedRedis(folder / "redis")
        rules = write_hastened(DEPLOYED / "rules", folder / "rules", SPEED)
        targets = {job: [self.address(job)] for job in JOBS}
        self.prometheus = PrometheusServer(folder / "prometheus", local_config(targets, rules, scrape_interval="1s"))

    def address(self, job: str) -> str:
        return f"127.0.0.1:{self._ports[job]}"

    async def start(self) -> None:
        for server in (self.redis, self.prometheus):
            server.start()
            self._stack.callback(server.stop)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def lab(self, job: str) -> Lab:
        """Topics and a group for the worker of this job."""
        lab = Lab(self._bootstrap, f"monitored-{job}", self.folder)
        self._stack.push_async_callback(lab.close)
        return await lab.open()

    def start_stub(self, lab: Lab, job: str, **more: str) -> None:
        """A worker without a model."""
        lab.start_worker(MNER_HTTP_PORT=str(self._ports[job]), **more)

    async def start_real_worker(self, lab: Lab, job: str) -> None:
        """A worker with the shipped model, this Redis, and the same model in its shadow."""
        port = self._ports[job]
        environ = lab.worker_environ(
            MNER_HTTP_PORT=str(port),
            MNER_REDIS_URL=self.redis.url,
            # a model that is being loaded holds the heartbeats up
            MNER_SESSION_TIMEOUT_S="6",
            OMP_NUM_THREADS="1",
            MNER_SHADOW_CHECKPOINT=str(ROOT / "mner_model" / "default_checkpoint"),
            MNER_SHADOW_SHARE="1",
        )
        command = (sys.executable, "-m", "worker", "run")
        worker = WorkerProcess(command, environ, port, self.folder / f"{job}.log")
        await self._stack.enter_async_context(worker)
        await worker.wait_until_ready(180, lambda _: None)

    def feed(self, lab: Lab, *values: bytes | None, every_s: float, pictures: bool = False) -> None:
        """Send these values again and again, each with a key of its own, from now on."""
        self._tasks.append(asyncio.create_task(_feed(lab, values, every_s, pictures)))

    async def fires(self, alert: str, *, yes: bool = True, timeout_s: float = 90.0, **labels: str) -> dict | None:
        """The alert, once one of this name and labels fires; with `yes=False`, once none does any more."""
        found = []

        async def as_wanted() -> bool:
            firing = await asyncio.to_thread(self.prometheus.firing)
            wanted = {"alertname": alert, **labels}.items()
            found[:] = [each for each in firing if wanted <= each["labels"].items()]
            return bool(found) == yes

        await until(as_wanted, f"{alert} {labels} to {'fire' if yes else 'end'}", timeout_s, self._explain)
        return found[0] if found else None

    def _explain(self) -> str:
        health = [
            (target["labels"]["job"], target["health"], target["lastError"]) for target in self.prometheus.targets()
        ]
        asked = ("mner_open_posts", "mner_redis_up", "job:mner_lag:sum", "job_outcome:mner_posts:rate5m")
        state = {query: [(s["metric"], s["value"][1]) for s in self.prometheus.instant(query)] for query in asked}
        return f"targets: {health}\nfiring: {self.prometheus.firing()}\n{state}"


async def _feed(lab: Lab, values: tuple[bytes | None, ...], every_s: float, pictures: bool) -> None:
    assert lab.producer is not None
    number = 0
    while True:
        for value in values:
            number += 1
            key = f"fed-{number}".encode()
            sent = value and value.replace(b"KEY", key).replace(b"PICTURE", _picture(number) if pictures else b"")
            await lab.producer.send(lab.posts_topic, sent, key)
        await asyncio.sleep(every_s)


def _picture(number: int) -> bytes:
    """A picture that no other number has, so that the worker's own memory does not know it."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (number * 7 % 256, number // 3 % 256, 99)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue())
