"""From a machine's words to a record, a plan on all machines and the act on all or none."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError, Garbled, NotProven, Refused, TransportError
from harness.core.model import Exit
from harness.facts.schema import read
from harness.provision import MachineResult, MachineState, apply, status_of
from harness.provision.disk import DiskReport, disk_of, read_records, record_of, write_records
from harness.provision.partition import Plan
from harness.settings import NewPartition
from harness.tests.disk_facts import (
    NEW,
    SOUND,
    SYSTEM,
    WANTED,
    after_of,
    asked,
    shell,
    told_of,
)
from harness.tests.fake_transport import FakeShell
from harness.transport import Completed

# --- what a machine tells -----------------------------------------------------------------------


def test_a_disk_comes_through_as_it_is() -> None:
    assert apply.look_at(shell(told_of(SOUND)), "m1", "/dev/sda") == SOUND
    assert disk_of("m1", read(DiskReport, told_of(SOUND))) == SOUND


@pytest.mark.parametrize(
    ("answer", "error", "because"),
    [
        ("", Garbled, "the answer of disk_script is garbled"),
        ({}, Garbled, "hostname: Field required"),
        ({"stopped": "/dev/sda is no block device"}, Refused, "no block device"),
        ({"error": "No such file"}, TransportError, "No such file"),
    ],
)
def test_what_is_no_disk_is_an_error_and_never_a_plan(
    answer: Any, error: type[Exception], because: str
) -> None:
    with pytest.raises(error, match=because):
        apply.look_at(shell(answer), "m1", "/dev/sda")


def test_a_partition_that_was_made_otherwise_is_not_proven_and_the_old_table_is_named() -> None:
    made = asked(SOUND)
    assert isinstance(made, Plan)
    answer = {"after": told_of(SOUND), "kept": "/var/lib/cutover/x.gpt", "partx": ""}
    with pytest.raises(NotProven, match="is not in the table") as caught:
        apply.carry_out(shell(answer), SOUND, made)
    assert "--load-backup=/var/lib/cutover/x.gpt" in caught.value.remedy


# --- record, plan, act --------------------------------------------------------------------------


@pytest.fixture
def wanted(tmp_path: Path) -> NewPartition:
    return WANTED.model_copy(update={"record": tmp_path / "disks.yaml"})


def test_a_record_is_written_once_and_then_only_compared(wanted: NewPartition) -> None:
    for state in (MachineState.RECORDED, MachineState.OK):
        (line,) = apply.record(shell(told_of(SOUND)), wanted, ["m1"])
        assert line.state is state
    assert read_records(wanted.record) == {
        "m1": replace(record_of(SOUND), partitions=(replace(SYSTEM, raw="", holds=()),))
    }
    with pytest.raises(Refused, match="the disk of m1 differs from its record"):
        apply.record(shell(told_of(replace(SOUND, serial="S2"))), wanted, ["m1"])
    (line,) = apply.record(shell(told_of(replace(SOUND, gpt=None))), wanted, ["m1"])
    assert line.exit is Exit.REFUSED


def test_a_record_that_says_something_unknown_is_a_configuration_error(
    wanted: NewPartition,
) -> None:
    wanted.record.write_text("disks: {m1: {serial: 1}}")
    with pytest.raises(ConfigError, match="machine_id"):
        read_records(wanted.record)


def test_without_yes_nothing_but_looking_is_done(wanted: NewPartition) -> None:
    apply.record(shell(told_of(SOUND)), wanted, ["m1"])
    machine = shell(told_of(SOUND))
    (line,) = apply.apply(machine, wanted, ["m1"], yes=False)
    assert (line.state, line.exit) == (MachineState.PLANNED, Exit.REFUSED)
    assert line.says[-1] == "not done: it needs --yes"
    assert len(machine.calls) == 1


def test_another_cluster_is_refused_before_anything_is_done(wanted: NewPartition) -> None:
    def refuse() -> None:
        raise Refused("another cluster")

    apply.record(shell(told_of(SOUND)), wanted, ["m1"])
    machine = shell(told_of(SOUND))
    with pytest.raises(Refused, match="another cluster"):
        apply.apply(machine, wanted, ["m1"], yes=True, before_acting=refuse)
    assert len(machine.calls) == 1


def test_what_is_made_is_recorded_with_its_partuuid(
    wanted: NewPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(NEW))
    apply.record(shell(told_of(SOUND)), wanted, ["m1"])
    done = {"after": told_of(after_of(SOUND)), "kept": "/x", "partx": ""}
    (line,) = apply.apply(shell(told_of(SOUND), done), wanted, ["m1"], yes=True)
    assert (line.state, line.exit, line.partuuid) == (MachineState.DONE, Exit.GO, NEW)
    assert [it.partuuid for it in read_records(wanted.record)["m1"].partitions] == ["U1", NEW]


def test_one_machine_that_is_refused_keeps_every_other_from_being_touched(
    wanted: NewPartition,
) -> None:
    two = replace(SOUND, machine="m2", hostname="m2", claims=("swapped on",))
    write_records(wanted.record, {"m1": record_of(SOUND), "m2": record_of(SOUND)})
    machines = FakeShell(
        {
            (name, "python3"): Completed(status=0, stdout=json.dumps(told_of(disk)), stderr="")
            for name, disk in (("m1", SOUND), ("m2", two))
        }
    )
    lines = apply.apply(machines, wanted, ["m1", "m2"], yes=True)
    assert [line.state for line in lines] == [MachineState.PLANNED, MachineState.REFUSED]
    assert len(machines.calls) == 2
    assert status_of(lines) is Exit.REFUSED


def test_a_machine_that_fails_while_another_is_done_is_no_refusal(
    wanted: NewPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(NEW))
    two = replace(SOUND, machine="m2", hostname="m2")
    write_records(wanted.record, {"m1": record_of(SOUND), "m2": record_of(SOUND)})
    done = {"after": told_of(after_of(SOUND)), "kept": "/x", "partx": ""}
    answers = {
        "m1": [told_of(SOUND), done],
        "m2": [told_of(two), {"stopped": "/dev/sda is locked by another program"}],
    }

    def answer(name: str) -> Any:
        left = [json.dumps(it) for it in answers[name]]
        return lambda *_: Completed(status=0, stdout=left.pop(0), stderr="")

    machines = FakeShell({(name, "python3"): answer(name) for name in answers})
    lines = apply.apply(machines, wanted, ["m1", "m2"], yes=True)
    assert [line.state for line in lines] == [MachineState.DONE, MachineState.REFUSED]
    assert status_of(lines) is Exit.NOT_PROVEN


def test_what_failed_outranks_what_was_refused() -> None:
    lines = [
        MachineResult(machine="m", state=MachineState.REFUSED, says=(), exit=status)
        for status in (Exit.GO, Exit.REFUSED, Exit.NOT_PROVEN)
    ]
    assert status_of(lines[:1]) is Exit.GO
    assert status_of(lines[:2]) is Exit.REFUSED
    assert status_of(lines) is Exit.NOT_PROVEN
