"""Host names to addresses for the image fetcher: checked answers, and look-ups in threads of their own."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from worker.address_policy import AddressPolicy


class AddressRefused(OSError):
    """No address of this host is one that strangers' images may come from."""

    def __init__(self) -> None:
        super().__init__("not a public address")  # always the same, so that several are folded into one


class KeptOpen(AbstractResolver):
    """A resolver that two sessions share: it is closed by neither."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The inner one's answers; raises OSError if it has none, which the client takes for granted."""
        answers = await self._inner.resolve(host, port, family)
        if not answers:
            raise OSError(f"no address of {host}")
        return answers

    async def close(self) -> None:
        """Does nothing: whoever made the inner one closes it."""


class CheckedResolver(KeptOpen):
    """Passes on those answers that may be dialled; refuses a name that has none."""

    def __init__(self, inner: AbstractResolver, policy: AddressPolicy) -> None:
        super().__init__(inner)
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The inner one's answers less those that must not be dialled; raises AddressRefused if none is left."""
        answers = await super().resolve(host, port, family)
        allowed = [answer for answer in answers if self._policy.address_allowed(answer["host"], port)]
        if not allowed:
            raise AddressRefused
        return allowed


class ThreadedResolver(AbstractResolver):
    """The system's resolver in threads of its own: slow name servers must not hold the loop's default executor."""

    def __init__(self, max_threads: int) -> None:
        self._threads = ThreadPoolExecutor(max_threads, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses for a stream socket; raises OSError as getaddrinfo does."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
        )
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=answer, proto=protocol, flags=0)
            for answer, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Gives up on look-ups not yet begun; those under way end in the background."""
        self._threads.shutdown(wait=False, cancel_futures=True)
