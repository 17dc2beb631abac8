"""The harness is killed at every record of its journal: machines undo the fault within the lease.

The state before is compared with everything that a fault, its undo and its undo store could have
left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from harness.commands import cli
from harness.core.model import Exit
from harness.core.waiting import until
from harness.faults import disruption_lock
from harness.faults.fault_lifecycle import LEASE_S as LIFE_LEASE_S
from harness.probes import owned, pods
from harness.record.journal import JournalReader, Record
from harness.record.records import FaultEvent, read
from harness.settings import ROOT
from harness.tests.lab.breaking import inside
from harness.tests.lab.forked import forked
from harness.tests.lab.killed import LEASE_S
from harness.tests.lab.lived import new_id, traces
from harness.tests.lab.world import World

# Three that break different things: the network, a daemon of Ceph, a part of the control plane.
EVERY: Mapping[str, Mapping[str, Any]] = {
    "cut-off": {},
    "stop-monitor": {},
    "stop-static-pod": {"part": "kube-scheduler"},
}
# Each kill costs a lease: all of them run only on request.
FULL = os.environ.get("CUTOVER_TEST_FULL") == "1"
FAULTS = list(EVERY) if FULL else ["cut-off"]
# The lease, the timer's own grace, and what a loaded computer takes to run the undo.
_WITHIN_S = LEASE_S + 30.0
_RECORDS = 5  # armed, injected, active, healed, heal-proved
# A look that lives renews its namespace so often here, and is gone when it has not for so long.
RENEW_S, LASTS_S = 2.0, 15.0
_MOMENTS = ("after", "before") if FULL else ("after",)


def state(world: World) -> Mapping[str, str]:
    """The state of every machine, and the settings of Ceph."""
    units = "systemctl is-active rke2-server ceph-mon@$(hostname) ceph-osd@*; "
    units += "ls /var/lib/rancher/rke2/agent /var/lib/rancher/rke2/agent/pod-manifests; "
    units += "findmnt --noheadings --output=TARGET / /mnt/cephfs"
    found = {
        node.name: traces(world, node) + world.do(node, "sh", "-c", units, check=False)
        for node in world.lab.nodes
    }
    flags = json.loads(world.do(world.one, "ceph", "osd", "dump", "--format=json"))["flags_set"]
    return {**found, "flags": str(sorted(flags))}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_harness_that_is_killed_at_any_record_leaves_nothing_behind(
    world: World, fault: str
) -> None:
    before = state(world)
    machine = world.three.name
    for number, (record, when) in zip(
        count(), [(n, when) for n in range(1, _RECORDS + 1) for when in _MOMENTS], strict=False
    ):
        parameters = {"id": new_id(), "machine": machine, **EVERY[fault]}
        folder = world.scratch / f"{fault}-{number}"
        words = [world.lab.name, str(folder), fault, json.dumps(parameters), str(record), when]
        ended = subprocess.run(
            [sys.executable, "-m", "harness.tests.lab.killed", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        died = time.monotonic()
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        written = [read(FaultEvent, it.data)["event"] for it in JournalReader(folder)]
        assert len(written) == record - (when == "before")
        until(
            lambda: state(world) == before,
            within_s=_WITHIN_S + 90,
            what=f"{machine} is as before, after the death {when} record {record} ({written})",
        )
        healed_s = time.monotonic() - died
        assert healed_s <= _WITHIN_S or fault == "stop-static-pod", (record, when, healed_s)


def run_of(words: Sequence[str]) -> tuple[int, Path | None]:
    """The exit status of a harness process, and the run that it made, if it made one."""
    reports = ROOT / "reports"
    before = set(reports.glob("*/journal.jsonl"))
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        timeout=900,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    made = set(reports.glob("*/journal.jsonl")) - before
    return ended.returncode, made.pop().parent if made else None


def forget_books(world: World) -> None:
    """Remove the ledger's targets, which are kept for a resumed run and have kube-proxy rules."""
    selector = "--selector=app.kubernetes.io/managed-by=cutover"
    world.kubectl("delete", "namespace", "--timeout=120s", selector)


