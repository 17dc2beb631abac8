"""Ceph's hosts and the declared machines: as Rook names them, as cephadm does, and in doubt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.ceph import osds
from harness.checks import CHECKS
from harness.core.errors import NotProven
from harness.core.model import Case, Outcome
from harness.facts.ceph import CEPH
from harness.facts.ceph_names import by_machine, in_doubt, machine_of_each
from harness.facts.schema import read
from harness.faults import cluster_state
from harness.faults.budget import ClusterState, refusal
from harness.faults.kinds.ceph import osd_of
from harness.faults.model import BlastRadius
from harness.probes import ceph
from harness.tests.clean_case import Seen, case, clean
from harness.tests.clean_cluster import NAMES
from harness.tests.fault_examples import whole_cluster
from harness.transport import Completed, Reach

FULL = [f"{name}.contaboserver.net" for name in NAMES]
DASHED = [name.replace(".", "-") for name in FULL]
OSDS, ANSWER = "every OSD is up and in", "every OSD answers"
APART, ROOM = "the copies lie on different machines", "losing one machine leaves room"


@pytest.mark.parametrize(
    ("hosts", "machines", "wanted"),
    [
        (["one"], ["one", "two"], {"one": "one"}),
        (["a-net"], ["a.net"], {"a-net": "a.net"}),
        (["a"], ["a.net"], {"a": "a.net"}),
        (["a.net"], ["a"], {"a.net": "a"}),
        # A bucket that another platform left keeps its own name.
        (["a", "a-net"], ["a.net"], {"a-net": "a.net"}),
        (["a-b", "a.b"], ["a-b", "a.b"], {"a-b": "a-b", "a.b": "a.b"}),
        (["A.NET"], ["a"], {"A.NET": "a"}),
        (["A", "a"], ["a"], {"a": "a"}),
        (["a.org"], ["a.net"], {}),
        (["a"], ["a.net", "a.org"], {}),
        (["a.net", "a.org"], ["a"], {}),
        (["a.net", "a"], ["a.net", "a.org"], {"a.net": "a.net"}),
        (["a-b-c"], ["a.b-c", "a-b.c"], {}),
        (["rack1"], ["a.net"], {}),
    ],
)
def test_a_host_is_the_machine_that_it_must_be(
    hosts: list[str], machines: list[str], wanted: Mapping[str, str]
) -> None:
    assert machine_of_each(hosts, machines) == wanted


def test_a_host_that_may_be_several_machines_is_in_doubt_and_a_foreign_one_is_not() -> None:
    assert in_doubt(["a", "b", "c-net"], ["a.net", "a.org", "c.net"]) == ["a"]


NAMES_ = st.lists(
    st.from_regex(r"[ab](-[ab])?(\.[ab])?(\.[ab])?", fullmatch=True), max_size=6, unique=True
)


@given(NAMES_, NAMES_)
def test_no_host_is_lost_and_no_machine_is_given_two(hosts: list[str], machines: list[str]) -> None:
    found = machine_of_each(hosts, machines)
    assert len(set(found.values())) == len(found)
    assert sorted(by_machine(dict.fromkeys(hosts), machines)) == sorted(
        found.get(host, host) for host in hosts
    )
    assert len(by_machine(dict.fromkeys(hosts), machines)) == len(hosts)
    assert all(found[host] == host for host in set(hosts) & set(machines))
    assert found == machine_of_each(reversed(hosts), reversed(machines))


def renamed(hosts: Sequence[str], machines: Sequence[str] = FULL) -> Case:
    """The clean cluster, with its machines and Ceph's hosts under other names."""
    seen: Seen = clean()
    tree: Any = seen["ceph"]["test"]
    tree = tree["items"]["osd tree"]["value"]
    tree["hosts"] = dict(zip(hosts, tree["hosts"].values(), strict=True))
    known = case(seen)
    named = zip(known.cluster.machines, machines, strict=True)
    disks = zip(machines, known.cluster.osd_disks.values(), strict=True)
    return replace(
        known,
        cluster=replace(
            known.cluster,
            machines=tuple(replace(it, name=name) for it, name in named),
            osd_disks=dict(disks),
        ),
    )


@pytest.mark.parametrize("hosts", [DASHED, FULL, NAMES], ids=["Rook", "full", "short"])
@pytest.mark.parametrize("check", [OSDS, ANSWER, APART, ROOM])
def test_machines_with_full_names_have_their_osds(check: str, hosts: Sequence[str]) -> None:
    verdict = CHECKS[check](renamed(hosts))
    assert verdict.outcome is Outcome.PASS, verdict.reason


def test_what_is_wrong_is_said_of_the_machine() -> None:
    known = renamed(DASHED)
    tree: Any = known.of("ceph")["test"].value
    tree["items"]["osd tree"]["value"]["hosts"][DASHED[1]][0]["up"] = False
    verdict = CHECKS[OSDS](known)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == f"{FULL[1]}: expected osd.1 up, seen it down"


def test_a_short_name_of_two_machines_is_neither() -> None:
    machines = ["one.a.example", "one.b.example", "two"]
    verdict = CHECKS[OSDS](renamed(["one", "one-b-example", "two"], machines))
    assert verdict.outcome is Outcome.FAIL
    assert "one.a.example: expected 1 OSD on this machine, seen 0" in verdict.reason
    assert "one: expected OSDs on declared machines only, seen osd.0 here" in verdict.reason


