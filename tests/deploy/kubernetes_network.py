"""What must hold of the network policies; laws as in kubernetes_pods.

`may_reach` reads the policies as Kubernetes documents them: what any policy of a pod allows is allowed, and a direction
that no policy of the pod is about is open.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from kubernetes_objects import Objects, pod_template

from worker.images import address_policy
from worker.images.address_policy import Address, is_public

Labels = Mapping[str, str]

# the workers' own
OWN_NAMESPACE = "mner"

# One of every kind that must never be dialled for a stranger, beside the edges of all the ranges.
INNER_ADDRESSES = (
    "10.96.0.1 127.0.0.1 169.254.169.254 172.31.255.255 192.168.1.1 100.100.100.200 168.63.129.16 ::1 fd00::1 fe80::1"
)
OUTER_ADDRESSES = "1.1.1.1 8.8.8.8 93.184.215.14 172.15.255.255 172.32.0.1 2606:4700::1111 2a00:1450:4001::1"


def images_come_from_public_addresses_alone(objects: Objects) -> None:
    for address in _telling_addresses():
        for port in (80, 443):
            assert may_reach(objects, _workers(objects), address, port) == is_public(address), f"{address}:{port}"
        assert not may_reach(objects, _workers(objects), address, 22), address
        assert not may_reach(objects, _topics(objects), address, 443), address


def only_prometheus_and_other_workers_may_come_in(objects: Objects) -> None:
    [port] = [port["containerPort"] for port in objects.worker["ports"]]
    # both in one peer: Prometheus' pods in that namespace, not all of the namespace and all named so anywhere
    prometheus = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    }
    others = {"podSelector": {"matchLabels": _workers(objects)}}
    for labels, peers in ((_workers(objects), [prometheus, others]), (_topics(objects), [prometheus])):
        policies = _policies_of(objects, labels)
        assert any("Ingress" in policy["policyTypes"] for policy in policies)
        rules = [rule for policy in policies for rule in policy.get("ingress", [])]
        assert all(rule["ports"] == [{"port": port, "protocol": "TCP"}] for rule in rules)
        assert [peer for rule in rules for peer in rule["from"]] == peers


def a_worker_may_ask_the_others_for_their_metrics(objects: Objects) -> None:
    port = objects.settings(objects.deployment).http_port
    workers = _workers(objects)
    assert may_reach(objects, workers, (OWN_NAMESPACE, workers), port)
    assert not may_reach(objects, workers, (OWN_NAMESPACE, workers), 22)
    assert not may_reach(objects, workers, (OWN_NAMESPACE, {"app": "anything"}), port)
    assert not may_reach(objects, workers, ("default", workers), port)
    assert not may_reach(objects, _topics(objects), (OWN_NAMESPACE, workers), port)


def names_can_be_looked_up(objects: Objects) -> None:
    dns = {"k8s-app": "kube-dns"}
    for labels in (_workers(objects), _topics(objects)):
        for protocol in ("UDP", "TCP"):
            assert may_reach(objects, labels, ("kube-system", dns), 53, protocol)
            assert may_reach(objects, labels, ip_address("169.254.20.10"), 53, protocol)
        assert not may_reach(objects, labels, ("kube-system", {"component": "kube-apiserver"}), 53)


def kafka_and_redis_are_all_it_reaches_inside(objects: Objects) -> None:
    settings = objects.settings(objects.deployment)
    for broker in settings.brokers:
        namespace, port = _service(broker)
        assert may_reach(objects, _workers(objects), (namespace, {}), port)
        assert may_reach(objects, _topics(objects), (namespace, {}), port)
    redis = urlsplit(settings.redis_url.get_secret_value())
    namespace, port = _service(f"{redis.hostname}:{redis.port}")
    assert may_reach(objects, _workers(objects), (namespace, {}), port)
    assert not may_reach(objects, _topics(objects), (namespace, {}), port)
    for other_port in (80, 443, 6443, 8080, port):
        assert not may_reach(objects, _workers(objects), ("default", {"app": "anything"}), other_port)


def may_reach(
    objects: Objects, labels: Labels, peer: Address | tuple[str, Labels], port: int, protocol: str = "TCP"
) -> bool:
    """Whether pods with these labels may open a connection to an address, or to a pod (its namespace and labels)."""
    policies = [policy for policy in _policies_of(objects, labels) if "Egress" in policy["policyTypes"]]
    rules = [rule for policy in policies for rule in policy["egress"]]
    return not policies or any(
        {"port": port, "protocol": protocol} in rule["ports"] and any(_is_peer(allowed, peer) for allowed in rule["to"])
        for rule in rules
    )


def _is_peer(allowed: Mapping[str, Any], peer: Address | tuple[str, Labels]) -> bool:
    if isinstance(peer, tuple):
        if "ipBlock" in allowed:
            return False  # which is not for pods
        namespace, labels = peer
        own = {"matchLabels": {"kubernetes.io/metadata.name": OWN_NAMESPACE}}  # a podSelector alone is for that one
        return _selects(allowed.get("namespaceSelector", own), {"kubernetes.io/metadata.name": namespace}) and _selects(
            allowed.get("podSelector", {}), labels
        )
    block = allowed.get("ipBlock")
    return (
        block is not None
        and peer in ip_network(block["cidr"])
        and not any(peer in ip_network(network) for network in block.get("except", []))
    )


def _policies_of(objects: Objects, labels: Labels) -> list[Mapping[str, Any]]:
    return [
        policy["spec"] for policy in objects.all("NetworkPolicy") if _selects(policy["spec"]["podSelector"], labels)
    ]


def _selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def _telling_addresses() -> list[Address]:
    """Where the answer could change: the first and last address of each range that the worker knows, and next to it."""
    known: list[IPv4Network | IPv6Network] = [
        *address_policy._NOT_PUBLIC_IPV4,
        *address_policy._NOT_PUBLIC_IPV6,
        address_policy._PUBLIC_IPV6,
    ]
    addresses = [ip_address(text) for text in f"{INNER_ADDRESSES} {OUTER_ADDRESSES}".split()]
    for network in known:
        for edge in (network[0], network[-1]):
            near = (int(edge) + step for step in (-1, 0, 1))
            addresses += [type(edge)(number) for number in near if 0 <= number < 2**network.max_prefixlen]
    return addresses


def _service(host_and_port: str) -> tuple[str, int]:
    """The namespace in the name of a Service or of a pod behind it, and the port."""
    host, _, port = host_and_port.rpartition(":")
    *_, namespace, svc = host.split(".")
    assert svc == "svc", host
    return namespace, int(port)


def _workers(objects: Objects) -> Labels:
    return pod_template(objects.deployment)["metadata"]["labels"]


def _topics(objects: Objects) -> Labels:
    return pod_template(objects.job)["metadata"]["labels"]


LAWS = (
    images_come_from_public_addresses_alone,
    only_prometheus_and_other_workers_may_come_in,
    a_worker_may_ask_the_others_for_their_metrics,
    names_can_be_looked_up,
    kafka_and_redis_are_all_it_reaches_inside,
)
