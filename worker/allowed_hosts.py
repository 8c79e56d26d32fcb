"""Internal hosts that have images: how an operator names them, and when a host is written plainly.

Pure text; which addresses are public is `worker.images.address_policy`'s to say.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """One entry of the operator's list: a host name or network, on one port or on every allowed one."""

    host: str | Network
    port: int | None

    def covers(self, host: str, port: int) -> bool:
        """Whether this entry is about that host (a name or an address) on that port."""
        return self.port in (None, port) and self._names(host)

    def _names(self, host: str) -> bool:
        if isinstance(self.host, str):
            return self.host == host.rstrip(".")
        address = parse_address(host)
        return address is not None and address in self.host


_LOOKS_NUMERIC = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")


def is_plain_host(host: str) -> bool:
    """Whether a host is a name, or an address in its one canonical form: not 127.1, 0x7f000001 or 2130706433."""
    if parse_address(host) is not None:
        return True
    return len(host) <= 253 and _HOST_NAME.fullmatch(host) is not None and _LOOKS_NUMERIC.fullmatch(host) is None


def parse_address(host: str) -> Address | None:
    """The IP address that a host is, or None when it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


_WITH_PORT = re.compile(r"\[(?P<bracketed>[^]]+)\]:(?P<bracketed_port>\d+)|(?P<host>[^:]+):(?P<port>\d+)")


def is_entry(text: str) -> bool:
    """Whether a text may stand in an operator's list: a plain host, an address or a network, with a port or without."""
    try:
        allowed = parse_entry(text)
    except ValueError:
        return False
    is_port = allowed.port is None or 0 < allowed.port < 65536
    return is_port and (not isinstance(allowed.host, str) or is_plain_host(allowed.host))


def parse_entry(entry: str) -> AllowedHost:
    """One entry; raises ValueError for a port that is no number."""
    found = _WITH_PORT.fullmatch(entry)
    if found is None:
        return AllowedHost(_host_or_network(entry.strip("[]")), None)
    return AllowedHost(
        _host_or_network(found["bracketed"] or found["host"]), int(found["bracketed_port"] or found["port"])
    )


def _host_or_network(text: str) -> str | Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return text.lower().rstrip(".")
