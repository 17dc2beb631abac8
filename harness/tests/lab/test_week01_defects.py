"""Seeded defects of week 1: each breaks the lab for real, and must turn its requirement red.

A test heals what it broke; the ``world`` fixture then waits until the lab is whole again.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from harness.lab import machines
from harness.lab.shape import Node
from harness.model import Exit
from harness.tests.lab import certificates
from harness.tests.lab.world import Ruling, World
from harness.waiting import until

TLS = "rancher/rke2/server/tls"
MANIFESTS = "/var/lib/rancher/rke2/agent/pod-manifests"
BUILT = ("W1-NODES", "W1-HOST", "W1-ETCD", "W1-API", "W1-NETWORK")


def says(ruling: Ruling, requirement: str, *words: str, outcome: str = "fail") -> None:
    """Assert that the requirement is red, for a reason with these words in it."""
    reason = ruling.reason(requirement)
    assert ruling.outcome(requirement) == outcome, reason
    missing = [word for word in words if word not in reason]
    assert not missing, f"the reason does not say {missing}: {reason}"
    assert ruling.status == (Exit.NO_GO if outcome == "fail" else Exit.NOT_PROVEN)


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """The file holds something else for a while; its mode and owner stay."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def test_a_whole_lab_is_green(world: World) -> None:
    ruling = world.gate(*BUILT)
    assert {r: ruling.outcome(r) for r in BUILT} == dict.fromkeys(BUILT, "pass"), [
        ruling.reason(r) for r in BUILT
    ]
    assert ruling.status == Exit.GO


def test_a_stopped_kubelet_is_found_on_its_machine_and_in_the_node_list(world: World) -> None:
    world.do(world.two, "systemctl", "stop", "rke2-server")
    try:
        world.lost(world.two)
        ruling = world.gate("W1-HOST", "W1-NODES")
        says(ruling, "W1-HOST", world.two.name, "rke2-server")
        says(ruling, "W1-NODES", world.two.name, "Ready")
    finally:
        world.do(world.two, "systemctl", "start", "rke2-server")


def test_a_stopped_chronyd_is_found(world: World) -> None:
    world.do(world.three, "systemctl", "stop", "chrony")
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.three.name, "chrony")
    finally:
        world.do(world.three, "systemctl", "start", "chrony")
        clock_follows(world, world.three)


def test_a_clock_that_is_off_its_source_is_found(world: World) -> None:
    configuration = world.two.root / "etc/chrony/chrony.conf"
    text = configuration.read_text()
    shifted = re.sub(r"^(server .*)$", r"\1 offset 0.3", text, flags=re.MULTILINE)
    with changed(configuration, shifted.encode()):
        try:
            world.do(world.two, "systemctl", "restart", "chrony")
            clock_follows(world, world.two)
            says(world.gate("W1-HOST"), "W1-HOST", world.two.name, "clock")
        finally:
            configuration.write_text(text)
            world.do(world.two, "systemctl", "restart", "chrony")
            clock_follows(world, world.two)


def clock_follows(world: World, node: Node) -> None:
    """Wait until the machine's chronyd has chosen its source."""
    until(
        lambda: ",Normal" in world.do(node, "chronyc", "-c", "tracking", check=False),
        within_s=60,
        what=f"chronyd of {node.name} follows its source",
    )


def test_swap_that_is_on_is_found(world: World) -> None:
    # The kernel is the host's, so no swap is turned on: the machine is shown one that would be.
    shown = "Filename Type Size Used Priority\n/swapfile file 1048572 0 -2\n"
    world.do(world.one, "sh", "-c", "cat > /run/swaps", stdin=shown)
    world.do(world.one, "mount", "--bind", "/run/swaps", "/proc/swaps")
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.one.name, "swap", "/swapfile")
    finally:
        world.do(world.one, "umount", "/proc/swaps")


def test_swap_that_a_reboot_would_bring_is_found(world: World) -> None:
    with changed(world.one.root / "etc/fstab", b"/swapfile none swap sw 0 0\n"):
        says(world.gate("W1-HOST"), "W1-HOST", world.one.name, "swap")


def test_a_stopped_etcd_member_is_found(world: World) -> None:
    away = "/var/lib/rancher/rke2/agent/etcd.yaml"
    world.do(world.three, "mv", f"{MANIFESTS}/etcd.yaml", away)
    try:
        until(
            lambda: not world.do(world.three, "pgrep", "-x", "etcd", check=False).strip(),
            within_s=60,
            what="etcd has stopped",
        )
        says(world.gate("W1-ETCD"), "W1-ETCD", world.three.name, "etcd member")
    finally:
        world.do(world.three, "mv", away, f"{MANIFESTS}/etcd.yaml")


def test_a_certificate_that_ends_soon_is_found(world: World) -> None:
    tls = world.two.system / TLS
    certificate = tls / "front-proxy-client.crt"
    soon = certificates.ending_in(certificate, tls / "front-proxy-ca.crt", timedelta(days=20))
    with changed(certificate, soon):
        says(world.gate("W1-API"), "W1-API", world.two.name, "front-proxy-client.crt")


def test_a_certificate_that_has_ended_is_found(world: World) -> None:
    tls = world.three.system / TLS
    certificate = tls / "apiserver.crt"
    ended = certificates.ending_in(certificate, tls / "ca.crt", timedelta(days=-1))
    with changed(certificate, ended):
        says(world.gate("W1-API"), "W1-API", world.three.name, "apiserver.crt", "expired")


def test_a_kubeconfig_that_everyone_may_read_is_found(world: World) -> None:
    path = world.one.root / "etc/rancher/rke2/rke2.yaml"
    path.chmod(0o644)
    try:
        says(world.gate("W1-API"), "W1-API", world.one.name, "rke2.yaml", "0644")
    finally:
        path.chmod(0o600)


