"""The fetcher against real servers on loopback, most of them hostile."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.errors import ImageRefused
from worker.images import fetcher as image_fetcher
from worker.images.fetcher import MAX_REDIRECTS, ImageFetcher
from worker.images.name_resolution import (
    MAX_LOOKUPS,
    MAX_LOOKUPS_PER_DOMAIN,
    KeptOpen,
    ThreadedResolver,
    TooManyLookups,
)
from worker.settings import Settings

PICTURE = b"\x89PNG and so on" * 100
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names(AbstractResolver):
    """A name server under the attacker's hand: per name a list of answers, one per question."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): answers for name, answers in names.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError(f"no such name: {host}")
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=found, proto=0, flags=0)
            for address, found in zip(addresses, families, strict=True)
        ]

    async def close(self) -> None:
        pytest.fail("whoever made a resolver closes it")


class Site:
    """Servers and fetchers of one test, closed after it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.port = 80
        self.requests: list[web.Request] = []

    async def serve(self, handler: Handler) -> str:
        """An HTTP server that answers every path with handler; returns its URL."""

        async def counted(request: web.Request) -> web.StreamResponse:
            self.requests.append(request)
            return await handler(request)

        runner = web.ServerRunner(web.Server(counted), shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, talk: Talk) -> str:
        """A server that says whatever it likes once a request is in."""
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await reader.readuntil(b"\r\n\r\n")
                await talk(reader, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        async def stop() -> None:
            server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self._stack.push_async_callback(stop)
        self.port = server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}"

    def fetcher(self, resolver: AbstractResolver | None = None, **settings: Any) -> ImageFetcher:
        """Allowed to the server's address and port, unless told otherwise."""
        settings = {"image_allow_hosts": ("127.0.0.1",), "image_allow_ports": (80, 443, self.port)} | settings
        fetcher = ImageFetcher(Settings(**settings), resolver)
        self._stack.push_async_callback(fetcher.close)
        return fetcher


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(stack)


async def picture(_: web.Request) -> web.Response:
    return web.Response(body=PICTURE, content_type="image/png")


async def refusal(fetcher: ImageFetcher, url: str) -> tuple[str, str]:
    with pytest.raises(ImageRefused) as refused:
        await fetcher.fetch(url)
    return refused.value.status.value, refused.value.reason


async def test_an_image_is_fetched(site: Site) -> None:
    url = await site.serve(picture)
    assert await site.fetcher().fetch(f"{url}/a.png?x=1") == PICTURE


async def test_a_request_says_little_and_asks_for_no_encoding(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    url = await site.serve(picture)
    await site.fetcher().fetch(f"{url}/a.png")
    headers = site.requests[0].headers
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)


async def test_no_cookie_is_kept(site: Site) -> None:
    async def with_cookie(_: web.Request) -> web.Response:
        return web.Response(body=PICTURE, headers={"Set-Cookie": "who=you"})

    url = await site.serve(with_cookie)
    fetcher = site.fetcher()
    await fetcher.fetch(f"{url}/1")
    await fetcher.fetch(f"{url}/2")
    assert "Cookie" not in site.requests[1].headers


