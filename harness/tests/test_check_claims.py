"""Checks of claims: each defect is red in words of its own, and each gap is no pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks import CHECKS, claim_contents, claims
from harness.core.declared import StorageClass
from harness.core.model import Case, Outcome, Verdict
from harness.probes import owned
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER, NAMES
from harness.tests.fake_transport import FakeKube

Defect: TypeAlias = Callable[[Any], None]
ONE, TWO, THREE = NAMES
PAIR = f"{ONE} → {TWO}"
MIB = 1 << 20
CLEAN = clean()["claims"]["test"]

CLASS, BOUND = "the storage class is as declared", "claims are bound in time"
DATA, METADATA = "what one machine writes every other reads unchanged", "metadata survives"
LINES, SMALL = "appenders with locks lose nothing", "many small files are whole"
FULL, GROWS = "a full claim gives EDQUOT", "a claim grows while it is in use"
SPACE = "a deleted claim gives its space back"


def at(*path: str, **changes: Any) -> Defect:
    """These things are otherwise at that place of what was seen."""

    def defect(value: Any) -> None:
        for word in path:
            value = value[word]
        value.update(changes)

    return defect


def instead(*path: str, by: Any) -> Defect:
    """Something else stands at that place."""
    *most, last = path
    return at(*most, **{last: by})


def judge(check: str, defect: Defect | None = None, **declared: Any) -> Verdict:
    value = CLEAN if defect is None else deepcopy(CLEAN)
    if defect is not None:
        defect(value)
    known = case({"claims": {"test": value}})
    cluster = replace(CLUSTER, **declared)
    whole = Case(cluster=cluster, targets=known.targets, observations=known.observations)
    return CHECKS[check](whole)


def wrong(first: str) -> Any:
    return {"value": {"right": 64, "wrong": 1, "first": [first]}}


def kinds(**seen: str) -> Any:
    return {"value": {"mode": "0o4751", "owner": "20001:20500", "access list": "0200"} | seen}


def lines(**found: Any) -> Any:
    whole = {"right": 180, "torn": 0, "lost": 0, "twice": 0, "first": []}
    return {"value": whole | found}


def filled(**found: Any) -> Any:
    size = 64 * MIB
    return {"value": {"quota": size, "bytes": size, "ended": "EDQUOT", "took_s": 2.0} | found}


LATE = {"said": "no such pool", "waited_s": 75.0, "modes": None}
NO_MORE = {"refused": "EIO (Input/output error)"}
DEFECTS: list[tuple[str, Defect, str]] = [
    (CLASS, at("class", value=None), "StorageClass cephfs: expected it, seen no such class"),
    (CLASS, at("class", "value", provisioner="x"), "rook-ceph.cephfs.csi.ceph.com, seen x"),
    (CLASS, at("class", "value", reclaim_policy="Retain"), "Delete, seen Retain"),
    (CLASS, at("class", "value", expands=False), "allowVolumeExpansion true, seen false"),
    (CLASS, at("class", "value", "parameters", pool="hdd"), "pool cephfs_data, seen hdd"),
    (CLASS, at("class", "value", parameters={"pool": "cephfs_data"}), "fsName cephfs, seen none"),
    (CLASS, at("class", "value", "parameters", clusterID="b"), "clusterID none, seen b"),
    (BOUND, at("bound", big=LATE), "claim big: expected it bound within 60 s"),
    (BOUND, at("bound", big=LATE), "after 75 s (said of it: no such pool)"),
    (BOUND, at("bound", "spare-01", after_s=61.0), "claim spare-01: expected it bound within"),
    (BOUND, at("bound", "spare-01", modes=["ReadWriteOnce"]), "seen one that is ReadWriteOnce"),
    (BOUND, at("bound", big=LATE | {"modes": ["ReadWriteOnce"]}), "one that is ReadWriteOnce"),
    (
        DATA,
        at("data", "again", "read", **{PAIR: wrong("block 3 is stale")}),
        f"{PAIR}: expected 65",
    ),
    (DATA, at("data", "again", "read", **{PAIR: wrong("block 3 is stale")}), "block 3 is stale"),
    (DATA, at("data", "first", "written", **{ONE: NO_MORE}), f"{ONE} writes: expected it to be"),
    (
        DATA,
        at("data", "first", "read", **{PAIR: NO_MORE}),
        f"{PAIR}: expected it to be done, seen EIO",
    ),
    (
        METADATA,
        at("metadata", "seen", **{PAIR: kinds(mode="0o751")}),
        "mode: expected 0o4751, seen 0o751",
    ),
    (METADATA, at("metadata", "seen", **{PAIR: kinds(owner="0:0")}), "owner: expected 20001:20500"),
    (
        METADATA,
        instead("metadata", "seen", PAIR, "value", by={}),
        "mode: expected 0o4751, seen None",
    ),
    (
        METADATA,
        at("metadata", "made", ONE, "value", list_refused="ENOTSUP"),
        f"{ONE} writes: expected an access list",
    ),
    (
        LINES,
        at("lines", "read", **{TWO: lines(lost=1, first=["a 3 is lost"])}),
        f"{TWO}: expected every line once and whole, seen 1 lost (a 3",
    ),
    (LINES, at("lines", "read", **{TWO: lines(twice=2, torn=1)}), "seen 2 twice and 1 torn"),
    (
        LINES,
        at("lines", "written", **{TWO: {"refused": "ENOLCK"}}),
        f"{TWO} writes: expected it to be done, seen ENOLCK",
    ),
    (
        SMALL,
        at("small", "read", **{PAIR: wrong("00007 is missing")}),
        "seen 1 that are not: 00007 is missing",
    ),
    (
        FULL,
        at("full", first=filled(ended="", bytes=80 * MIB)),
        "expected EDQUOT, seen no end after 80 MiB of 64",
    ),
    (FULL, at("full", first=filled(ended="EIO")), "expected EDQUOT, seen EIO"),
    (FULL, at("full", first=filled(bytes=30 * MIB)), "when it is full, seen it after 30 MiB of 64"),
    (
        FULL,
        at("full", first=filled(quota="ENODATA (No data available)")),
        "to be 67108864 bytes, seen ENODATA",
    ),
    (FULL, at("full", first=filled(quota=MIB)), "seen 1048576 bytes"),
    (
        FULL,
        at("full", second=filled(ended="")),
        "expected EDQUOT for a second machine too, seen no end",
    ),
    (
        FULL,
        at("full", second=filled(bytes=7 * MIB)),
        "at most 10 % past its size, seen 10.9 % more",
    ),
    (FULL, at("full", first=NO_MORE), "seen EIO"),
    (
        GROWS,
        instead("grown", by={"size": 1, "said": "forbidden", "waited_s": 90.0}),
        "after 90 s (said of it: forbidden)",
    ),
    (GROWS, at("grown", after_s=61.0), "expected it to have grown within 60 s, seen 61 s"),
    (GROWS, at("grown", filled=filled()), "to be 100663296 bytes, seen 67108864 bytes"),
    (GROWS, at("grown", "filled", "value", bytes=64 * MIB), "seen it after 64 MiB of 96"),
    (
        SPACE,
        instead("deleted", by={"left": "Released", "waited_s": 130.0}),
        "gone within 120 s, seen it Released after 130 s",
    ),
    (
        SPACE,
        at("deleted", after=117 * MIB, given_back_after_s=130.0),
        "expected 96 MiB to be free again, seen 1 MiB after 130 s",
    ),
    (SPACE, at("deleted", given_back_after_s=121.0), "expected the space within 120 s, seen 121 s"),
]


@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_and_is_explained(check: str, defect: Defect, words: str) -> None:
    verdict = judge(check, defect)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason


UNASKED = {"error": "no pod stands there"}
SOON = {"said": "nothing", "waited_s": 8.0}
GAPS: list[tuple[str, Defect, str]] = [
    (CLASS, instead("class", by=UNASKED), "no pod stands there"),
    (BOUND, instead("bound", by={}), "none was asked for"),
    (BOUND, at("bound", big=UNASKED), "claim big: no pod stands there"),
    (BOUND, at("bound", big=SOON), "it was not waited for 60 s"),
    (BOUND, at("bound", "spare-01", modes=None), "its volume was not seen"),
    (DATA, instead("data", by={}), "no data was written"),
    (DATA, instead("data", "again", "read", by={}), f"{PAIR}: it was not looked at"),
    (DATA, at("data", "first", "written", **{ONE: UNASKED}), f"{ONE} writes: no pod stands there"),
    (
        DATA,
        at("data", "first", "read", **{PAIR: {"value": {"right": 0, "wrong": 0, "first": []}}}),
        f"{PAIR}: no block was read",
    ),
    (METADATA, instead("metadata", "made", by={}), f"{ONE} writes: it was not looked at"),
    (METADATA, at("metadata", "seen", **{PAIR: UNASKED}), f"{PAIR}: no pod stands there"),
    (LINES, at("lines", "written", **{ONE: UNASKED}), f"{ONE} writes: no pod stands there"),
    (LINES, instead("lines", "read", by={}), f"{TWO}: it was not looked at"),
    (LINES, at("lines", "read", **{ONE: lines(right=0)}), f"{ONE}: no line was read"),
    (SMALL, instead("small", by={}), f"{ONE} writes: it was not looked at"),
    (SMALL, at("small", "read", **{PAIR: UNASKED}), f"{PAIR}: no pod stands there"),
    (FULL, instead("full", by={}), "a full claim: it was not looked at"),
    (FULL, at("full", second=UNASKED), "a full claim: no pod stands there"),
    (GROWS, instead("grown", by=UNASKED), "a growing claim: no pod stands there"),
    (GROWS, instead("grown", by={}), "none was asked to grow"),
    (GROWS, instead("grown", by={"size": 1} | SOON), "it was not waited for 60 s"),
    (GROWS, at("grown", filled=UNASKED), "a growing claim: no pod stands there"),
    (SPACE, instead("deleted", by=UNASKED), "a deleted claim: no pod stands there"),
    (SPACE, instead("deleted", by={}), "none was deleted"),
    (SPACE, instead("deleted", by={"left": "Bound", "waited_s": 8.0}), "seen it Bound after 8 s"),
    (SPACE, at("deleted", full=21 * MIB), "its count shows nothing"),
    (SPACE, at("deleted", after=117 * MIB), "seen 1 MiB after 11 s"),
]


@pytest.mark.parametrize(("check", "gap", "words"), GAPS, ids=[f"{c}: {w}" for c, _, w in GAPS])
def test_what_could_not_be_looked_at_is_not_proven(check: str, gap: Defect, words: str) -> None:
    verdict = judge(check, gap)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


def test_binding_is_measured_as_the_slowest_and_by_rank() -> None:
    measured = judge(BOUND).measured
    assert measured == {"bind_s": 2.0, "bind_p50_s": 1.0, "bind_p95_s": 1.9}


def test_what_a_machine_could_not_write_is_not_held_against_its_readers() -> None:
    def defect(value: Any) -> None:
        at("small", "written", **{ONE: NO_MORE})(value)
        at("small", "read", **{PAIR: wrong("00007 is missing")})(value)

    assert judge(SMALL, defect).where == (f"{ONE} writes",)
    no_lines = at("lines", "written", **{ONE: NO_MORE})
    assert judge(LINES, no_lines).where == (f"{ONE} writes",)


@pytest.mark.parametrize("seen", ["", "ENOTSUP (Operation not supported)"])
def test_access_lists_that_are_not_declared_are_not_judged_and_that_is_said(seen: str) -> None:
    assert CLUSTER.storage is not None
    without = replace(CLUSTER.storage, access_lists=False)

    def defect(value: Any) -> None:
        for made in value["metadata"]["made"].values():
            made["value"]["list_refused"] = seen
        for found in value["metadata"]["seen"].values():
            found["value"]["access list"] = seen

    verdict = judge(METADATA, defect, storage=without)
    assert (verdict.outcome, "not declared here" in verdict.reason) == (Outcome.PASS, True)


def test_a_profile_without_a_class_proves_nothing_of_it() -> None:
    assert judge(CLASS, storage=None).outcome is Outcome.NOT_PROVEN


@settings(max_examples=25)
@given(
    st.builds(
        StorageClass,
        name=st.just("cephfs"),
        provisioner=st.sampled_from(["rook-ceph.cephfs.csi.ceph.com", "other"]),
        parameters=st.dictionaries(
            st.sampled_from(["fsName", "pool", "clusterID"]), st.sampled_from(["cephfs", "b"])
        ),
        reclaim_policy=st.sampled_from(["Delete", "Retain"]),
    )
)
def test_a_class_passes_only_when_all_of_it_is_declared(declared: StorageClass) -> None:
    seen = CLEAN["class"]["value"]
    same = (
        declared.provisioner == seen["provisioner"]
        and declared.parameters == seen["parameters"]
        and declared.reclaim_policy == seen["reclaim_policy"]
    )
    assert (judge(CLASS, storage=declared).outcome is Outcome.PASS) == same


@settings(max_examples=25)
@given(st.integers(0, 128), st.integers(0, 32))
def test_a_full_claim_passes_only_near_its_size(one: int, two: int) -> None:
    defect = at("full", first=filled(bytes=one * MIB), second=filled(bytes=two * MIB))
    near = one >= 0.9 * 64 and one + two <= 1.1 * 64 + 0.03
    assert (judge(FULL, defect).outcome is Outcome.PASS) == near


def test_every_check_of_this_requirement_is_judged_here() -> None:
    assert {check for check, _, _ in DEFECTS} == set(claims.CHECKS | claim_contents.CHECKS)
    assert {check for check, _, _ in GAPS} == set(claims.CHECKS | claim_contents.CHECKS)


KEPT = "Released, reclaim policy Retain"
RETAINS = replace(CLUSTER.storage or StorageClass(name="", provisioner=""), reclaim_policy="Retain")


def test_a_volume_that_is_kept_as_declared_passes_and_gives_its_space_back_by_hand() -> None:
    verdict = judge(SPACE, at("deleted", kept=KEPT), storage=RETAINS)
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured == {"give_back_s": 11.0}
    assert "stays, as declared (Retain), and gives 96 MiB back" in verdict.reason


def test_a_recorded_volume_that_is_kept_as_declared_passes() -> None:
    path = Path(__file__).with_name("recorded") / "volume-retained.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))
    volume = recorded["volume_after_the_claim_was_deleted"]
    kube = FakeKube({"/api/v1/persistentvolumes": {"items": [volume]}})
    left = owned.volume_of_claim(kube, "cutover-probe-1", "limited")
    assert left == KEPT
    gone = instead("deleted", by={"filled": 1, "left": left, "waited_s": 130.0})
    assert judge(SPACE, gone, storage=RETAINS).outcome is Outcome.PASS
    assert judge(SPACE, gone).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        (at("deleted", kept=None), "Released and kept (Retain), as declared, seen it gone"),
        (at("deleted", kept="Bound, reclaim policy Retain"), "as declared, seen it Bound"),
        (at("deleted", kept="Released, reclaim policy Delete"), "seen it Released, reclaim policy"),
        (
            at("deleted", kept=KEPT, after=118 * MIB, given_back_after_s=130.0),
            "expected 96 MiB to be free again",
        ),
    ],
)
def test_a_volume_that_is_not_kept_as_declared_is_red(defect: Defect, words: str) -> None:
    verdict = judge(SPACE, defect, storage=RETAINS)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason
