"""Faults of the network on the lab: seen by observers, undone, and nothing is left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

import pytest

from harness.core.errors import NotProven, TimedOut
from harness.core.waiting import until
from harness.faults import observers
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import FaultState
from harness.faults.kinds.network import (
    BreakDns,
    CutFromPeer,
    CutOff,
    CutOneWay,
    CutPort,
    LosePackets,
)
from harness.faults.kinds.traffic_control import DelayPackets, LimitBandwidth
from harness.faults.undo_store import NodeUndoStore
from harness.lab.shape import Node
from harness.tests.lab.breaking import Do, inside
from harness.tests.lab.lived import (
    Record,
    active,
    as_before,
    leaving_nothing,
    new_id,
    refusal,
    traces,
)
from harness.tests.lab.world import World
from harness.transport import Reach

# One that slows nothing down.
QUEUE = ("tbf", "rate", "100mbit", "burst", "100000", "latency", "50ms")


@pytest.fixture
def do(world: World) -> Iterator[Do]:
    with inside(world) as do:
        yield do


def name_servers(world: World) -> list[str]:
    """The machines on which CoreDNS runs, without those that it is about to leave."""
    which = ("--namespace=kube-system", "--selector=k8s-app=kube-dns", "--output=json")
    running = [
        pod
        for pod in json.loads(world.kubectl("get", "pods", *which))["items"]
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    return sorted(pod["spec"]["nodeName"] for pod in running)


def test_a_cut_between_two_machines_is_seen_and_gone_and_leaves_nothing(
    world: World, do: Do, record_property: Record
) -> None:
    fault = CutFromPeer(id=new_id(), machine=world.two.name, peer=world.three.name)
    with leaving_nothing(world, do, [fault], record_property):
        assert not do(lambda reach: pings(reach, world.two, world.three))
        assert do(lambda reach: pings(reach, world.two, world.one))


def pings(reach: Reach, one: Node, other: Node) -> bool:
    ping = ("ping", "-n", "-i", "0.2", "-c", "2", "-W", "1", other.address)
    return reach.shell.run(one.name, ping).status == 0


def test_narrow_and_lossy_links_and_names_that_do_not_resolve_leave_nothing(
    world: World, do: Do, record_property: Record
) -> None:
    machine, *others = sorted(world.lab.nodes, key=lambda it: it.name not in name_servers(world))
    faults = (
        BreakDns(id=new_id(), machine=machine.name),
        LosePackets(id=new_id(), machine=others[0].name, percent=30),
        LimitBandwidth(id=new_id(), machine=others[1].name, kbit=4000),
    )
    with leaving_nothing(world, do, faults, record_property) as lives:
        assert {life.stage for life in lives} == {FaultState.ACTIVE}


@pytest.mark.parametrize("direction", ["in", "out"])
def test_the_other_way_goes_on_when_one_is_cut(
    world: World, do: Do, record_property: Record, direction: Literal["in", "out"]
) -> None:
    node, other = world.three, world.two
    before = traces(world, node)
    fault = CutOneWay(id=new_id(), machine=node.name, direction=direction)
    with active(do, fault, record_property):
        heard = echoes(world, other)
        ping = ("ping", "-n", "-i", "0.2", "-c", "2", "-W", "1", other.address)
        world.do(node, *ping, check=False)
        arrived = echoes(world, other) - heard
    assert arrived == (2 if direction == "in" else 0)
    as_before(world, node, before)


def echoes(world: World, node: Node) -> int:
    """The number of pings that a machine has received since it booted."""
    lines = world.do(node, "cat", "/proc/net/snmp").splitlines()
    names, numbers = (it.split()[1:] for it in lines if it.startswith("Icmp:"))
    return int(dict(zip(names, numbers, strict=True))["InEchos"])


def test_a_machine_that_is_cut_off_takes_no_address_along_and_nothing_is_left(
    world: World, do: Do, record_property: Record
) -> None:
    """The isolated machine claims the API's address: other machines must not hear that."""
    api = str(world.lab.shape.api_address)
    fault = CutOff(id=new_id(), machine=world.three.name)
    with leaving_nothing(world, do, [fault], record_property):
        until(
            lambda: api in world.do(world.three, "ip", "-brief", "address", "show", "host0"),
            within_s=60,
            what="the machine that is cut off takes the address of the API",
        )

        def api_answers() -> bool:
            # A write of etcd may wait for a new leader, and a request to the API with it.
            with suppress(TimedOut):
                return do(lambda reach: observers.is_ready(reach, world.one.name))
            return False

        until(api_answers, within_s=90, what="the other machines still reach the API")
    until(
        lambda: api not in world.do(world.three, "ip", "-brief", "address", "show", "host0"),
        within_s=60,
        what="it gives the address back",
    )


