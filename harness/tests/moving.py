"""A whole move on this computer: its front's commands run here, and so does its way back."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.checks import CHECKS
from harness.core.model import Outcome
from harness.facts.schema import Known, dump
from harness.facts.shift import Shift
from harness.faults.model import Undo
from harness.move.client import Client
from harness.move.front import FrontByCommands
from harness.move.sampling import Sampler
from harness.move.shift import Mover, Order, Parts
from harness.move.visitors import Visitors
from harness.move.way_back import WayBack
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeShell
from harness.tests.local_shell import really
from harness.tests.two_platforms import Platforms
from harness.transport.network import Network

HERE = FakeShell({("*", word): really for word in ("sh", "cat", "printf", "sed")})
GOOD = "the new platform answers as well as the old one at every step"
KEPT = "no one is logged out on the way"
BACK = "the share comes back in time from every step"


def client(platforms: Platforms, **changes: Any) -> Client:
    declared = platforms.declared(**changes)
    return Client(Network(), declared.front, declared.side, timeout_s=30)


@dataclass
class LocalStore:
    """Keeps the way back, and runs it here."""

    armed: Undo | None = None
    lacks: tuple[str, ...] = ()

    def missing(self) -> Sequence[str]:
        return self.lacks

    def arm(self, undo: Undo) -> None:
        self.armed = undo

    def renew(self, undo: Undo) -> bool:
        return self.armed == undo

    def heal(self, undo: Undo) -> None:
        assert self.armed == undo
        subprocess.run(undo.commands[0], check=True)
        self.armed = None


def moved(platforms: Platforms, order: Order, **changes: Any) -> Shift:
    declared = platforms.declared(**changes)
    way = client(platforms, **changes)
    sampler = Sampler(way.sample, declared.requests, declared.sampling.per_s)
    mover = Mover(
        parts=Parts(
            declared=declared,
            front=FrontByCommands(HERE, declared.front),
            way_back=WayBack(LocalStore(), "vmi2887102", declared.front.command),
            samples=sampler,
            needs=lambda: {"the registry answers": ""},
            numbers=lambda: {"first invoice": Known(7)},
            tell=lambda _: None,
            record=lambda *_: None,
        ),
        order=order,
    )
    assert declared.visitors is not None
    visitors = Visitors(way, declared.visitors, "", lambda: mover.share, lambda _: None)
    with sampler.running(), visitors.following():
        mover.visitors = visitors
        return mover.move()


def outcome(check: str, found: Shift) -> tuple[Outcome, str]:
    seen = clean()
    verdict = CHECKS[check](case(seen | {"shift": {CLUSTER.name: dump(found)}}))
    return verdict.outcome, verdict.reason
