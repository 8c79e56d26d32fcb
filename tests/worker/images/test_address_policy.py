"""Every range that is not the public Internet, and every spelling that pretends to be something else."""

from ipaddress import ip_address

import pytest

from worker.allowed_hosts import is_plain_host
from worker.images.address_policy import AddressPolicy, is_public

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.0.1 168.63.129.16
    169.254.169.254 169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1
    2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 3fff::1
    2002:808:808:: 2a00:1450::5efe:7f00:1 2a00:1450::200:5efe:a00:1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
    fe80::1%eth0 fec0::1 ff02::1 2606:4700::1%1
""".split()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_the_public_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "223.255.255.255"]
)
def test_what_is_public_in_ipv4(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["2001:200::1", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450:4001::1"]
)
def test_what_is_public_in_ipv6(address: str) -> None:
    assert is_public(ip_address(address))


NUMBERS_IN_DISGUISE = """
    127.1 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 017700000001 0300.0250.1.1 127.0.0.1. 1.2.3 1.2.3.4.5 256.1.1.1
    1.1.1.0x1 a.b.09 0x 0x. a..b .a a%41 a:b ex%61mple.com
""".split()


@pytest.mark.parametrize("host", [*NUMBERS_IN_DISGUISE, "", " ", "a b", "a/b", "a" * 64, "a." * 130, "ä.de", "a\n"])
def test_hosts_that_some_resolver_would_read_as_something_else(host: str) -> None:
    assert not is_plain_host(host)


@pytest.mark.parametrize(
    "host", ["example.com", "example.com.", "xn--bcher-kva.de", "a_b.c", "127.0.0.1", "::1", "1e100.net"]
)
def test_plain_hosts(host: str) -> None:
    assert is_plain_host(host)


def test_nothing_private_is_allowed_unless_named() -> None:
    policy = AddressPolicy((), (80, 443))
    assert policy.address_allowed("1.1.1.1", 80)
    assert not policy.address_allowed("127.0.0.1", 80)
    assert not policy.address_allowed("localhost", 80)
    assert not policy.name_trusted("localhost", 80)
    assert not policy.port_allowed("example.com", 22)


@pytest.mark.parametrize("entry", ["10.1.0.0/16", "10.1.2.3", "10.1.2.3/16"])
def test_an_allowed_network_is_allowed_on_any_allowed_port(entry: str) -> None:
    policy = AddressPolicy((entry,), (80, 8080))
    assert policy.address_allowed("10.1.2.3", 8080)
    assert policy.port_allowed("10.1.2.3", 8080)
    assert not policy.port_allowed("10.1.2.3", 9000)
    assert not policy.address_allowed("10.2.0.1", 80)
    assert not policy.address_allowed("::ffff:10.1.2.3", 80)


@pytest.mark.parametrize(
    ("entry", "host"),
    [("10.1.2.3:9000", "10.1.2.3"), ("[fd00::1]:9000", "fd00::1"), ("media.internal:9000", "media.internal")],
)
def test_an_entry_with_a_port_adds_that_port_for_itself_alone(entry: str, host: str) -> None:
    policy = AddressPolicy((entry,), (80,))
    assert policy.port_allowed(host, 9000)
    assert not policy.port_allowed("example.com", 9000)
    assert policy.address_allowed(host, 9000) or policy.name_trusted(host, 9000)
    assert not policy.address_allowed(host, 80)
    assert not policy.name_trusted(host, 80)


@pytest.mark.parametrize("entry", ["fd00::/8", "fd00::1", "[fd00::1]"])
def test_ipv6_entries(entry: str) -> None:
    assert AddressPolicy((entry,), (80,)).address_allowed("fd00::1", 80)


def test_a_named_host_is_trusted_and_its_neighbours_are_not() -> None:
    policy = AddressPolicy(("media.internal",), (80,))
    assert policy.name_trusted("media.internal", 80)
    assert policy.name_trusted("media.internal.", 80)
    assert not policy.name_trusted("evil.media.internal", 80)
    assert not policy.name_trusted("media.internal.evil.com", 80)
