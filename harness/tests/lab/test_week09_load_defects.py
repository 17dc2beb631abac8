"""Seeded defects of W9-LOAD: a generator, and then the ingress, that stands still."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from harness.core.parallel import begin
from harness.core.waiting import until
from harness.tests.lab.asking import ask
from harness.tests.lab.world import World

OFFERED = "every load was offered as planned"
ANSWERED = "requests are answered under load"
IN_TIME = "requests are answered in time under load"
ALL = (OFFERED, ANSWERED, IN_TIME)
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


def generator() -> int:
    """The process of the load generator; 0 while there is none."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"harness.load.start" in words:
            return int(folder.name)
    return 0


def stand_still(ended: Event) -> None:
    """Stop the generator for three seconds, once it runs."""
    until(lambda: generator() or ended.is_set(), within_s=60, what="the generator")
    ended.wait(6)
    process = generator()
    os.kill(process, signal.SIGSTOP)
    ended.wait(3)
    os.kill(process, signal.SIGCONT)


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


@pytest.mark.defect(
    "every load was offered as planned",
    "requests are answered under load",
    "requests are answered in time under load",
)
def test_a_generator_and_an_ingress_that_stand_still_are_told_apart(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "short.yaml").write_text(LOAD)
    load = ("loads: [busy-hour]", f"loads: [{tmp_path / 'short.yaml'}]")
    profile = world.profile_with([load])
    with meanwhile(stand_still):
        found = ask(profile, "loads", *ALL)
    assert {outcome for outcome, _ in found.values()} == {"not_proven"}, found
    assert "% of the planned requests were sent on time, expected 99 %" in found[OFFERED][1]

    wrong = ("paths: [{path: /healthz, status: 200}]", "paths: [/healthz, /none]")
    profile = world.profile_with([load, wrong])
    with meanwhile(lambda ended: pause(world, ended)):
        found = ask(profile, "loads", *ALL)
    assert found[OFFERED][0] == "pass", found
    assert found[ANSWERED][0] == found[IN_TIME][0] == "fail", found
    assert "× status 404" in found[ANSWERED][1]
    assert "expected 99 % of answers within 400 ms, seen" in found[IN_TIME][1]
