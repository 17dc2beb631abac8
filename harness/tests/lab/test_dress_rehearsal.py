"""The dress rehearsal: the gates, drills, the traffic moves, the old platform goes, the last gate.

Its other halves are tests of their own: a defect at 50 % in ``test_week09_shift_defects``, a
harness that is killed in mid shift in ``test_week09_shift``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.core.model import Exit
from harness.drill import order
from harness.lab import swarm
from harness.lab.shape import Lab
from harness.settings import ROOT, Profile, load_gates
from harness.settings.drills import load_drill
from harness.tests.lab.forked import cutover
from harness.tests.lab.shifting import AGREES, sides
from harness.tests.lab.world import Ruling, World

# Short ones: a pod, and the ingress.
DRILLS = ("kill-pods", "lose-ingress")
# What this cluster cannot prove is not proven; a rehearsal ends at what is wrong.
MAY_GO_ON = (Exit.GO, Exit.NOT_PROVEN)


@pytest.fixture
def fresh(lab: Lab, tmp_path: Path) -> Iterator[World]:
    """A lab as it was built, before and after: earlier tests leave rows and files in it."""
    reset()
    world = World(lab, tmp_path)
    world.whole()
    try:
        yield world
    finally:
        reset()
        world.whole()


def reset() -> None:
    done = subprocess.run(
        [ROOT / "cutover", "lab", "reset"], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == Exit.GO, done.stderr


@dataclass
class Night:
    """The rehearsal so far: what was done, how long that took, and what came of it."""

    profile: str
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    def run(self, *command: str, within_s: float = 900, profile: str = "") -> Ruling:
        """Run a command of the harness on this cluster, and note what is wrong."""
        began = time.monotonic()
        what = " ".join(it for it in command if not it.startswith("--"))
        options = ["--json", "--cluster", profile or self.profile]
        done = cutover([*command, *options], within_s)
        assert done.stdout, f"{command} gave no verdict, exit {done.returncode}: {done.stderr}"
        ruling = Ruling(done.returncode, json.loads(done.stdout))
        self.runs.append(str(ruling.document["run"]))
        self.note(began, f"{what}: {ruling.document['decision']}")
        bad = [it for it in ruling.document["requirements"] if it["verdict"] == "fail"]
        self.wrong += [f"{what}: {it['id']}: {it['reason']}" for it in bad]
        if ruling.status not in MAY_GO_ON:
            self.wrong.append(f"{what} ended with {ruling.status}")
        return ruling

    def note(self, began: float, what: str) -> None:
        self.lines.append(f"{time.monotonic() - began:6.0f} s  {what}")


@contextmanager
def night(profile: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Night]:
    """A rehearsal, whose timeline is printed however it ends."""
    one, began = Night(profile), time.monotonic()
    try:
        yield one
    finally:
        one.note(began, "the whole rehearsal")
        with capsys.disabled():
            sys.stderr.write("\n" + "\n".join([*one.lines, *one.wrong]) + "\n")


def in_order(names: Sequence[str], profile: Profile) -> list[str]:
    """The drills in the order in which the gate runs them."""

    def place(name: str) -> tuple[float, float]:
        drill = load_drill(name)
        return order.place(drill, order.machine_count(drill, profile))

    return sorted(names, key=place)


def only(weeks: range) -> list[str]:
    """What falls due in these weeks, except the busiest hour's load, which takes 20 minutes."""
    found = [it.id for it in load_gates().requirements if it.week in weeks and it.id != "W9-LOAD"]
    assert found, f"no requirement falls due in {weeks}"
    return [f"--only={it}" for it in found]


def without_swarm(world: World, profile: str) -> str:
    """Let every machine leave the Swarm, the manager last; the profile that declares it gone.

    Its containers end with it. A reset of the lab brings it back.
    """
    text = Path(profile).read_text(encoding="utf-8")
    assert "\n  source: swarm\n" in text
    gone = world.scratch / "gone.yaml"
    gone.write_text(text.replace("\n  source: swarm\n", "\n"), encoding="utf-8")
    first = swarm.manager(world.lab)
    for node in sorted(world.lab.nodes, key=lambda it: it is first):
        swarm.docker(world.lab, node, "swarm", "leave", "--force", log=world.log)
    return str(gone)


def drawn(run: str) -> list[str]:
    """The reports that a run must have and has not."""
    folder = ROOT / "reports" / run
    wanted = ("verdict.json", "report.html", "summary.md", "junit.xml", "bundle.tar.zst")
    return [f"{run}/{it}" for it in wanted if not (folder / it).is_file()]


@pytest.mark.long
def test_the_whole_cutover_is_rehearsed_from_the_first_gate_to_the_last(
    fresh: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes a quarter of an hour: four gates, two drills, a move in three steps, the last gate."""
    with (
        sides(fresh, most=10**6) as moving,
        night(moving.profile(steps=[10, 50, 100]), capsys) as told,
    ):
        for week in (2, 4, 6, 8):
            told.run("gate", str(week), "--without-evidence", *only(range(week - 1, week + 1)))
        for name in in_order(DRILLS, fresh.lab.profile):
            told.run("drill", name, "--allow-disruption")
        shifted = told.run("shift", *AGREES, "--allow-disruption")
        assert shifted.outcome("W9-SHIFT") == "pass", shifted.reason("W9-SHIFT")
        assert moving.share == 100
        moved: Any = moving.moved(shifted)
        assert {it["lost"] for it in moved["ledger"].values()} == {0}, moved["ledger"]
        began = time.monotonic()
        gone = without_swarm(fresh, told.profile)
        told.note(began, "the Swarm is removed")
        last = told.run("gate", "10", "--without-evidence", *only(range(1, 11)), profile=gone)
        assert last.outcome("W9-SWARM-GONE") != "fail", last.reason("W9-SWARM-GONE")
        assert [it for run in told.runs for it in drawn(run)] == []
        began = time.monotonic()
        written = cutover(["runbook", "--cluster", told.profile, "--out", str(tmp_path)], 120)
        told.note(began, "the runbook is written")
        assert written.returncode == Exit.GO, written.stderr
        assert len(list(tmp_path.glob("runbook-*"))) == 2
        assert told.wrong == []
