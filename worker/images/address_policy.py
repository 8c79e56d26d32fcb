"""Where an image may be fetched from: which hosts, ports and addresses are strangers' and which are our own network's.

Pure rules; resolves nothing and opens no connection. The list is our own because the standard library's `is_global`
differs between Python versions, and on some lets multicast, NAT64, 6to4 and cloud metadata addresses pass.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from worker.allowed_hosts import Address, parse_address, parse_entry

_NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata at 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's metadata, at an address that looks public
        "169.254.0.0/16",  # link-local; most clouds' metadata at 169.254.169.254
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID, AMT
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
# The middle of an ISATAP address, before the IPv4 address that it carries; with or without the universal bit.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet; mapped, tunnelled and scoped ones are not."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_IPV4)
    if address.scope_id is not None or address not in _PUBLIC_IPV6:
        return False
    isatap = (int(address) >> 32 & 0xFFFFFFFF) in _ISATAP
    return not isatap and not any(address in network for network in _NOT_PUBLIC_IPV6)


class AddressPolicy:
    """The public Internet on the allowed ports, and what the operator names beside.

    allow_hosts  host | host:port | address | address:port | network/bits; IPv6 with a port in brackets.
                 A name is trusted wherever it resolves to; an address or network by whatever name it is reached
    allow_ports  for every host; an entry with a port of its own adds that port for that entry alone
    """

    def __init__(self, allow_hosts: Iterable[str], allow_ports: Iterable[int]) -> None:
        self._allowed = tuple(parse_entry(entry) for entry in allow_hosts)
        self._ports = frozenset(allow_ports)

    def port_allowed(self, host: str, port: int) -> bool:
        """Whether a URL may name this port of this host."""
        return port in self._ports or any(
            allowed.port == port and allowed.covers(host, port) for allowed in self._allowed
        )

    def name_trusted(self, host: str, port: int) -> bool:
        """Whether the operator named this very host (not an address), so that its addresses need no check."""
        return any(isinstance(allowed.host, str) and allowed.covers(host, port) for allowed in self._allowed)

    def address_allowed(self, address: str, port: int) -> bool:
        """Whether to dial this address: public, or in the operator's list. False for what is no address."""
        parsed = parse_address(address)
        if parsed is None:
            return False
        return is_public(parsed) or any(
            not isinstance(allowed.host, str) and allowed.covers(address, port) for allowed in self._allowed
        )