# Where it may go


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/a", "scheme"), ("file:///etc/passwd", "scheme"), ("data:image/png;base64,AA", "scheme"),
        ("gopher://127.0.0.1:6379/_x", "scheme"), ("//example.com/a", "scheme"), ("example.com/a", "scheme"),
        ("http://user@example.com/", "credentials"), ("http://user:word@example.com/", "credentials"),
        ("http://1.1.1.1@127.0.0.1/", "credentials"),
        ("http://example.com:22/", "port"), ("http://example.com:0/", "port"), ("https://example.com:8080/", "port"),
        ("http:///a", "not_a_url"), ("http://[::1", "not_a_url"), ("http://example.com:x/", "not_a_url"),
        ("http://example.com:99999/", "not_a_url"), ("http://a\\@b/", "not_a_url"), ("", "scheme"),
        ("http://127.0.0.1/", "address"), ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://10.0.0.1/", "address"), ("http://0.0.0.0/", "address"), ("http://[::1]/", "address"),
        ("http://[::]/", "address"), ("http://[::ffff:127.0.0.1]/", "address"), ("http://[::127.0.0.1]/", "address"),
        ("http://[64:ff9b::7f00:1]/", "address"), ("http://[2002:7f00:1::]/", "address"),
        ("http://[fe80::1%25lo]/", "address"), ("http://[fd00:ec2::254]/", "address"),
        ("http://2130706433/", "address"), ("http://017700000001/", "address"), ("http://0x7f000001/", "address"),
        ("http://0x7f.0.0.1/", "address"), ("http://0177.0.0.1/", "address"), ("http://127.1/", "address"),
        ("http://127.0.0.1./", "address"), ("http://①②⑦.0.0.1/", "address"), ("http://127。0。0。1/", "address"),
    ],
)  # fmt: skip
async def test_a_url_that_leads_nowhere_good_is_blocked_before_any_connection(
    url: str, reason: str, site: Site
) -> None:
    resolver = Names(example_com=[["1.1.1.1"]])
    fetcher = site.fetcher(resolver, image_allow_hosts=(), image_allow_ports=(80, 443))
    assert await refusal(fetcher, url) == ("blocked", reason)
    assert resolver.asked == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1", "100.64.0.1"]
)
async def test_a_name_that_resolves_inward_is_blocked(address: str, site: Site) -> None:
    await site.serve(picture)
    fetcher = site.fetcher(Names(evil_com=[[address]]), image_allow_hosts=())
    assert await refusal(fetcher, f"http://evil.com:{site.port}/a.png") == ("blocked", "address")
    assert site.requests == []


async def test_localhost_by_the_systems_resolver_is_blocked(site: Site) -> None:
    await site.serve(picture)
    fetcher = site.fetcher(image_allow_hosts=())
    assert await refusal(fetcher, f"http://localhost:{site.port}/a.png") == ("blocked", "address")


async def test_a_name_that_turns_inward_between_two_fetches_is_blocked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await site.serve(picture)
    resolver = Names(evil_com=[["127.0.0.1"], ["127.0.0.2"]])
    fetcher = site.fetcher(resolver)  # 127.0.0.1 stands for the public Internet here
    assert await fetcher.fetch(f"{url.replace('127.0.0.1', 'evil.com')}/1") == PICTURE
    await fetcher.close()
    fetcher = site.fetcher(resolver)
    assert await refusal(fetcher, f"{url.replace('127.0.0.1', 'evil.com')}/2") == ("blocked", "address")


async def test_the_socket_itself_is_checked_when_all_before_it_was_fooled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.serve(picture)
    monkeypatch.setattr(image_fetcher, "parse_address", lambda host: None)
    fetcher = site.fetcher(image_allow_hosts=())
    assert await refusal(fetcher, f"http://127.0.0.1:{site.port}/") == ("blocked", "address")
    assert site.requests == []


async def test_every_address_is_checked_at_its_socket_when_the_resolver_was_fooled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.serve(picture)
    monkeypatch.setattr(image_fetcher, "CheckedResolver", lambda inner, policy: KeptOpen(inner))
    fetcher = site.fetcher(Names(evil_com=[["127.0.0.1", "127.0.0.2", "::1"]]), image_allow_hosts=())
    assert await refusal(fetcher, f"http://evil.com:{site.port}/") == ("blocked", "address")
    assert site.requests == []


async def test_a_name_without_addresses_fails(site: Site) -> None:
    for trusted in ((), ("empty.com",)):
        fetcher = site.fetcher(Names(empty_com=[[]]), image_allow_hosts=trusted)
        assert await refusal(fetcher, "http://empty.com/") == ("failed", "connection")


async def test_a_name_is_fetched_from_its_good_answers_alone(site: Site) -> None:
    url = await site.serve(picture)
    fetcher = site.fetcher(Names(mixed_com=[["127.0.0.2", "127.0.0.1", "::1"]]))
    assert await fetcher.fetch(url.replace("127.0.0.1", "mixed.com")) == PICTURE


