"""Seeded defects of W9-LOAD: a generator and an ingress that stand still, and a slower platform."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from harness.core.parallel import begin
from harness.tests.lab.forked import cutover
from harness.tests.lab.world import World

LOAD = """
schema: 1
name: short
title: Visitors come for some seconds
requests_per_s: 20
timeout_s: 5
paths: [/healthz]
stages: [{requests_per_s: 20, for_s: 6}]
p99_ms: 400
"""
VISIT = "{host: api.lab.example, path: /user/health/database, says: passed}"
# Both platforms get it again and again: as many requests in the least time that a stage may last.
SERVICES = (
    LOAD.replace("paths: [/healthz]", f"journeys: [{{steps: [{VISIT}]}}]")
    .replace("_per_s: 20", "_per_s: 24")
    .replace("for_s: 6", "for_s: 5")
)


def generator() -> int:
    """The load generator of this process; 0 while there is none. Other tests may run theirs."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"harness.load.start" in words and os.getpid() in parents(int(folder.name)):
                return int(folder.name)
        except OSError:
            continue
    return 0


def parents(process: int) -> Iterator[int]:
    """The process that started this one, and so on up to the first."""
    while process > 1:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        # After the program's name, which may contain spaces: the state, and the parent.
        process = int(stat.rpartition(")")[2].split()[1])
        yield process


def stand_still(ended: Event) -> None:
    """Let the generator stand still for three of five seconds: a request is late after one."""
    while not ended.is_set():
        process = generator()
        for sign, for_s in ((signal.SIGSTOP, 3.0), (signal.SIGCONT, 2.0)):
            with suppress(ProcessLookupError):
                if process:
                    os.kill(process, sign)
            ended.wait(for_s)


def pause(world: World, ended: Event) -> None:
    """Let every Traefik stand still for a second, again and again."""
    while not ended.is_set():
        for sign, for_s in (("STOP", 1.0), ("CONT", 0.5)):
            for node in world.lab.nodes:
                world.do(node, "pkill", f"-{sign}", "--exact", "traefik", check=False)
            ended.wait(for_s)


@contextmanager
def meanwhile(work: Callable[[Event], None]) -> Iterator[None]:
    """Do the work beside the body, which tells it of its end."""
    ended = Event()
    call = begin(lambda: work(ended))
    try:
        yield
    finally:
        ended.set()
        call.result(timeout=30)


def offered(profile: str, name: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status of `./cutover load`, and its verdict on W9-LOAD."""
    done = cutover(["load", name, f"--cluster={profile}", "--json", *options], 400)
    (judged,) = json.loads(done.stdout)["requirements"]
    return done.returncode, judged


@pytest.mark.defect(
    "every load was offered as planned",
    "requests are answered under load",
    "requests are answered in time under load",
)
def test_a_generator_and_an_ingress_that_stand_still_are_told_apart(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "short.yaml").write_text(LOAD)
    name = str(tmp_path / "short.yaml")
    with meanwhile(stand_still):
        status, judged = offered(world.profile_with([]), name)
    assert (status, judged["verdict"]) == (3, "not_proven"), judged
    assert "% of the planned requests were sent on time, expected 99 %" in judged["reason"]

    wrong = ("paths: [{path: /healthz, status: 200}]", "paths: [/healthz, /none]")
    profile = world.profile_with([wrong])
    with meanwhile(lambda ended: pause(world, ended)):
        status, judged = offered(profile, name)
    assert (status, judged["verdict"]) == (1, "fail"), judged
    assert "× status 404" in judged["reason"]
    assert "expected 99 % of answers within 400 ms, seen" in judged["reason"]


@pytest.mark.defect("the new platform is no slower under the same load")
def test_a_platform_that_became_slower_than_the_recorded_old_one_fails(
    world: World, tmp_path: Path
) -> None:
    """The old platform's front is recorded, and the new one's pauses while it is compared."""
    (tmp_path / "short.yaml").write_text(SERVICES)
    name = str(tmp_path / "short.yaml")
    profile = world.profile_with(
        [("port: 8080}\n# What pods", "port: 8080, pairs: 4}\n# What pods")]
    )
    runs = tmp_path / "old.json"
    told = ["load", name, f"--cluster={profile}", f"--record={runs}", "--allow-disruption"]
    done = cutover(told, 300)
    assert done.returncode == 0, done.stderr
    with meanwhile(lambda ended: pause(world, ended)):
        status, judged = offered(profile, name, f"--baseline={runs}")
    assert (status, judged["verdict"]) == (1, "fail"), judged
    assert "expected p99 at most 3 × the old platform's, seen" in judged["reason"]
    assert judged["measured"]["slower_ratio"] > 3
