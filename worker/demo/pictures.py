"""A web server that gives out the sample's pictures, so that posts can link to them."""

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from worker.demo.posts import PICTURES

LOOPBACK = "127.0.0.1"


@contextlib.asynccontextmanager
async def serve_pictures(port: int, host: str = LOOPBACK) -> AsyncIterator[str]:
    """Serve the pictures while the context lasts; yields the URL that their names follow.

    host  the name by which those who fetch them reach this machine; with any but loopback it listens to all

    Anything else is a 404. Raises OSError if the port is taken.
    """
    app = web.Application()
    app.add_routes([web.static("/", PICTURES)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host if host == LOOPBACK else None, port).start()
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
