"""Seeded defects of W1-EXPOSED and W1-INGRESS: open ports, lost routes, false certificates."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from harness.core.waiting import until
from harness.lab.shape import Node
from harness.probes.certificates import Authority
from harness.tests.lab import objects
from harness.tests.lab.red import beside, changed, says
from harness.tests.lab.world import World

LISTEN = (
    "socat TCP4-LISTEN:4444,fork,reuseaddr OPEN:/dev/null & "
    "socat TCP6-LISTEN:4446,fork,reuseaddr,ipv6only=1 OPEN:/dev/null & "
    "exec socat UDP4-RECVFROM:5353,fork,reuseaddr OPEN:/dev/null"
)

# Port 8080 of the machines is the Swarm's.
TRAEFIK_API = 9000


# A port that no socket shows: the kernel's own firewall sends its datagrams on to the pod.
NODE_PORT = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "dns"},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "dns"},
        "ports": [{"protocol": "UDP", "port": 53, "nodePort": 30053}],
    },
}


@contextmanager
def udp_node_port(world: World) -> Iterator[None]:
    """A Service with a UDP port on every machine, and a pod behind it."""
    with objects.namespace(world, "test-udp") as space:
        space.apply(objects.pod("dns", world.one.name, labels={"app": "dns"}), NODE_PORT)
        space.ready("dns")
        for node in world.lab.nodes:
            until(
                partial(forwards_node_port, world, node),
                within_s=120,
                what=f"kube-proxy of {node.name} forwards",
            )
        yield


def forwards_node_port(world: World, node: Node) -> bool:
    """kube-proxy leads the node port to the pod, not to its list of ports without endpoints."""
    found = world.do(node, "nft", "list", "map", "ip", "kube-proxy", "service-nodeports")
    return "udp . 30053" in found


@pytest.mark.defect(
    "only declared ports answer",
    "a host reaches its service",
    "an unknown host gets 404",
    "every declared site answers",
)
def test_open_ports_a_closed_one_and_routes_that_lead_elsewhere_are_found(world: World) -> None:
    _, two, three = world.lab.nodes
    with (
        objects.namespace(world, "test-everybody") as space,
        without_backend(world),
        open_ports(world, two),
        open_traefik_api(world),
        without_firewall(world, three),
        closed_to_web(world, two),
        udp_node_port(world),
    ):
        everybody = objects.ingress("everybody", "removed below", "nothing")
        del everybody["spec"]["rules"][0]["host"]
        # Traefik ignores a route to a service that does not exist.
        space.apply(objects.service("nothing", {"app": "nothing"}, 8000), everybody)
        ruling = world.gate("W1-EXPOSED", "W1-INGRESS")
    also = "expected only declared ports to answer at {}, seen also {}"
    for address, ports in (
        (f"{two.address} (IPv4)", "TCP 4444 (socat)"),
        (f"{two.ipv6} (IPv6)", "TCP 4446 (socat)"),
        (f"{two.address} (IPv4)", "UDP 5353 (socat)"),
    ):
        says(ruling, "W1-EXPOSED", f"{two.name}: {also.format(address, ports)}")
    says(ruling, "W1-EXPOSED", f"{two.name}: ", f"TCP {TRAEFIK_API}")
    says(ruling, "W1-EXPOSED", three.name, "TCP 2379 (etcd)", "UDP 4789 (VXLAN)")
    at_three = f"{three.name}: {also.format(f'{three.address} (IPv4)', '')}"
    says(ruling, "W1-EXPOSED", f"{at_three}UDP 30053 (Service test-udp/dns)")
    says(ruling, "W1-INGRESS", f"{two.address}: expected the host to reach its service")
    says(ruling, "W1-INGRESS", "expected 404 for an unknown host")
    declared = world.lab.profile.ingress
    assert declared is not None
    for at in declared.addresses:
        where = f"https://status.lab.example/healthz at {at}"
        says(ruling, "W1-INGRESS", f"{where}: expected status 200, seen 503")


@contextmanager
def open_ports(world: World, node: Node) -> Iterator[None]:
    """Programs listen on undeclared ports, and the firewall lets traffic to them through."""
    let_in = "nft insert rule inet firewall input {} dport {} accept"
    try:
        for protocol, port in (("tcp", 4444), ("tcp", 4446), ("udp", 5353)):
            world.do(node, *let_in.format(protocol, port).split())
        with beside(world, node, "sh", "-c", LISTEN):
            yield
    finally:
        world.do(node, "nft", "-f", "/etc/nftables.conf")


@contextmanager
def open_traefik_api(world: World) -> Iterator[None]:
    """Traefik's API answers without a password, on a port of every machine."""
    where = ("daemonset/ingress", "--namespace=ingress")
    container = "/spec/template/spec/containers/0"
    port = {"containerPort": 8080, "hostPort": TRAEFIK_API}
    change = [
        {"op": "add", "path": f"{container}/args/-", "value": "--api.insecure"},
        {"op": "add", "path": f"{container}/ports/-", "value": port},
    ]
    world.kubectl("patch", *where, "--type=json", f"--patch={json.dumps(change)}")
    try:
        world.rolled_out("daemonset/ingress", "ingress")
        for node in world.lab.nodes:
            until(
                partial(answers_api, world, node), within_s=60, what=f"Traefik's API on {node.name}"
            )
        yield
    finally:
        world.kubectl("rollout", "undo", *where)
        world.rolled_out("daemonset/ingress", "ingress")


