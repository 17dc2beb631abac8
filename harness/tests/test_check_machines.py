"""Every check of week 1: a clean cluster passes, each defect is caught, named and explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Case, Outcome, Verdict
from harness.tests.clean_case import Seen, buckets, case, clean
from harness.tests.clean_cluster import DAY_S, MACHINES, NAMES, NOW
from harness.tests.looks_at import looks_at

# Breaks one machine, by its place in NAMES.
Defect: TypeAlias = Callable[[Seen, int], None]


def _fact(item: str, **changes: Any) -> Defect:
    def defect(seen: Seen, number: int) -> None:
        seen["host-facts"][NAMES[number]][item]["value"].update(changes)

    return defect


def _whole(probe: str, item: str, value: Any) -> Defect:
    def defect(seen: Seen, number: int) -> None:
        seen[probe][NAMES[number]][item] = {"value": value}

    return defect


def _etcd_open(seen: Seen, number: int) -> None:
    tcp = seen["open-ports"][NAMES[number]]["tcp"]
    tcp[MACHINES[number].address]["value"]["open"] += [2379, 4444]


def _node(**changes: Any) -> Defect:
    def defect(seen: Seen, number: int) -> None:
        seen["nodes"]["test"][NAMES[number]].update(changes)

    return defect


def _condition(name: str, status: str) -> Defect:
    def defect(seen: Seen, number: int) -> None:
        seen["nodes"]["test"][NAMES[number]]["conditions"][name] = status

    return defect


def _no_node(seen: Seen, number: int) -> None:
    del seen["nodes"]["test"][NAMES[number]]


def _unit(unit: str, **changes: str) -> Defect:
    def defect(seen: Seen, number: int) -> None:
        seen["host-facts"][NAMES[number]]["units"]["value"][unit].update(changes)

    return defect


def _narrow_link(seen: Seen, number: int) -> None:
    seen["host-facts"][NAMES[number]]["interfaces"]["value"][0]["mtu"] = 1400


def _no_way_out(seen: Seen, number: int) -> None:
    for name in NAMES:
        if name != NAMES[number]:
            lost = {"sent": 2, "received": 0, "says": "message too long"}
            seen["host-facts"][NAMES[number]][f"path to {name}"]["value"] = lost


def _slow_peers(seen: Seen, number: int) -> None:
    for name in NAMES:
        if name != NAMES[number]:
            item = seen["host-facts"][NAMES[number]][f"etcd round trips to {name}"]
            item["value"] = [0.002] * 98 + [0.064] * 2


def _slow_log(seen: Seen, number: int) -> None:
    members = seen["etcd-writes"]["test"]["members"]
    members[NAMES[number]] = {"wal_fsync_s": buckets(480, 20, 0)}


def _two_members(seen: Seen, number: int) -> None:
    del seen["host-facts"][NAMES[number]]["etcd members"]["value"]["members"][0]


def _stopped_chrony(seen: Seen, number: int) -> None:
    items = seen["host-facts"][NAMES[number]]
    items["chrony"] = {"error": "506 Cannot talk to daemon"}
    items["units"]["value"]["chrony.service"] = {"ActiveState": "inactive"}


def _stopped_etcd(seen: Seen, number: int) -> None:
    items = seen["host-facts"][NAMES[number]]
    items["etcd listens"]["value"] = False
    for item in ("members", "status", "alarms", "metrics"):
        items[f"etcd {item}"] = {"error": "Connection refused"}


def _certificate(days: float) -> dict[str, Any]:
    return {"path": "/tls/a.crt", "subject": "CN=a", "not_after": NOW + days * DAY_S}


_SHOWN = {"subject": "CN=x", "not_after": NOW + 3 * DAY_S}

# check, what is wrong on one machine, words that the reason must hold
DEFECTS: list[tuple[str, Defect, str]] = [
    ("every clock follows its source", _stopped_chrony, "seen it stopped"),
    ("etcd has every member and one leader", _stopped_etcd, "seen its port closed"),
    ("every declared machine is a ready node", _condition("Ready", "Unknown"), "Ready=Unknown"),
    ("every declared machine is a ready node", _no_node, "expected a node of this name"),
    (
        "every node has its declared address, role and version",
        _node(version="v1.33.1+rke2r1"),
        "version v1.34.4+rke2r1, seen v1.33.1",
    ),
    (
        "every node has its declared address, role and version",
        _node(addresses=["10.9.9.9"]),
        "seen 10.9.9.9",
    ),
    (
        "every node has its declared address, role and version",
        _node(roles=[]),
        "seen no control-plane",
    ),
    ("every node has its declared address, role and version", _no_node, "seen none"),
    ("no node is under pressure", _condition("DiskPressure", "True"), "DiskPressure"),
    ("no node has an undeclared taint", _node(taints=["a:NoSchedule"]), "a:NoSchedule"),
    ("every clock follows its source", _fact("chrony", offset_s=-0.1321), "132.1 ms"),
    ("every clock follows its source", _fact("chrony", leap="Not synchronised"), "clock source"),
    ("every clock follows its source", _fact("chrony", sources=[]), "none configured"),
    (
        "every clock follows its source",
        _fact("chrony", sources=[{"name": "10.0.0.254", "state": "?", "reach": 0}]),
        "no answer from 10.0.0.254 (reach 0)",
    ),
    ("every clock follows its source", _fact("chrony", updated_s=7200.0), "120 min ago"),
    ("every clock follows its source", _fact("chrony", reference_id="7F7F0101"), "clock source"),
    ("swap is off and stays off", _fact("swap", active=["/dev/sda3"]), "in use, seen /dev/sda3"),
    ("swap is off and stays off", _fact("swap", at_boot=["/swap"]), "next boot, seen /swap"),
    ("every disk has room", _fact("disk /", free_percent=19.9), "space of / free, seen 19.9 %"),
    ("every disk has room", _fact("disk /", inodes_free_percent=1.0), "inodes of /"),
    ("every machine has memory available", _fact("memory", available_bytes=1), "0.0 %"),
    (
        "kernel parameters are as declared",
        _whole("host-facts", "sysctl net.ipv4.ip_forward", "0"),
        "ip_forward = 1, seen 0",
    ),
    (
        "kernel parameters are as declared",
        _whole(
            "host-facts",
            "sysctl settings",
            {"net.ipv4.ip_forward": {"file": "/etc/sysctl.d/99-hardening.conf", "value": "0"}},
        ),
        "seen 0 in /etc/sysctl.d/99-hardening.conf",
    ),
    (
        "full-sized packets pass between machines",
        _narrow_link,
        "expected MTU 1500",
    ),
    ("full-sized packets pass between machines", _no_way_out, "message too long"),
    (
        "the node service runs and starts at boot",
        _unit("rke2-server.service", ActiveState="failed"),
        "active, seen failed",
    ),
    (
        "the node service runs and starts at boot",
        _unit("rke2-server.service", UnitFileState="disabled"),
        "enabled, seen disabled",
    ),
    (
        # As `systemctl show` says it after `systemctl enable rke2-agent` on a server.
        "the node service runs and starts at boot",
        _unit(
            "rke2-agent.service",
            LoadState="loaded",
            ActiveState="inactive",
            SubState="dead",
            UnitFileState="enabled",
        ),
        "expected rke2-server.service alone enabled, seen rke2-agent.service too",
    ),
    (
        "every machine is safe to reboot",
        _fact("boot", default_target="rescue.target"),
        "rescue.target",
    ),
    ("every machine is safe to reboot", _fact("boot", failed_units=["x.mount"]), "x.mount"),
    (
        "every machine is safe to reboot",
        _unit("rke2-server.service", NeedDaemonReload="yes"),
        "changed since",
    ),
    (
        "every machine is safe to reboot",
        _unit("chrony.service", UnitFileState="disabled"),
        "chrony to start at boot",
    ),
    ("etcd has every member and one leader", _two_members, "3 voting members, seen 2"),
    ("etcd has every member and one leader", _fact("etcd status", leader="0"), "seen none"),
    ("etcd raises no alarm", _fact("etcd alarms", alarms=[{"alarm": "NOSPACE"}]), "NOSPACE"),
    ("etcd's database has room", _fact("etcd metrics", db_bytes=1.1e9), "55.0 %"),
    ("etcd writes its log fast enough", _slow_log, "over 500 writes of the log"),
    ("etcd's members are near enough to each other", _slow_peers, "64.0 ms"),
    (
        "every API server is ready",
        _whole("api-endpoints", "readyz", {"status": 500, "failed": ["etcd"]}),
        "500 with failed checks: etcd",
    ),
    (
        "every API server is ready",
        _whole("api-endpoints", "readyz", {"status": 0, "failed": []}),
        "seen its port closed",
    ),
    (
        "the API answers through every server",
        _whole("api-endpoints", "namespace", {"status": 503, "uid": None}),
        "503",
    ),
    (
        "the API answers through every server",
        _whole("api-endpoints", "namespace", {"status": 0, "uid": None}),
        "seen its port closed",
    ),
    (
        "every certificate lasts long enough",
        _fact("certificates", files=[_certificate(29.4)]),
        "30 more days of /tls/a.crt, seen 29",
    ),
    (
        "every certificate lasts long enough",
        _whole("api-endpoints", "certificate", _SHOWN),
        "API server shows",
    ),
    ("strangers are refused", _whole("api-endpoints", "anonymous api", 403), "seen 403"),
    ("only declared ports answer", _etcd_open, "seen also TCP 2379 (etcd) and TCP 4444"),
    ("strangers are refused", _whole("api-endpoints", "anonymous kubelet", 200), "the kubelet"),
    (
        "every kubeconfig is private",
        _fact("kubeconfig /etc/rancher/rke2/rke2.yaml", mode="0644"),
        "seen 0644 of root",
    ),
    (
        "every kubeconfig is private",
        _fact("kubeconfig /etc/rancher/rke2/rke2.yaml", owner="odoo"),
        "of odoo",
    ),
    (  # as RKE2 makes it with write-kubeconfig-mode 0640 and write-kubeconfig-group
        "every kubeconfig is private",
        _fact("kubeconfig /etc/rancher/rke2/rke2.yaml", mode="0640", group=998),
        "seen 0640 of root and the group 998",
    ),
]


def judge(check: str, seen: Seen, errors: dict[tuple[str, str], str] | None = None) -> Verdict:
    return CHECKS[check](case(seen, errors))


def named(verdict: Verdict, machine: str) -> bool:
    return any(machine in where for where in verdict.where) and machine in verdict.reason


@pytest.mark.parametrize("check", CHECKS)
def test_a_clean_cluster_passes(check: str) -> None:
    verdict = judge(check, clean())
    assert (verdict.outcome, verdict.where) == (Outcome.PASS, ())
    assert verdict.reason


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_and_names_its_machine_alone(
    check: str, defect: Defect, words: str, number: int
) -> None:
    seen = clean()
    defect(seen, number)
    verdict = judge(check, seen)
    assert verdict.outcome is Outcome.FAIL
    assert words in verdict.reason
    assert named(verdict, NAMES[number])
    assert all(where.startswith(NAMES[number]) for where in verdict.where)


@pytest.mark.parametrize("item", ["anonymous api", "anonymous kubelet"])
@pytest.mark.parametrize("status", [404, 429, 502])  # 404: a proxy on the way to a closed port
def test_a_status_that_lets_no_stranger_in_is_not_proven(item: str, status: int) -> None:
    seen = clean()
    _whole("api-endpoints", item, status)(seen, 0)
    verdict = judge("strangers are refused", seen)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert f"seen {status}: find out what answers at that address" in verdict.reason


@pytest.mark.parametrize("check", CHECKS)
def test_having_seen_nothing_is_not_proven(check: str) -> None:
    assert judge(check, {}).outcome is Outcome.NOT_PROVEN


@given(st.data())
def test_a_look_that_failed_never_leaves_a_pass_and_is_named(data: st.DataObject) -> None:
    check = data.draw(st.sampled_from(sorted(CHECKS)))
    probe = data.draw(st.sampled_from(looks_at(check)))
    seen = clean()
    target = data.draw(st.sampled_from(sorted(seen[probe])))
    # Which drills and journeys there should be is known to the engine alone: it misses what never
    # came back.
    if probe in ("drills", "soak", "journey-instance") or data.draw(st.booleans()):
        verdict = judge(check, seen, {(probe, target): "sshd went away"})
        assert "sshd went away" in verdict.reason
    else:
        del seen[probe][target]
        verdict = judge(check, seen)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert any(target in where for where in verdict.where)


@given(st.data())
def test_a_failure_is_not_hidden_by_a_gap_on_another_machine(data: st.DataObject) -> None:
    check, defect, words = data.draw(st.sampled_from(DEFECTS))
    broken, lost = data.draw(st.permutations(range(3)))[:2]
    probe = looks_at(check)[0]
    seen = clean()
    if NAMES[lost] not in seen[probe]:
        return
    defect(seen, broken)
    verdict = judge(check, seen, {(probe, NAMES[lost]): "sshd went away"})
    assert verdict.outcome is Outcome.FAIL
    assert words in verdict.reason
    assert "sshd went away" in verdict.reason
    assert named(verdict, NAMES[broken])


@given(st.data())
def test_an_item_in_error_is_not_proven_and_told(data: st.DataObject) -> None:
    probe = data.draw(st.sampled_from(["host-facts", "api-endpoints"]))
    seen = clean()
    machine = data.draw(st.sampled_from(NAMES))
    item = data.draw(st.sampled_from(sorted(seen[probe][machine])))
    seen[probe][machine][item] = {"error": "no answer within 10 s"}
    outcomes = {check: judge(check, seen) for check in CHECKS if probe in looks_at(check)}
    assert all(it.outcome in (Outcome.PASS, Outcome.NOT_PROVEN) for it in outcomes.values())
    spoiled = [it for it in outcomes.values() if it.outcome is Outcome.NOT_PROVEN]
    assert spoiled
    assert all(named(it, machine) and "no answer within 10 s" in it.reason for it in spoiled)


def test_a_target_that_the_gate_does_not_give_is_no_pass() -> None:
    known = case(clean())
    bare = Case(cluster=known.cluster, targets={}, observations=known.observations)
    with pytest.raises(KeyError):
        CHECKS["every disk has room"](bare)


def test_a_look_at_no_target_says_why_to_every_machine() -> None:
    seen = clean()
    seen["host-facts"] = {"*": None}
    verdict = judge("all clocks agree", seen, {("host-facts", "*"): "the profile is empty"})
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert verdict.reason.count("the profile is empty") == len(NAMES)


def test_an_unexpected_node_is_named() -> None:
    seen = clean()
    seen["nodes"]["test"]["intruder"] = seen["nodes"]["test"][NAMES[0]]
    verdict = judge("no node is unexpected", seen)
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, ("intruder",))


def test_a_declared_taint_that_is_absent_is_named() -> None:
    known = case(clean())
    taints = {NAMES[0]: ("only:NoSchedule",)}
    cluster = replace(known.cluster, expected_taints=taints)
    expecting = Case(cluster=cluster, targets={}, observations=known.observations)
    verdict = CHECKS["no node has an undeclared taint"](expecting)
    assert verdict.where == (NAMES[0],)
    assert "only:NoSchedule is declared, but absent" in verdict.reason
