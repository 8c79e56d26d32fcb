"""Host names to addresses for the image fetcher: checked answers, and look-ups in threads of their own."""

import asyncio
import socket
from collections import Counter
from contextlib import suppress
from threading import Thread
from typing import NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

from worker.images.address_policy import AddressPolicy

MAX_LOOKUPS = 256
MAX_LOOKUPS_PER_DOMAIN = 16


class AddressRefused(OSError):
    """No address of this host is one that strangers' images may come from."""

    def __init__(self) -> None:
        super().__init__("not a public address")  # always the same, so that several are folded into one


class TooManyLookups(OSError):
    """So many look-ups are under way that this one was not begun."""

    def __init__(self) -> None:
        super().__init__("too many look-ups under way")


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
    """The system's resolver, each look-up in a thread of its own that nothing waits for, not even the process' end.

    A look-up under a dead name server goes on long after its askers gave up, and can't be stopped. So those of one
    domain (a name's last two labels) are bounded, lest a stranger's names take all threads. Of one loop.
    """

    def __init__(self, max_lookups: int = MAX_LOOKUPS, max_per_domain: int = MAX_LOOKUPS_PER_DOMAIN) -> None:
        self._max_lookups, self._max_per_domain = max_lookups, max_per_domain
        self._under_way: dict[_Question, asyncio.Future[list[_Address]]] = {}
        self._per_domain: Counter[str] = Counter()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses for a stream socket; who asks what is being looked up waits for the same answer.

        Raises OSError as getaddrinfo does, and TooManyLookups at once where a bound is reached.
        """
        question = _Question(host, family)
        answer = self._under_way.get(question) or self._begin(question)
        await asyncio.wait((answer,))  # one who gives up must not take the answer from the others
        return [
            ResolveResult(hostname=host, host=address, port=port, family=found, proto=protocol, flags=0)
            for address, found, protocol in answer.result()
        ]

    async def close(self) -> None:
        """Ends the waiting for look-ups under way; they themselves end in the background, or with the process."""
        for answer in self._under_way.values():
            if not answer.done():
                answer.set_exception(OSError("closed"))

    def _begin(self, question: "_Question") -> "asyncio.Future[list[_Address]]":
        if len(self._under_way) >= self._max_lookups or self._per_domain[question.domain] >= self._max_per_domain:
            raise TooManyLookups
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[_Address]] = loop.create_future()
        answer.add_done_callback(lambda done: done.exception())  # seen, even when everybody who waited has gone

        def look_up() -> None:
            found = question.ask()
            with suppress(RuntimeError):  # the loop has ended, and with it whoever asked
                loop.call_soon_threadsafe(self._end, question, answer, found)

        try:
            Thread(target=look_up, name="resolve", daemon=True).start()
        except RuntimeError:  # the system lets this process have no more threads
            raise TooManyLookups from None
        self._under_way[question] = answer
        self._per_domain[question.domain] += 1
        return answer

    def _end(
        self, question: "_Question", answer: "asyncio.Future[list[_Address]]", found: "list[_Address] | Exception"
    ) -> None:
        del self._under_way[question]
        self._per_domain[question.domain] -= 1
        if not self._per_domain[question.domain]:
            del self._per_domain[question.domain]
        if answer.done():  # by close()
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)


class _Address(NamedTuple):
    """One of a name's."""

    host: str
    family: int
    proto: int


class _Question(NamedTuple):
    """What a look-up is for; the port makes no difference."""

    host: str
    family: socket.AddressFamily

    @property
    def domain(self) -> str:
        """The last two labels: who holds them can make as many names below as he likes."""
        return ".".join(self.host.lower().rstrip(".").split(".")[-2:])

    def ask(self) -> list[_Address] | Exception:
        """Blocks for as long as the system likes."""
        try:
            found = socket.getaddrinfo(self.host, None, self.family, socket.SOCK_STREAM)
        except Exception as error:  # besides OSError a UnicodeError, for names that are none
            return error
        return [_Address(str(address[0]), family, proto) for family, _, proto, _, address in found]
