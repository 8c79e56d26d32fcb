"""Images from strangers' URLs, over guarded HTTP: the worker sits in somebody's private network, the URLs do not.

The address is checked twice: among a name's answers, and again on the socket that is about to connect. The second
check closes what the first can't see (addresses in the URL itself, names that resolve differently the next time).
"""

import asyncio
import socket
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from mner_model.posts.image_status import ImageStatus
from worker.allowed_hosts import is_plain_host, parse_address
from worker.errors import ImageRefused
from worker.images.address_policy import AddressPolicy
from worker.images.fetch_places import PLACES, PLACES_PER_HOST
from worker.images.name_resolution import AddressRefused, CheckedResolver, KeptOpen, ThreadedResolver, TooManyLookups
from worker.settings import Settings

MAX_REDIRECTS = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "Accept": "image/jpeg, image/png, image/webp, image/gif",
    "Accept-Encoding": "identity",
    "User-Agent": "mner-stream",
}


class ImageFetcher:
    """Fetches images by URL; made once, used by many coroutines of one loop, closed at the end.

    A URL asked for while it is being fetched is not fetched again. Everything counts against one deadline
    (`image_timeout_s`): waiting for a free connection, the name's resolution, redirects and the body.
    """

    def __init__(self, settings: Settings, resolver: AbstractResolver | None = None) -> None:
        """resolver: whom to ask for names, the caller's to close; None: the system's, in threads of its own."""
        self._policy = AddressPolicy(settings.image_allow_hosts, settings.image_allow_ports)
        self._timeout_s = settings.image_timeout_s
        self._max_bytes = settings.image_max_bytes
        self._resolver = resolver or ThreadedResolver()
        self._owns_resolver = resolver is None
        self._sessions: _Sessions | None = None  # made in the loop that fetches
        self._in_flight: dict[str, asyncio.Task[bytes]] = {}

    async def fetch(self, url: str) -> bytes:
        """The body of an image URL, at most `image_max_bytes` long; what it is an image of is not looked at.

        Raises ImageRefused with one of these:

        blocked    not_a_url · scheme · credentials · port · address
        failed     connection · too_many_lookups · protocol · redirect · too_many_redirects · encoded · empty · closed
                   · http_<status>
        too_large  too_many_bytes
        timed_out  deadline
        """
        task = self._in_flight.get(url)
        if task is None:
            task = asyncio.create_task(self._fetch_in_time(url))
            self._in_flight[url] = task
            task.add_done_callback(lambda done: self._forget(url, done))
        # Shielded: one post that gives up must not take the image from the others that wait for it.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what is in flight, close all connections."""
        tasks = list(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self._sessions or ():
            await session.close()
        if self._owns_resolver:
            await self._resolver.close()

    def _forget(self, url: str, done: asyncio.Task[bytes]) -> None:
        del self._in_flight[url]
        if not done.cancelled():
            done.exception()  # seen, even when everybody who waited has gone

    async def _fetch_in_time(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(_parse(url))
        except TimeoutError:
            raise ImageRefused(ImageStatus.TIMED_OUT, "deadline") from None
        except asyncio.CancelledError:  # only close() cancels; whoever waits was not cancelled and must not look so
            raise ImageRefused(ImageStatus.FAILED, "closed") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefused):
                raise ImageRefused(ImageStatus.BLOCKED, "address") from None
            if isinstance(error.os_error, TooManyLookups):
                raise ImageRefused(ImageStatus.FAILED, "too_many_lookups") from None
            raise ImageRefused(ImageStatus.FAILED, "connection") from error
        except aiohttp.ClientConnectionError as error:
            raise ImageRefused(ImageStatus.FAILED, "connection") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise ImageRefused(ImageStatus.FAILED, "protocol") from error

    async def _follow(self, url: URL) -> bytes:
        for _ in range(1 + MAX_REDIRECTS):
            session = self._session_for(url)
            async with session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._body(response)
                target = response.headers.get("Location")
                response.close()  # its body is nobody's business, nor is the connection worth keeping
            url = _redirected(url, target)
        raise ImageRefused(ImageStatus.FAILED, "too_many_redirects")

    def _session_for(self, url: URL) -> aiohttp.ClientSession:
        """Checks one hop, and says over which connections it may go."""
        host, port = url.raw_host or "", url.port or 0
        if not self._policy.port_allowed(host, port):
            raise ImageRefused(ImageStatus.BLOCKED, "port")
        if self._sessions is None:
            self._sessions = self._open()
        if self._policy.name_trusted(host, port):
            return self._sessions.trusted
        if parse_address(host) is not None and not self._policy.address_allowed(host, port):
            raise ImageRefused(ImageStatus.BLOCKED, "address")
        return self._sessions.strangers

    def _open(self) -> "_Sessions":
        checked = CheckedResolver(self._resolver, self._policy)
        return _Sessions(strangers=_session(checked, self._checked_socket), trusted=_session(KeptOpen(self._resolver)))

    def _checked_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not self._policy.address_allowed(str(address[0]), int(address[1])):
            raise AddressRefused
        return socket.socket(family, kind, protocol)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status != 200:
            response.close()
            raise ImageRefused(ImageStatus.FAILED, f"http_{response.status}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()  # a few bytes can unpack to gigabytes, and images come compressed already
            raise ImageRefused(ImageStatus.FAILED, "encoded")
        body = bytearray()
        self._bound(response, response.content_length or 0)
        async for part in response.content.iter_any():
            body += part
            self._bound(response, len(body))
        if not body:
            raise ImageRefused(ImageStatus.FAILED, "empty")
        return bytes(body)

    def _bound(self, response: aiohttp.ClientResponse, body_bytes: int) -> None:
        if body_bytes > self._max_bytes:
            response.close()
            raise ImageRefused(ImageStatus.TOO_LARGE, "too_many_bytes")


def _parse(text: str) -> URL:
    """The one parse of a URL, by the parser of the client that will go there."""
    try:
        return _checked(URL(text))
    except ValueError:
        raise ImageRefused(ImageStatus.BLOCKED, "not_a_url") from None


def _redirected(url: URL, target: str | None) -> URL:
    if not target:
        raise ImageRefused(ImageStatus.FAILED, "redirect")
    try:
        return _checked(url.join(URL(target)))
    except ValueError:
        raise ImageRefused(ImageStatus.FAILED, "redirect") from None


def _checked(url: URL) -> URL:
    if url.scheme not in ("http", "https"):
        raise ImageRefused(ImageStatus.BLOCKED, "scheme")
    if url.user is not None or url.password is not None:
        raise ImageRefused(ImageStatus.BLOCKED, "credentials")
    if not url.raw_host:
        raise ValueError("no host")
    if not is_plain_host(url.raw_host):
        raise ImageRefused(ImageStatus.BLOCKED, "address")
    return url


class _Sessions(NamedTuple):
    """Connections that share no pool: one checks every address, one goes wherever a name of the operator's leads."""

    strangers: aiohttp.ClientSession
    trusted: aiohttp.ClientSession


def _session(
    resolver: AbstractResolver, socket_factory: aiohttp.SocketFactoryType | None = None
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=PLACES,
        limit_per_host=PLACES_PER_HOST,
        resolver=resolver,
        socket_factory=socket_factory,
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers=_HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # ours counts redirects too
        auto_decompress=False,
        trust_env=False,
    )
