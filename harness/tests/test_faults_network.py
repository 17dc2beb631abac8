"""What faults of the network would add to a machine, and how others see it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from random import Random

import pytest

from harness.core.errors import TransportError
from harness.faults import observers, reachability_script
from harness.faults.kinds.network import (
    BreakDns,
    CutFromPeer,
    CutOff,
    CutOneWay,
    CutPort,
    LosePackets,
)
from harness.faults.kinds.packets import ControlPath
from harness.faults.kinds.traffic_control import DelayPackets, LimitBandwidth
from harness.tests.fake_transport import FakeShell, ShellAnswer
from harness.tests.fault_examples import ANSWERS, ID, whole_cluster
from harness.tests.fault_examples_network import LINE, NAME_SERVERS, OWN, UPLINK, coredns
from harness.transport import Completed, Reach

SSH = "ip saddr 10.0.0.9 tcp dport 22 accept"
NOT_ON = 'iifname != { "eth0" } accept'


def answering(**answers: ShellAnswer) -> Reach:
    """A whole cluster on which these commands answer something else."""
    changed = {("*", word): answer for word, answer in answers.items()}
    return replace(whole_cluster(), shell=FakeShell({**ANSWERS, **changed}))


def said(text: str, status: int = 0) -> Completed:
    return Completed(status=status, stdout=text, stderr=text if status else "")


def test_our_own_line_is_what_the_sshd_of_the_machine_says() -> None:
    found = CutOff(id=ID, machine="one").resolved(whole_cluster(), Random(1))
    assert (found.line, found.uplinks) == (LINE, ("eth0",))


def test_a_machine_whose_sshd_says_nothing_is_not_cut_off() -> None:
    with pytest.raises(TransportError, match="no usable SSH_CONNECTION"):
        CutOff(id=ID, machine="one").resolved(answering(printenv=said("", 1)), Random(1))


def test_a_machine_that_is_cut_off_lets_only_us_through_before_it_drops_all() -> None:
    tables = CutOff(**OWN).tables()
    assert f"{NOT_ON}; {SSH}; drop;" in tables
    assert "hook prerouting priority -450" in tables
    assert "hook postrouting priority -450" in tables


def test_a_machine_that_is_cut_off_cannot_take_an_address_from_the_others() -> None:
    tables = CutOff(**OWN).tables()
    assert "arp saddr ip != 10.0.0.254 drop;" in tables.split("hook ingress")[1]
    leaving = tables.split('hook egress devices = { "eth0" }')[1]
    assert "arp saddr ip != 10.0.0.1 drop; arp daddr ip != 10.0.0.254 drop;" in leaving


def test_whoever_comes_by_ipv6_is_found_by_it() -> None:
    own = {
        **OWN,
        "line": ControlPath(address="fd00::9", own="fd00::1", port=2222, beyond="fe80::1"),
    }
    tables = CutOff(**own).tables()
    assert "ip6 daddr fd00::9 tcp sport 2222 accept; icmpv6" in tables
    assert "arp" not in tables


def test_one_way_is_cut_and_the_other_is_not() -> None:
    arriving, leaving = CutOneWay(**OWN, direction="in").tables().split("chain leaving", 1)
    assert arriving.count("drop;") == 1
    leaving, neighbours = leaving.split("table netdev")
    assert "drop;" not in leaving
    assert "ingress" in neighbours
    assert "egress" not in neighbours


def test_a_peer_is_known_by_its_addresses_and_the_range_of_its_pods() -> None:
    fault = CutFromPeer(id=ID, machine="one").resolved(whole_cluster(), Random(1))
    assert fault.peer == "two"  # drawn: there is no other
    assert fault.others == ("10.0.0.2", "10.42.1.0/24")
    assert "ip saddr { 10.0.0.2, 10.42.1.0/24 } drop;" in fault.tables()
    both = fault.model_copy(update={"others": ("10.0.0.2", "fd00::/64")}).tables()
    assert "ip daddr { 10.0.0.2 } drop; ip6 daddr { fd00::/64 } drop;" in both


def test_a_port_is_cut_for_whoever_serves_it_but_not_ours() -> None:
    assert "udp dport 4789 drop; udp sport 4789 drop;" in (
        CutPort(**OWN, port=4789, protocol="udp").tables()
    )
    assert "our own SSH" in str(CutPort(**OWN, port=22).refuse(whole_cluster()))


def test_a_port_at_which_nobody_answers_cannot_be_seen_to_fall_silent() -> None:
    silent = answering(python3=said('"silent"'))
    assert "could not be observed" in str(CutPort(**OWN, port=6443).refuse(silent))


def test_what_nftables_does_not_take_is_refused() -> None:
    reach = answering(nft=said("syntax error", 1))
    assert "rejects the rules: syntax error" in str(CutOff(**OWN).refuse(reach))


def test_a_kernel_without_the_egress_hook_is_named_and_not_the_rules() -> None:
    """As nftables 1.0.2 says it on Ubuntu 22.04, whose kernel is 5.15."""
    tables = CutOff(**OWN).tables()
    error = "Error: Could not process rule: Operation not supported"
    reach = answering(nft=said(f"{error}\n{tables}\n{'^^^^^^^':>{len(tables)}}\n", 1))
    why = CutOff(**OWN).refuse(reach)
    assert why is not None
    assert why.startswith(f"nftables of one rejects the rules: {error} (")
    assert "egress hook: Linux 5.16" in why
    # What arrives is dropped by a hook that older kernels have.
    arriving = CutOneWay(**OWN, direction="in").refuse(reach)
    assert arriving == f"nftables of one rejects the rules: {error}"


def test_a_cut_is_taken_back_also_when_it_is_not_there() -> None:
    _, commands = CutOff(**OWN).undo(whole_cluster())
    assert list(commands) == [
        ("nft", "add table inet cutover-f00d; delete table inet cutover-f00d"),
        ("nft", "add table netdev cutover-f00d; delete table netdev cutover-f00d"),
    ]


@pytest.mark.parametrize(
    ("lost", "active", "healed"), [(0, False, True), (4, False, False), (25, True, False)]
)
def test_losses_are_seen_by_pings_that_are_lost(lost: int, active: bool, healed: bool) -> None:
    reach = answering(ping=said(f"40 packets transmitted, 9 received, {lost}% packet loss\n"))
    fault = LosePackets(**OWN, percent=20)
    assert (fault.active(reach), fault.healed(reach)) == (active, healed)


def test_a_ping_that_could_not_be_sent_is_no_answer() -> None:
    with pytest.raises(TransportError, match="ended with 2"):
        observers.pings(answering(ping=said("unknown host", 2)), "one", "two")


def test_a_queue_of_the_machine_itself_is_not_replaced() -> None:
    reach = answering(tc=said("qdisc cake 8001: root refcnt 2 bandwidth 1Gbit\n"))
    reason = str(LimitBandwidth(**UPLINK, kbit=1000).refuse(reach))
    assert "eth0 of one has a queue of its own (cake 8001:)" in reason


def test_a_line_that_is_slow_as_it_is_cannot_be_seen_to_become_so() -> None:
    slow = answering(ping=said("0% packet loss\nrtt min/avg/max/mdev = 1/40/90/3 ms\n"))
    assert "take 40 ms" in str(DelayPackets(**UPLINK, ms=50).refuse(slow))


def test_a_kernel_without_netem_delays_nothing() -> None:
    reach = answering(modprobe=said("", 1), grep=said("", 1))
    assert "has no sch_netem" in str(DelayPackets(**UPLINK, ms=50).refuse(reach))
    assert (
        DelayPackets(**UPLINK, ms=50).refuse(answering(modprobe=said("", 1), grep=said(""))) is None
    )


@pytest.mark.parametrize("kbit", [100, 1000, 20_000])
def test_the_ping_that_shows_a_narrow_line_fits_into_its_queue(kbit: int) -> None:
    fault = LimitBandwidth(**UPLINK, kbit=kbit)
    passes_ms = fault.ping_bytes * 8 / kbit
    assert fault.slow_ms < passes_ms < 1000
    assert fault.slow_ms > 5
    assert fault.ping_bytes <= 60_000


def test_names_are_broken_only_where_a_name_server_is() -> None:
    bare = whole_cluster({NAME_SERVERS: {"items": [coredns("one", "10.42.0.9")]}})
    fault = BreakDns(id=ID, machine="two").resolved(bare, Random(1))
    assert "no ready CoreDNS pod runs on two" in str(fault.refuse(bare))


def test_the_last_name_server_does_not_fall_silent_unless_that_is_said() -> None:
    only = whole_cluster({NAME_SERVERS: {"items": [coredns("one", "10.42.0.9")]}})
    fault = BreakDns(id=ID, machine="one").resolved(only, Random(1))
    why = (
        "name servers that answer: 1 − 1 = 0, 1 needed: "
        "no CoreDNS pod on another machine than one answers"
    )
    assert fault.refuse(only) == why
    assert fault.model_copy(update={"even_all": True}).refuse(only) is None


def test_a_name_server_elsewhere_that_is_ready_and_silent_counts_for_nothing() -> None:
    def asked(argv: Sequence[str], _: str) -> Completed:
        return said('"silent"' if "10.42.1.9" in argv else '"open"')

    whole = answering(python3=asked)
    fault = BreakDns(id=ID, machine="one").resolved(whole, Random(1))
    assert "no CoreDNS pod on another machine than one answers" in str(fault.refuse(whole))


# --- the script that asks ---------------------------------------------------------------------


@contextmanager
def name_server() -> Iterator[int]:
    """Something that answers one datagram with the number of the question; its port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def answer() -> None:
            asked, whence = server.recvfrom(512)
            server.sendto(asked[:2] + b"\x81\x83", whence)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    reachability_script.main("ask", *words)
    return capsys.readouterr().out.strip()


def test_an_open_port_is_told_from_a_closed_one(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"{server.getsockname()[1]}"
        assert ask(capsys, "tcp", "127.0.0.1", port) == '"open"'
    assert ask(capsys, "tcp", "127.0.0.1", port) == '"refused"'
    assert ask(capsys, "udp", "127.0.0.1", port) == '"refused"'


def test_a_name_server_that_knows_no_such_name_answers_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with name_server() as port:
        monkeypatch.setattr(reachability_script, "_DNS", port)
        assert ask(capsys, "dns", "127.0.0.1", "kubernetes.default.svc.cluster.local") == '"open"'


def test_whoever_says_nothing_is_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachability_script, "_WITHIN_S", 0.05)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        assert ask(capsys, "udp", "127.0.0.1", f"{server.getsockname()[1]}") == '"silent"'