def dies_and_is_mended(world: World, drill: str, record: str) -> None:
    """After the kill, the machines undo the fault by themselves; ``heal`` completes the verdict."""
    forget_books(world)
    before = state(world)
    words = [drill, f"--cluster={world.lab.name}", f"--machine={world.three.name}"]
    status, run = run_of(["harness.tests.lab.killed_drill", record, *words])
    assert status == -signal.SIGKILL
    assert run is not None
    forget_books(world)
    until(
        lambda: state(world) == before,
        within_s=LIFE_LEASE_S + 120,
        what=f"all is as before {drill} was killed at record {record}",
    )
    world.whole()
    assert run_of(["harness", "heal", f"--cluster={world.lab.name}"])[0] == 0
    # It ends by itself, three quarters of a minute after its holder died.
    world.kubectl(
        "--namespace=kube-system", "delete", "lease", disruption_lock.NAME, "--ignore-not-found"
    )
    _, drawn = run_of(["harness", "report", run.name, "--json"])
    assert drawn is None
    verdict = json.loads((run / "verdict.json").read_text())
    assert verdict["decision"] == "NOT-PROVEN"


@pytest.mark.long
def test_a_drill_that_is_killed_while_its_fault_is_active_leaves_nothing(world: World) -> None:
    dies_and_is_mended(world, "lose-monitor", "active")


@pytest.mark.long
@pytest.mark.parametrize("drill", ["cut-off-machine", "kill-apiserver", "lose-monitor"])
def test_a_drill_that_is_killed_at_any_kind_of_record_leaves_nothing(
    world: World, drill: str
) -> None:
    words = [drill, f"--cluster={world.lab.name}", f"--machine={world.three.name}"]
    status, run = run_of(["harness.tests.lab.killed_drill", "0", *words])
    assert status in (Exit.GO, Exit.NOT_PROVEN)
    assert run is not None
    for record in moments(JournalReader(run)):
        dies_and_is_mended(world, drill, str(record.seq))


def moments(records: Iterable[Record]) -> Iterator[Record]:
    """The first record of each kind, and of each event of the fault, until a scenario's end.

    Not every record: one kill takes a minute, and most records are only verdicts.
    """
    met = set()
    for record in records:
        what = read(FaultEvent, record.data)["event"] if record.kind == "fault" else record.kind
        if what == "scenario-end":
            return
        if what not in met:
            met.add(what)
            yield record


def heal_soon(arguments: Sequence[str]) -> None:
    """``./cutover heal`` that takes an owner for gone sooner."""
    owned.LASTS_S = LASTS_S
    sys.argv = ["cutover", "heal", *arguments]
    cli.main()


def test_heal_leaves_nothing_of_a_look_that_was_killed_and_everything_of_one_that_lives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned, "RENEW_S", RENEW_S)
    words = [sys.executable, "-m", "harness.tests.lab.killed_owner", world.lab.name]
    died = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    space, volume = died.stdout.split()
    with inside(world) as do, ExitStack() as opened:
        living = do(lambda reach: opened.enter_context(pods.namespace(reach.kube)))
        healed = forked(heal_soon, [f"--cluster={world.lab.name}", "--json"], 300)
        document = json.loads(healed.stdout)
        assert healed.returncode == 0, document
        assert any(space in it["what"] for it in document["mended"])
        spaces = world.kubectl("get", "namespaces", "--output=name")
        assert f"namespace/{living}" in spaces.split()
        assert f"namespace/{space}" not in spaces.split()
        until(
            lambda: volume not in world.kubectl("get", "persistentvolumes", "--output=name"),
            within_s=120,
            what="its volume is gone",
        )
        do(lambda _: opened.close())
