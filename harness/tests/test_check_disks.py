"""Checks of the disks that Ceph is given: each defect on its own, and what was not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from harness.checks import CHECKS
from harness.core.model import Case, Outcome, Verdict
from harness.tests.clean_case import Seen, case, clean
from harness.tests.clean_cluster import NAMES, OSD_DISKS

Defect: TypeAlias = Callable[[dict[str, Any]], None]
RECORDED = "every disk for Ceph is the recorded one"
UNTOUCHED = "no other partition has changed"
USED = "each disk is used by its OSD alone"
TWO = NAMES[1]


def judge(check: str, seen: Seen, **changes: Any) -> Verdict:
    """The verdict when each declared disk has these changes."""
    known = case(seen)
    disks = {name: replace(disk, **changes) for name, disk in OSD_DISKS.items()}
    cluster = replace(known.cluster, osd_disks=disks)
    return CHECKS[check](
        Case(cluster=cluster, targets=known.targets, observations=known.observations)
    )


def at(*way: Any, to: Any) -> Defect:
    def defect(value: dict[str, Any]) -> None:
        place: Any = value["seen"]
        for step in way[:-1]:
            place = place[step]
        place[way[-1]] = to

    return defect


def _ceph(osd: str, **changes: Any) -> Defect:
    return lambda value: value["ceph"]["value"]["osds"][osd].update(changes)


DEFECTS: list[tuple[str, Defect, str]] = [
    (RECORDED, at("machine", "hostname", to="vmi9"), "expected hostname"),
    (RECORDED, at("machine", "machine_id", to="id-9"), "expected machine-id"),
    (RECORDED, at("kernel", "serial", to="QM13"), "expected serial number '', seen 'QM13'"),
    (RECORDED, at("kernel", "disk_bytes", to=1), "expected size of the disk"),
    (RECORDED, at("kernel", "size_bytes", to=1), "/dev/sda2: expected size"),
    (RECORDED, at("kernel", "start_bytes", to=1), "expected offset"),
    (RECORDED, at("partition", to=1), "expected partition 2, seen 1"),
    (RECORDED, at("table", 1, "partuuid", to="u9"), "expected PARTUUID 'u2', seen 'u9'"),
    (RECORDED, at("table", 1, "size_bytes", to=1), "expected size in the table"),
    (RECORDED, at("table", 1, "start_bytes", to=1), "expected offset in the table"),
    (RECORDED, at("table", to=[]), "seen None"),
    (UNTOUCHED, at("table", 0, "partuuid", to="u9"), "partition 1: expected partuuid 'u1'"),
    (UNTOUCHED, at("table", 0, "size_bytes", to=1), "partition 1: expected size_bytes"),
    (UNTOUCHED, at("table", 0, "start_bytes", to=1), "partition 1: expected start_bytes"),
    (UNTOUCHED, at("table", 0, "type", to="efi"), "partition 1: expected type"),
    (UNTOUCHED, lambda it: it["seen"]["table"].pop(0), "expected partition 1 as recorded"),
    (UNTOUCHED, at("table", 0, "number", to=3), "expected no partition 3, seen one"),
    (USED, at("mounts", to=["/data"]), "expected no mounts, seen /data"),
    (USED, at("swaps", to=["/dev/sda2"]), "expected no swaps"),
    (USED, at("holders", to=["dm-0"]), "expected no holders, seen dm-0"),
    (USED, at("loops", to=["loop0"]), "expected no loops"),
    (USED, at("signatures", to=["xfs (wipefs, at 0x0)"]), "no signature but Ceph's, seen xfs"),
    (USED, at("nested", to=True), "a GPT on the partition itself"),
    (USED, at("owner", to=None), "expected the label of osd.1, seen none"),
    (USED, at("owner", "whoami", to="2"), "expected the label of osd.1 (1), seen 2"),
    (USED, at("owner", "osd_uuid", to="x"), "expected the uuid of osd.1 (osd-1), seen x"),
    (USED, at("owner", "ceph_fsid", to="f-0"), "expected this Ceph's fsid (f-1), seen f-0"),
    (USED, _ceph("1", machine="vmi9"), f"expected osd.1 on {TWO} ({TWO}), seen vmi9"),
    (USED, _ceph("1", bytes=1), "expected osd.1 to be as large as it"),
    (USED, lambda it: it["ceph"]["value"]["osds"].pop("1"), "seen no such OSD"),
]


@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_on_its_machine(check: str, defect: Defect, words: str) -> None:
    seen = clean()
    defect(seen["osd-disks"][TWO])
    verdict = judge(check, seen)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason
    assert verdict.where == (TWO,)


@pytest.mark.parametrize("hostname", [f"{TWO}.contaboserver.net", TWO.upper()])
def test_a_hostname_that_is_longer_than_the_name_of_the_node_is_the_same_machine(
    hostname: str,
) -> None:
    seen = clean()
    at("machine", "hostname", to=hostname)(seen["osd-disks"][TWO])
    assert judge(RECORDED, seen).outcome is Outcome.PASS


GAPS: list[tuple[str, Defect, str]] = [
    (RECORDED, lambda it: it["seen"].pop("table"), "table: not seen"),
    (RECORDED, lambda it: it.update(seen={"unseen": {"kind": "No such file"}}), "No such file"),
    (UNTOUCHED, lambda it: it["seen"].pop("table"), "table: not seen"),
    (USED, lambda it: it["seen"].pop("signatures"), "signatures: not seen"),
    (USED, lambda it: it.update(ceph={"error": "no quorum"}), "no quorum"),
    (USED, _ceph("1", machine=None), "does not say on which declared machine osd.1 is"),
]


@pytest.mark.parametrize(("check", "gap", "words"), GAPS, ids=[f"{c}: {w}" for c, _, w in GAPS])
def test_what_was_not_seen_is_not_proven(check: str, gap: Defect, words: str) -> None:
    seen = clean()
    gap(seen["osd-disks"][TWO])
    verdict = judge(check, seen)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


@pytest.mark.parametrize("check", [RECORDED, UNTOUCHED, USED])
def test_without_a_record_nothing_is_proven(check: str) -> None:
    verdict = judge(check, clean(), partitions=())
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "it is not recorded which disk it has" in verdict.reason


@pytest.mark.parametrize("check", [RECORDED, UNTOUCHED, USED])
def test_a_profile_that_declares_no_disk_proves_nothing(check: str) -> None:
    known = case(clean())
    cluster = replace(known.cluster, osd_disks={})
    verdict = CHECKS[check](
        Case(cluster=cluster, targets=known.targets, observations=known.observations)
    )
    assert verdict.outcome is Outcome.NOT_PROVEN


def _raw(seen: Seen) -> Seen:
    for value in seen["osd-disks"].values():
        value["seen"] |= {"signatures": [], "owner": None, "osds": []}
        value["seen"]["labels"] = {"partition": [], "disk": []}
    return seen


def test_a_raw_disk_that_nobody_uses_is_as_declared() -> None:
    assert judge(USED, _raw(clean()), raw=True).outcome is Outcome.PASS


CLAIMS: list[tuple[Defect, Outcome, str]] = [
    (at("labels", "partition", to=[1]), Outcome.FAIL, "seen one at 1 GiB of the partition"),
    (at("labels", "disk", to=[0]), Outcome.FAIL, "seen one at 0 GiB of the disk"),
    (at("signatures", to=["ceph_bluestore (blkid)"]), Outcome.FAIL, "expected no signature"),
    (at("osds", to=["8:2"]), Outcome.FAIL, "expected no OSD, seen one on 8:2"),
    (at("osds", to=None), Outcome.NOT_PROVEN, "does not tell its device"),
]


@pytest.mark.parametrize(("claim", "outcome", "words"), CLAIMS, ids=[w for _, _, w in CLAIMS])
def test_a_raw_disk_that_somebody_has_claimed_is_found(
    claim: Defect, outcome: Outcome, words: str
) -> None:
    seen = _raw(clean())
    claim(seen["osd-disks"][TWO])
    verdict = judge(USED, seen, raw=True)
    assert (verdict.outcome, words in verdict.reason) == (outcome, True), verdict.reason