def test_a_cordoned_and_tainted_node_is_found(world: World) -> None:
    name = world.two.name
    world.kubectl("cordon", name)
    world.kubectl("taint", "node", name, "maintenance=now:NoSchedule")
    try:
        says(world.gate("W1-NODES"), "W1-NODES", name, "unschedulable", "maintenance")
    finally:
        world.kubectl("taint", "node", name, "maintenance-", check=False)
        world.kubectl("uncordon", name)


def test_a_wrong_address_in_the_profile_is_found(world: World) -> None:
    profile = world.profile_with([(f"address: {world.three.address}}}", "address: 10.0.0.33}")])
    ruling = world.gate("W1-NODES", cluster=profile)
    says(ruling, "W1-NODES", world.three.name, "10.0.0.33", world.three.address)


def test_one_lost_pod_route_fails_exactly_its_own_pair(world: World) -> None:
    to_three = [line for line in routes(world, world.one) if f"via {world.three.address} " in line]
    destination = to_three[0].split()[0]
    world.do(world.one, "ip", "route", "delete", destination)
    try:
        ruling = world.gate("W1-NETWORK")
        says(ruling, "W1-NETWORK", f"{world.one.name} → {world.three.name}")
        names = [node.name for node in world.lab.nodes]
        pairs = {
            (a, b) for a in names for b in names if f"{a} → {b}" in ruling.reason("W1-NETWORK")
        }
        assert pairs == {(world.one.name, world.three.name)}
    finally:
        world.do(world.one, "networkctl", "reconfigure", "host0")
        until(
            lambda: any(line.startswith(destination) for line in routes(world, world.one)),
            within_s=30,
            what="the route is back",
        )


def routes(world: World, node: Node) -> list[str]:
    """The machine's routes, as ``ip route`` prints them."""
    return world.do(node, "ip", "route").splitlines()


def test_a_lower_mtu_on_one_link_is_found(world: World) -> None:
    world.do(world.three, "ip", "link", "set", "host0", "mtu", "1400")
    try:
        says(world.gate("W1-HOST"), "W1-HOST", world.three.name, "1400")
    finally:
        world.do(world.three, "ip", "link", "set", "host0", "mtu", "1500")


def test_a_cluster_without_dns_is_found(world: World) -> None:
    scale = ("scale", "deployment", "coredns", "--namespace=kube-system")
    world.kubectl(*scale, "--replicas=0")
    try:
        world.kubectl(
            "wait", "pod", "--for=delete", "--namespace=kube-system", "-lk8s-app=kube-dns"
        )
        says(world.gate("W1-NETWORK"), "W1-NETWORK", "name server")
    finally:
        world.kubectl(*scale, "--replicas=2")


def test_anonymous_access_is_found(world: World) -> None:
    path = world.two.system / "rancher/rke2/server/authentication.yaml"
    opened = re.sub(r"  conditions:\n(    .*\n)+", "", path.read_text())
    assert "conditions" not in opened
    ask = ["curl", "-sk", "--max-time", "3", "-o", "/dev/null", "-w", "%{http_code}"]
    url = "https://127.0.0.1:6443/api/v1/namespaces"

    def answers(status: str) -> None:
        # Who may come in without a name is read when the API server starts, and only then.
        world.do(world.two, "pkill", "-x", "kube-apiserver")
        until(
            lambda: world.do(world.two, *ask, url, check=False).strip() == status,
            within_s=120,
            what=f"the API server answers {status} to strangers",
        )

    with changed(path, opened.encode()):
        answers("403")
        says(world.gate("W1-API"), "W1-API", world.two.name, "403")
    answers("401")


def test_a_machine_without_power_is_found(world: World) -> None:
    world.power_off(world.two)
    try:
        world.lost(world.two)
        ruling = world.gate("W1-NODES", "W1-HOST")
        assert machines.init(world.lab, world.two) is None, "the gate healed what it had to judge"
        says(ruling, "W1-NODES", world.two.name, "Ready")
        says(ruling, "W1-HOST", f"{world.one.name} → {world.two.name}", "none of", "not judged")
    finally:
        world.power_on(world.two)


def test_an_api_under_another_authority_proves_nothing(world: World) -> None:
    original = world.lab.profile.access.kubeconfig
    text = original.read_text()
    other = world.scratch / "kubeconfig"
    replaced = base64.b64encode(certificates.authority("another authority")).decode()
    other.write_text(re.sub(r"(certificate-authority-data: ).*", rf"\g<1>{replaced}", text))
    other.chmod(0o600)
    place = "${state}/labs/lab/access/kubeconfig"
    ruling = world.gate("W1-NODES", cluster=world.profile_with([(place, str(other))]))
    says(ruling, "W1-NODES", "authority", outcome="not_proven")


def test_a_machine_with_another_host_key_proves_nothing(world: World) -> None:
    pinned = world.lab.profile.access.ssh.known_hosts.read_text().splitlines()
    swapped = [line.replace(world.one.address, "10.0.0.99") for line in pinned]
    unknown = world.scratch / "known_hosts"
    unknown.write_text("\n".join(swapped) + "\n")
    place = "${state}/labs/lab/access/known_hosts"
    ruling = world.gate("W1-HOST", cluster=world.profile_with([(place, str(unknown))]))
    says(ruling, "W1-HOST", world.one.name, "host key", outcome="not_proven")


@pytest.mark.parametrize("requirement", BUILT)
def test_after_all_defects_are_healed_the_lab_is_green_again(
    world: World, requirement: str
) -> None:
    ruling = world.gate(requirement)
    assert ruling.outcome(requirement) == "pass", ruling.reason(requirement)