def test_a_cut_that_nobody_heals_heals_itself_when_its_lease_ends(
    world: World, do: Do, record_property: Record
) -> None:
    # Long enough to be seen before its end.
    node, lease_s = world.three, 15.0
    before = traces(world, node)
    fault = CutOff(id=new_id(), machine=node.name)
    with active(do, fault, record_property, lease_s=lease_s, renewed=False) as lifecycle:
        until(
            lambda: do(lambda reach: observers.answers_peer(reach, node.name)),
            within_s=lease_s + 15,
            what="it answers again though nobody healed it",
        )
        as_before(world, node, before, within_s=30)
        with pytest.raises(NotProven, match="undid itself"):
            do(lambda _reach: lifecycle.renew())
    assert lifecycle.expired


def test_a_port_that_is_cut_leaves_the_others_and_then_nothing(
    world: World, do: Do, record_property: Record
) -> None:
    address, api_port = world.three.address, 6443
    fault = CutPort(id=new_id(), machine=world.three.name, port=10250)
    with leaving_nothing(world, do, [fault], record_property):
        found = do(
            lambda reach: observers.port_state(reach, world.one.name, "tcp", address, api_port)
        )
    assert found == "open"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        # The lab's kernel is the host's.
        (lambda name: DelayPackets(id=new_id(), machine=name, ms=50), "has no sch_netem"),
        (lambda name: CutPort(id=new_id(), machine=name, port=22), "our own SSH"),
        (lambda name: CutFromPeer(id=new_id(), machine=name, peer=name), "from itself"),
    ],
    ids=["delay-packets", "cut-port of ours", "cut-from-peer itself"],
)
def test_what_cannot_be_is_refused_with_a_reason(
    world: World, do: Do, make: Callable[[str], Fault], words: str
) -> None:
    reason = do(lambda reach: refusal(reach, make(world.three.name)))
    assert words in str(reason)


def test_a_closed_port_can_be_cut_too_since_it_refuses_at_once(world: World, do: Do) -> None:
    fault = CutPort(id=new_id(), machine=world.three.name, port=9, protocol="udp")
    assert do(lambda reach: refusal(reach, fault)) is None


def test_names_cannot_be_broken_where_no_name_server_is(world: World, do: Do) -> None:
    (machine,) = {node.name for node in world.lab.nodes} - set(name_servers(world))
    reason = do(lambda reach: refusal(reach, BreakDns(id=new_id(), machine=machine)))
    assert reason is not None
    assert "no ready CoreDNS pod" in reason


def test_what_is_left_without_an_undo_is_found_and_can_be_removed(world: World, do: Do) -> None:
    node = world.three
    before = traces(world, node)
    world.do(node, "nft", "add table inet cutover-dead")
    world.do(node, "tc", "qdisc", "add", "dev", "host0", "root", "handle", "c0de:", *QUEUE)
    world.do(node, "fallocate", "--length", "4096", "/var/lib/rancher/cutover-fill-dead")
    world.do(node, "systemd-run", "--unit=cutover-fault-dead", "--collect", "sleep", "60")

    def remove(reach: Reach) -> int:
        found = NodeUndoStore(reach, node.name).left().leftovers
        statuses = [reach.shell.run(node.name, command).status for command in found]
        assert not any(statuses), found
        return len(found)

    assert do(remove) == 4
    assert do(remove) == 0
    as_before(world, node, before)
