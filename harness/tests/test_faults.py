"""The contract of every fault in the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.core.errors import HarnessError, Refused
from harness.faults import disruption_lock, observers
from harness.faults.fault import Fault
from harness.faults.kinds import FAULTS
from harness.faults.model import Act, Undo
from harness.faults.preflight import affordable
from harness.tests.fake_transport import FakeShell, ShellAnswer
from harness.tests.fault_examples import EXAMPLES, whole_cluster
from harness.tests.fault_refusals import ANOTHER_IS_LATE, ONLY_BY_BUDGET, REFUSALS
from harness.tests.small_machine import SmallMachine
from harness.transport import Completed
from harness.transport.reading import reading

each_fault = pytest.mark.parametrize("fault", EXAMPLES, ids=lambda fault: fault.name)


def test_every_fault_of_the_table_has_an_example() -> None:
    assert {fault.name for fault in EXAMPLES} == set(FAULTS)


@each_fault
def test_a_fault_comes_back_from_json_unchanged(fault: Fault) -> None:
    assert type(fault).model_validate_json(fault.model_dump_json()) == fault


@each_fault
def test_its_undo_comes_back_from_json_unchanged(fault: Fault) -> None:
    undo = fault.arm(whole_cluster(), 30)
    assert Undo.model_validate_json(undo.model_dump_json()) == undo
    assert undo.id == fault.id


@each_fault
def test_all_but_injecting_and_healing_only_reads(fault: Fault) -> None:
    watched = reading(whole_cluster(), (observers.ASKING,))
    resolved = fault.resolved(watched, Random(1))
    assert resolved.refuse(watched) is None
    assert resolved.arm(watched, 30)
    assert list(resolved.acts(watched))
    resolved.active(watched)
    resolved.healed(watched)


@each_fault
def test_a_whole_cluster_is_not_seen_as_broken(fault: Fault) -> None:
    whole = whole_cluster()
    assert not fault.resolved(whole, Random(1)).active(whole)


@each_fault
def test_it_may_be_healed_twice_and_before_it_was_injected(fault: Fault, tmp_path: Path) -> None:
    whole, machine = whole_cluster(), SmallMachine.made(tmp_path)
    _, undo = fault.undo(whole)
    commands = tuple(undo)
    well = machine.has()
    for broken in (False, True):
        for act in fault.acts(whole) if broken and commands else ():
            machine.act(act)
        assert (machine.has() == well) is not (broken and bool(commands))
        for _ in range(2):
            assert [machine.run(it) for it in commands] == [(0, "")] * len(commands)
            assert machine.has() == well


@each_fault
def test_it_is_refused_with_the_arithmetic_while_another_machine_is_not_ready(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disruption_lock.DisruptionLock, "confirm", lambda _: None)
    late = whole_cluster(ANOTHER_IS_LATE)
    cluster = replace(late, profile=late.profile.model_copy(update={"disks": None}))
    monkeypatch.setattr(type(fault), "refuse", lambda *_: None)
    with pytest.raises(
        Refused, match=r"machines that are ready: 1 − [01] = [01], [12] needed: TOO"
    ):
        affordable(cluster, disruption_lock.DisruptionLock(cluster.kube, "r"), fault)


@each_fault
def test_it_is_refused_with_a_reason_of_its_own(fault: Fault) -> None:
    if fault.name in ONLY_BY_BUDGET:
        assert type(fault).refuse is Fault.refuse
        return
    refusal = REFUSALS[fault.name]
    changed = fault.model_copy(update=dict(refusal.fault))
    assert refusal.why in str(changed.refuse(whole_cluster(**refusal.cluster)))


@each_fault
def test_its_acts_are_argument_lists_for_a_known_place(fault: Fault) -> None:
    whole = whole_cluster()
    for act in fault.acts(whole):
        assert isinstance(act, Act)
        assert act.place in ("one", "two", "here", "api")
        assert all(act.argv)


@each_fault
def test_it_says_what_it_is_in_its_docstring(fault: Fault) -> None:
    assert (type(fault).__doc__ or "").strip()


class Mute(dict[tuple[str, str], ShellAnswer]):
    """The answers of machines on which no program can be run."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.answer = Completed(status=status, stdout="", stderr="it did not run")

    def get(self, *_: Any) -> Any:
        return self.answer


@pytest.mark.parametrize("status", [2, 127, 137])
@each_fault
def test_a_look_that_did_not_run_is_no_evidence_of_anything(fault: Fault, status: int) -> None:
    """A fault is neither seen active nor seen to be gone by a program that is missing or killed."""
    for look in (fault.active, fault.healed):
        shell = FakeShell(Mute(status))
        try:
            found = look(replace(whole_cluster(), shell=shell))
        except HarnessError:
            assert shell.calls
        else:
            assert not found or not shell.calls, look
