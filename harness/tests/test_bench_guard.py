"""The guard's decision: nothing that speaks against a write is ever let through."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench import bench
from harness.bench.scripts.disk_rules import RECORDED, RULES, refusals

Change: TypeAlias = Callable[[dict[str, Any]], None]
GIB = 1 << 30
UUID = "a460229d-df49-493a-ae6c-3d18a7a0408a"
RECORD = {
    "machine": "vmi2887101",
    "machine_id": "8f305cdf",
    "path": "/dev/sda2",
    "number": 2,
    "partuuid": UUID,
    "serial": "",
    "start_bytes": 149 * GIB,
    "size_bytes": 150 * GIB,
    "disk_bytes": 300 * GIB,
    "least_bytes": 5 * GIB,
    "osd_partitions": [],
}
SDA1 = {"number": 1, "type": "t", "partuuid": "u", "label": "", "start_bytes": 1, "size_bytes": 1}


def clean() -> dict[str, Any]:
    """What is seen of a raw partition that nobody uses."""
    sda2 = {"number": 2, "type": "t", "partuuid": UUID, "label": ""}
    sizes = {"start_bytes": 149 * GIB, "size_bytes": 150 * GIB}
    return {
        "unseen": {},
        "machine": {"hostname": "vmi2887101", "machine_id": "8f305cdf"},
        "path": {"asked": "/dev/sda2", "real": "/dev/sda2"},
        "kind": "block device",
        "device": {"rdev": 2050, "sequence": 1},
        "partition": 2,
        "kernel": {**sizes, "disk_bytes": 300 * GIB, "read_only": False, "serial": ""},
        "table": [dict(SDA1), sda2 | sizes],
        "soundness": {
            "sectors": 300 * GIB // 512,
            "mbr_types": [0xEE],
            "gpt": {"alternate": 300 * GIB // 512 - 1, "copy_equal": True},
            "partitions": [[1, 2048, 4095], [2, 149 * GIB // 512, 299 * GIB // 512 - 1]],
            "kernel": {1: [2048, 4095], 2: [149 * GIB // 512, 299 * GIB // 512 - 1]},
        },
        "labels": {"partition": [], "disk": []},
        "nested": False,
        "owner": None,
        **dict.fromkeys(("busy", "backing")),
        **{it: [] for it in ("children", "holders", "mounts", "swaps", "loops", "signatures")},
        "osds": [],
    }


def at(*way: Any, to: Any) -> Change:
    def change(seen: dict[str, Any]) -> None:
        place = seen
        for step in way[:-1]:
            place = place[step]
        place[way[-1]] = to

    return change


ANOTHER_MACHINE = [
    "vmi2887102.contaboserver.net",
    "vmi28871011",
    "vmi288710",
    "vmi2887101-old.contaboserver.net",
    "contaboserver.net",
    "localhost",
    "",
]
CHANGES: dict[str, Change] = {
    "wrong machine: this is": at("machine", "hostname", to="vmi2887102"),
    "wrong machine: its machine-id": at("machine", "machine_id", to="0"),
    "is a symlink": at("path", "real", to="/dev/sdb"),
    "is not the allowed": at("path", "asked", to="/dev/sdb1"),
    "is not a block device": at("kind", to="something else"),
    "is a whole disk": at("partition", to=None),
    "it is partition 1": at("partition", to=1),
    "start:": at("kernel", "start_bytes", to=GIB),
    "size:": at("kernel", "size_bytes", to=151 * GIB),
    "too small": at("kernel", "size_bytes", to=5 * GIB - 1),
    "size of its disk": at("kernel", "disk_bytes", to=GIB),
    "serial number": at("kernel", "serial", to="QM13"),
    "read-only": at("kernel", "read_only", to=True),
    "PARTUUID": at("table", 1, "partuuid", to="u2"),
    "2 times": at("table", 0, "partuuid", to=UUID),
    "starts where": at("table", to=[dict(SDA1)]),
    "size in the partition table": at("table", 1, "size_bytes", to=1),
    "a boot partition": at("table", 1, "type", to="c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
    "PARTLABEL": at("table", 1, "label", to="my CEPH block"),
    "no protective one": at("soundness", "mbr_types", to=[0xEE, 0x83]),
    "it shrank": at("soundness", "sectors", to=1 << 20),
    "the table's copy": at("soundness", "gpt", "copy_equal", to=False),
    "partition 1 and partition 2 overlap": at("soundness", "partitions", 0, 2, to=200 * GIB // 512),
    "leaves the disk": at("soundness", "partitions", 0, 1, to=0),
    "the kernel knows": at("soundness", "kernel", to={}),
    "is divided into": at("children", to=["sda21"]),
    "is held by dm-0": at("holders", to=["dm-0"]),
    "is held by md127": at("holders", to=["md127"]),
    "is mounted at /data": at("mounts", to=["/data"]),
    "the system runs from it": at("mounts", to=["/"]),
    "used as swap": at("swaps", to=["/dev/sda2"]),
    "loop devices over": at("loops", to=["loop0"]),
    "bytes lie in the file": at("backing", to="/var/disk.img"),
    "signed it: xfs": at("signatures", to=["xfs"]),
    "1 GiB of the partition": at("labels", "partition", to=[1]),
    "0 GiB of the disk": at("labels", "disk", to=[0]),
    "a GPT lies on": at("nested", to=True),
    "exclusive open failed": at("busy", to="Device or resource busy"),
    "not known whether": at("osds", to=None),
    "ceph osd metadata names": at("osds", to=["/dev/sda2"]),
}


def test_a_clean_recorded_partition_is_let_through() -> None:
    assert refusals(clean(), RECORD) == []


@pytest.mark.parametrize(
    ("hostname", "machine"),
    [
        ("vmi2887101.contaboserver.net", "vmi2887101"),
        ("VMI2887101", "vmi2887101"),
        ("vmi2887101", "vmi2887101.contaboserver.net"),
    ],
)
def test_a_hostname_in_another_form_is_the_same_machine(hostname: str, machine: str) -> None:
    seen = clean()
    at("machine", "hostname", to=hostname)(seen)
    assert refusals(seen, RECORD | {"machine": machine}) == []


@pytest.mark.parametrize("hostname", ANOTHER_MACHINE)
def test_the_hostname_of_another_machine_refuses(hostname: str) -> None:
    seen = clean()
    at("machine", "hostname", to=hostname)(seen)
    assert refusals(seen, RECORD) == [f"wrong machine: this is {hostname}, not vmi2887101"]


def test_another_machine_of_the_same_short_name_is_told_by_its_id() -> None:
    seen = clean()
    at("machine", to={"hostname": "vmi2887101.example.org", "machine_id": "0"})(seen)
    assert [why[:30] for why in refusals(seen, RECORD)] == ["wrong machine: its machine-id "]


@pytest.mark.parametrize("words", CHANGES)
def test_each_reason_refuses_in_its_own_words(words: str) -> None:
    seen = clean()
    CHANGES[words](seen)
    assert any(words in why for why in refusals(seen, RECORD))


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, unique=True))
def test_no_set_of_facts_with_a_reason_against_is_let_through(reasons: list[str]) -> None:
    seen = clean()
    for words in sorted(reasons, key="starts where".__eq__):
        CHANGES[words](seen)
    assert refusals(seen, RECORD)


@given(st.sampled_from(sorted(RULES)), st.booleans())
def test_a_fact_that_was_not_seen_refuses(what: str, told: bool) -> None:
    seen = clean()
    del seen[what]
    if told:
        seen["unseen"] = {what: "no permission"}
    assert any(what in why for why in refusals(seen, RECORD))


@given(st.sampled_from(RECORDED))
def test_a_record_with_a_gap_refuses(what: str) -> None:
    assert refusals(clean(), {it: value for it, value in RECORD.items() if it != what})
    assert refusals(clean(), RECORD | {what: None}) == [f"{what} is not recorded"]


_ODD: tuple[Any, ...] = ({}, {"x": 1}, [[]], [{}], 7, True, "text", None)
_GARBAGE: st.SearchStrategy[Any] = st.sampled_from(_ODD)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(sorted(RULES)), _GARBAGE, min_size=1, max_size=3))
def test_garbage_is_refused_and_never_crashes_the_guard(garbage: dict[str, Any]) -> None:
    usual = clean()
    seen = deepcopy(usual) | garbage
    same = all(usual[it] == value for it, value in garbage.items())
    empty = all(value in (usual[it], {}) for it, value in garbage.items())
    assert refusals(seen, RECORD) or same or empty


def test_what_is_sent_to_a_machine_is_one_program_of_its_own() -> None:
    text = bench.GUARD.text
    compile(text, "sent", "exec")
    assert "/dev/sda" not in text