async def test_a_named_internal_host_is_trusted_and_no_other_name_of_its_address(site: Site) -> None:
    url = await site.serve(picture)
    resolver = Names(media_internal=[["127.0.0.1"]], evil_com=[["127.0.0.1"]])
    fetcher = site.fetcher(resolver, image_allow_hosts=("media.internal",))
    assert await fetcher.fetch(url.replace("127.0.0.1", "media.internal")) == PICTURE
    assert await refusal(fetcher, url.replace("127.0.0.1", "evil.com")) == ("blocked", "address")
    assert await refusal(fetcher, url) == ("blocked", "address")


# Redirects


def redirecting(target: str, status: int = 302) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": target}, body=b"never read")

    return handler


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int, site: Site) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/a/from":
            return web.Response(status=status, headers={"Location": "../to"})
        return await picture(request)

    url = await site.serve(handler)
    assert await site.fetcher().fetch(f"{url}/a/from") == PICTURE
    assert [request.path for request in site.requests] == ["/a/from", "/to"]


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("http://169.254.169.254/", "blocked", "address"),
        ("http://127.0.0.2/", "blocked", "address"),
        ("http://[::1]/", "blocked", "address"),
        ("http://2130706433/", "blocked", "address"),
        ("//evil.com/", "blocked", "address"),
        ("http://127.0.0.1:22/", "blocked", "port"),
        ("file:///etc/passwd", "blocked", "scheme"),
        ("http://user:word@127.0.0.1/", "blocked", "credentials"),
        ("http://[::1", "failed", "redirect"),
        ("", "failed", "redirect"),
    ],
)
async def test_every_hop_is_checked_like_the_first(target: str, status: str, reason: str, site: Site) -> None:
    url = await site.serve(redirecting(target))
    fetcher = site.fetcher(Names(evil_com=[["10.0.0.1"]]))
    assert await refusal(fetcher, url) == (status, reason)
    assert len(site.requests) == 1


async def test_redirects_without_end_are_left_after_five(site: Site) -> None:
    url = await site.serve(redirecting("/again"))
    assert await refusal(site.fetcher(), url) == ("failed", "too_many_redirects")
    assert len(site.requests) == 1 + MAX_REDIRECTS


async def test_the_body_of_a_redirect_is_never_read(site: Site) -> None:
    async def endless_redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    url = await site.talk(endless_redirect)
    assert await refusal(site.fetcher(), url) == ("blocked", "address")


# What it may cost


async def test_one_deadline_ends_a_drip(site: Site) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    url = await site.talk(drip)
    assert await refusal(site.fetcher(image_timeout_s=0.2), url) == ("timed_out", "deadline")


async def test_one_deadline_ends_headers_that_drip(site: Site) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X")
            await asyncio.sleep(0.01)

    url = await site.talk(drip)
    assert await refusal(site.fetcher(image_timeout_s=0.2), url) == ("timed_out", "deadline")


async def test_one_deadline_counts_all_redirects(site: Site) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.15)
        return web.Response(status=302, headers={"Location": "/on"})

    url = await site.serve(slow)
    assert await refusal(site.fetcher(image_timeout_s=0.25), url) == ("timed_out", "deadline")
    assert len(site.requests) <= 2


async def test_one_deadline_ends_a_name_server_that_does_not_answer(site: Site) -> None:
    class Silent(Names):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[ResolveResult]:
            return await asyncio.get_running_loop().create_future()

    fetcher = site.fetcher(Silent(), image_timeout_s=0.1)
    assert await refusal(fetcher, "http://silent.com/") == ("timed_out", "deadline")


async def test_a_body_without_end_is_cut_off(site: Site) -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    url = await site.talk(endless)
    assert await refusal(site.fetcher(image_max_bytes=100_000), url) == ("too_large", "too_many_bytes")
    assert sent < 20_000_000  # what the kernel's buffers hold, and not what a deadline lets through


async def test_a_length_that_is_too_large_is_refused_before_the_body(site: Site) -> None:
    async def promise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n")
        await asyncio.Event().wait()

    url = await site.talk(promise)
    assert await refusal(site.fetcher(image_max_bytes=100_000), url) == ("too_large", "too_many_bytes")