def named(*names: str, answers: Mapping[tuple[str, str], Any] = {}) -> Reach:
    """A cluster that is well, of two machines of these names."""
    reach = whole_cluster(answers=answers)
    machines = tuple(
        machine.model_copy(update={"name": name})
        for machine, name in zip(reach.profile.machines, names, strict=True)
    )
    return replace(reach, profile=reach.profile.model_copy(update={"machines": machines}))


def ceph_of(
    monkeypatch: pytest.MonkeyPatch,
    hosts: Sequence[str],
    monitors: list[str],
    groups: Sequence[str] = (),
) -> None:
    """Ceph says this of its hosts and monitors, each host with one OSD, and states of groups."""
    osd = {"up": True, "in": True}
    pool = {"id": 1, "name": "rbd", "size": 2, "min_size": 2, "type": 1, "crush_rule": 0}
    of: dict[str, Any] = {
        "quorum": {"monitors": monitors, "in": monitors, "at": {name: [] for name in monitors}},
        "osd tree": {
            "hosts": {host: [{"id": at, **osd}] for at, host in enumerate(hosts)},
            "stray": [],
        },
        "osd map": {"flags": [], "nearfull_ratio": 0.85, "pools": [pool]},
        "placement groups": [
            {"id": f"1.{at}", "state": it, "acting": [0, 1], "scrubbed": 0.0, "deep_scrubbed": 0.0}
            for at, it in enumerate(groups)
        ],
        "osd answers": {
            str(at): {"value": {"answers": True, "says": ""}} for at in range(len(hosts))
        },
    }
    items = {name: {"value": value} for name, value in of.items()}
    said = {"through": "one", "items": items, "silent": {}, "lost": {}}
    monkeypatch.setattr(ceph, "look", lambda _: read(CEPH.kind, said))


def stands(reach: Reach) -> ClusterState:
    nothing = ClusterState(machines=(), ready=frozenset(), etcd=(), etcd_well=frozenset())
    return cluster_state._with_ceph(reach, nothing)


@pytest.mark.parametrize("hosts", [["one-net", "two-net"], ["one", "two"]], ids=["Rook", "short"])
def test_an_osd_is_counted_as_lost_with_its_machine(
    monkeypatch: pytest.MonkeyPatch, hosts: list[str]
) -> None:
    ceph_of(monkeypatch, hosts, ["one", "two"])
    state = stands(named("one.net", "two.net"))
    assert state.osds_up == ("one.net", "two.net")
    assert state.in_quorum == {"one.net", "two.net"}
    assert "2 − 1 = 1" in (refusal(state, "one.net", frozenset({BlastRadius.OSD})) or "")


@pytest.mark.parametrize(
    ("state", "unclean"),
    [
        ("active+clean", 0),
        # Ceph scrubs every group once a day: with some hundred of them, one at almost any time.
        ("active+clean+scrubbing", 0),
        ("active+clean+scrubbing+deep", 0),
        ("active+clean+snaptrim", 0),
        ("active+clean+scrubbing+deep+repair", 0),
        ("active+clean+inconsistent", 1),
        ("active+clean+scrubbing+deep+inconsistent+repair", 1),
        ("active+clean+remapped", 1),
        ("active+undersized+degraded", 1),
        ("stale+active+clean", 1),
    ],
)
def test_a_scrub_refuses_no_fault_and_a_damaged_group_does(
    monkeypatch: pytest.MonkeyPatch, state: str, unclean: int
) -> None:
    ceph_of(monkeypatch, ["one", "two"], ["one", "two"], ["active+clean", state])
    assert stands(named("one.net", "two.net")).unclean == unclean


def test_nothing_is_broken_while_nobody_knows_whose_osd_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ceph_of(monkeypatch, ["one"], ["one"])
    with pytest.raises(NotProven, match="which declared machine Ceph's host one is"):
        stands(named("one.net", "one.org"))


@pytest.mark.parametrize(
    ("host", "other", "number"),
    [("one-net", "two.net", "4"), ("one", "two.net", "4"), ("one", "one.org", "")],
)
def test_a_fault_finds_the_osd_of_its_machine(host: str, other: str, number: str) -> None:
    tree = {"nodes": [{"name": host, "type": "host", "children": [4]}]}
    said = Completed(status=0, stdout=json.dumps(tree), stderr="")
    reach = named("one.net", other, answers={("*", "ceph"): said})
    assert osd_of(reach, "one.net", Random(1)) == number


@pytest.mark.parametrize(("other", "machine"), [("two.net", "one.net"), ("one.org", None)])
def test_an_osd_s_own_host_name_is_a_machine_too(other: str, machine: str | None) -> None:
    def ceph(argv: Any, _: str) -> Completed:
        dump = {"fsid": "f", "osds": [{"osd": 0, "uuid": "u"}]}
        metadata = [{"id": 0, "hostname": "one", "bluestore_bdev_partition_path": "/dev/sdb1"}]
        said = dump if "dump" in argv else metadata
        return Completed(status=0, stdout=json.dumps(said), stderr="")

    told = osds(named("one.net", other, answers={("*", "ceph"): ceph}), "one.net")
    assert told.osds[0].machine == machine