def answers_api(world: World, node: Node) -> bool:
    api = f"http://{node.address}:{TRAEFIK_API}/api/rawdata"
    ask = ("curl", "--silent", "--max-time", "5", api)
    return '"routers"' in world.do(node, *ask, check=False)


@contextmanager
def without_firewall(world: World, node: Node) -> Iterator[None]:
    world.do(node, "nft", "delete", "table", "inet", "firewall")
    try:
        yield
    finally:
        world.do(node, "nft", "-f", "/etc/nftables.conf")


@contextmanager
def closed_to_web(world: World, node: Node) -> Iterator[None]:
    """The machine drops traffic from outside to port 80."""
    rules = (
        "add table inet defect\n"
        "add chain inet defect first { type filter hook prerouting priority -300; }\n"
        "add rule inet defect first iifname host0 tcp dport 80 drop\n"
    )
    world.do(node, "nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        world.do(node, "nft", "delete", "table", "inet", "defect")


@contextmanager
def without_backend(world: World) -> Iterator[None]:
    """No pod is behind the declared site."""

    def select(app: str) -> None:
        patch = json.dumps({"spec": {"selector": {"app": app}}})
        where = ("service", "status", "--namespace=ingress")
        world.kubectl("patch", *where, "--type=merge", f"--patch={patch}")

    select("nobody")
    try:
        yield
    finally:
        select("ingress")


@pytest.mark.defect("TLS is valid")
def test_a_certificate_that_has_ended_is_found(world: World) -> None:
    declared = world.lab.profile.ingress
    assert declared is not None
    assert declared.authority is not None
    authority = Authority()
    certificate, key = authority.issue("status.lab.example", days=-1)
    before = secret(world)
    with changed(declared.authority, authority.pem.encode()):
        put(world, {"tls.crt": coded(certificate), "tls.key": coded(key)})
        try:
            ruling = world.gate("W1-INGRESS")
            says(ruling, "W1-INGRESS", "status.lab.example", "certificate has expired")
        finally:
            put(world, before)


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(world: World) -> dict[str, str]:
    held = world.kubectl("get", "secret", "status", "--namespace=ingress", "--output=json")
    data: dict[str, str] = json.loads(held)["data"]
    return data


def put(world: World, data: dict[str, str]) -> None:
    patch = json.dumps({"data": data})
    where = ("secret", "status", "--namespace=ingress")
    world.kubectl("patch", *where, "--type=merge", f"--patch={patch}")