async def test_the_limit_itself_is_allowed(site: Site) -> None:
    url = await site.serve(picture)
    assert await site.fetcher(image_max_bytes=len(PICTURE)).fetch(url) == PICTURE


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip", "x-own"])
async def test_an_encoded_body_is_refused(encoding: str, site: Site) -> None:
    async def encoded(_: web.Request) -> web.Response:
        return web.Response(body=PICTURE, headers={"Content-Encoding": encoding})

    url = await site.serve(encoded)
    assert await refusal(site.fetcher(), url) == ("failed", "encoded")


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 404, 429, 500])
async def test_only_200_is_an_image(status: int, site: Site) -> None:
    async def other(_: web.Request) -> web.Response:
        return web.Response(status=status)

    url = await site.serve(other)
    assert await refusal(site.fetcher(), url) == ("failed", f"http_{status}")


async def test_an_empty_body_is_no_image(site: Site) -> None:
    async def empty(_: web.Request) -> web.Response:
        return web.Response()

    url = await site.serve(empty)
    assert await refusal(site.fetcher(), url) == ("failed", "empty")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nxx", id="less than promised"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxx", id="half a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="no chunk at all"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n", id="a huge header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 100_000 + b"\r\n", id="a hundred thousand headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", id="two lengths"),
    ],
)
async def test_a_server_that_talks_nonsense_or_hangs_up_fails(said: bytes, site: Site) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()

    url = await site.talk(talk)
    status, reason = await refusal(site.fetcher(), url)
    assert status == "failed"
    assert reason in {"connection", "protocol"}


async def test_a_closed_port_and_an_unknown_name_fail(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        site.port = closed.getsockname()[1]
    fetcher = site.fetcher(Names())
    assert await refusal(fetcher, f"http://127.0.0.1:{site.port}/") == ("failed", "connection")
    assert await refusal(fetcher, "http://unknown.com/") == ("failed", "connection")


async def test_tls_is_verified(site: Site) -> None:
    url = await site.serve(picture)
    assert (await refusal(site.fetcher(), url.replace("http:", "https:")))[0] == "failed"


# Many at once


async def test_one_url_asked_for_at_once_by_many_is_fetched_once(site: Site) -> None:
    url = await site.serve(picture)
    fetcher = site.fetcher()
    assert await asyncio.gather(*(fetcher.fetch(url) for _ in range(20))) == [PICTURE] * 20
    assert len(site.requests) == 1
    await fetcher.fetch(url)
    assert len(site.requests) == 2


async def test_one_that_gives_up_takes_the_image_from_nobody(site: Site) -> None:
    go_on, asked = asyncio.Event(), asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return await picture(request)

    url = await site.serve(held)
    fetcher = site.fetcher()
    first, second = (asyncio.create_task(fetcher.fetch(url)) for _ in range(2))
    await asked.wait()
    first.cancel()
    go_on.set()
    assert await second == PICTURE
    assert len(site.requests) == 1


async def test_connections_to_one_host_and_in_all_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_fetcher, "PLACES", 5)
    monkeypatch.setattr(image_fetcher, "PLACES_PER_HOST", 3)
    at_once = most_per_host = most = 0
    per_host: dict[str, int] = {}

    async def slow(request: web.Request) -> web.Response:
        nonlocal at_once, most, most_per_host
        at_once += 1
        per_host[request.host] = per_host.get(request.host, 0) + 1
        most, most_per_host = max(most, at_once), max(most_per_host, per_host[request.host])
        await asyncio.sleep(0.005)
        at_once -= 1
        per_host[request.host] -= 1
        return await picture(request)

    await site.serve(slow)
    names = [f"host{index}.com" for index in range(4)]
    resolver = Names(**{name.replace(".", "_"): [["127.0.0.1"]] for name in names})
    fetcher = site.fetcher(resolver)
    urls = [f"http://{name}:{site.port}/{index}" for index in range(10) for name in names]
    assert await asyncio.gather(*map(fetcher.fetch, urls)) == [PICTURE] * 40
    assert most <= 5
    assert most_per_host <= 3


async def test_closing_ends_what_is_in_flight(site: Site) -> None:
    asked = asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    url = await site.serve(held)
    fetcher = site.fetcher()
    waiting = asyncio.create_task(refusal(fetcher, url))
    await asked.wait()
    await fetcher.close()
    assert await waiting == ("failed", "closed")


# The system's resolver


