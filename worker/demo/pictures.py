"""A web server on loopback that gives out the sample's pictures, so that posts can link to them."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web


@contextlib.asynccontextmanager
async def serve_pictures(folder: Path, port: int) -> AsyncIterator[str]:
    """Serve the files of a folder on 127.0.0.1 while the context lasts; yields the URL that their names follow.

    Anything else is a 404. Raises OSError if the port is taken.
    """
    app = web.Application()
    app.add_routes([web.static("/", folder)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