class NameServers:
    """What getaddrinfo asks: names below dead.* are not answered while this lives, all others are 127.0.0.1."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()

    def getaddrinfo(self, host: str, port: int | None, family: int, kind: int) -> list[Any]:
        self.asked.append(host)
        if ".dead" in host:
            self.go_on.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [(socket.AF_INET, kind, 6, "", ("127.0.0.1", port or 0))]


@pytest.fixture
def name_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    servers = NameServers()
    with monkeypatch.context() as patch:
        patch.setattr("worker.images.name_resolution.socket.getaddrinfo", servers.getaddrinfo)
        yield servers
        servers.go_on.set()


async def test_names_that_are_never_answered_hold_up_no_other(site: Site, name_servers: NameServers) -> None:
    url = await site.serve(picture)
    fetcher = site.fetcher(image_timeout_s=1.0)
    dead = [f"http://x{index}.dead{index % 20}.com/" for index in range(100)]
    refusals = await asyncio.gather(*(refusal(fetcher, url) for url in dead))
    assert set(refusals) <= {("timed_out", "deadline"), ("failed", "too_many_lookups")}
    assert await fetcher.fetch(url.replace("127.0.0.1", "good.com")) == PICTURE


async def test_a_domain_has_a_few_lookups_at_once_and_the_next_is_refused_at_once(
    site: Site, name_servers: NameServers
) -> None:
    fetcher = site.fetcher(image_timeout_s=0.2)
    dead = [f"http://x{index}.Dead.com./" for index in range(MAX_LOOKUPS_PER_DOMAIN)]
    assert {await refusal(fetcher, url) for url in dead} == {("timed_out", "deadline")}
    assert await refusal(fetcher, "http://another.dead.com/") == ("failed", "too_many_lookups")
    assert len(name_servers.asked) == MAX_LOOKUPS_PER_DOMAIN


async def test_lookups_in_all_are_bounded_and_their_end_makes_room(name_servers: NameServers) -> None:
    resolver = ThreadedResolver(max_lookups=3)
    waiting = [asyncio.create_task(resolver.resolve(f"x.dead{index}.com")) for index in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyLookups):
        await resolver.resolve("good.com")
    name_servers.go_on.set()
    assert [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == [socket.gaierror] * 3
    assert [answer["host"] for answer in await resolver.resolve("good.com", 80)] == ["127.0.0.1"]
    assert MAX_LOOKUPS == 256


async def test_one_name_asked_for_at_once_is_looked_up_once_for_all_ports(name_servers: NameServers) -> None:
    resolver = ThreadedResolver()
    answers = await asyncio.gather(*(resolver.resolve("good.com", port) for port in (80, 443, 80)))
    assert [answer["port"] for (answer,) in answers] == [80, 443, 80]
    assert name_servers.asked == ["good.com"]


async def test_one_that_gives_up_takes_the_answer_from_nobody(name_servers: NameServers) -> None:
    resolver = ThreadedResolver()
    first, second = (asyncio.create_task(resolver.resolve("x.dead.com")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    name_servers.go_on.set()
    with pytest.raises(socket.gaierror):
        await second
    assert first.cancelled()
    assert name_servers.asked == ["x.dead.com"]


async def test_a_name_that_can_be_none_raises_what_the_system_does() -> None:
    with pytest.raises(UnicodeError):
        await ThreadedResolver().resolve(f"{'x' * 70}.com")


async def test_no_thread_to_be_had_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(TooManyLookups):
        await ThreadedResolver().resolve("good.com")


async def test_closing_ends_the_waiting_for_a_name(name_servers: NameServers) -> None:
    resolver = ThreadedResolver()
    waiting = asyncio.create_task(resolver.resolve("x.dead.com"))
    await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(OSError, match="closed"):
        await waiting


def test_the_process_ends_without_waiting_for_a_lookup() -> None:
    script = """
import asyncio, socket, time
from worker.images.name_resolution import ThreadedResolver
socket.getaddrinfo = lambda *_: time.sleep(600)
async def main():
    resolver = ThreadedResolver()
    waiting = asyncio.create_task(resolver.resolve("x"))
    await asyncio.sleep(0)
    await resolver.close()
    waiting.cancel()
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, check=True).stderr == b""
