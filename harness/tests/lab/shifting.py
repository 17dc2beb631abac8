"""The lab's front with a small site of its own: the profile's commands, and two web servers.

The lab's own pages have no session that both platforms know; this site has one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.settings import ROOT
from harness.tests.lab.forked import cutover
from harness.tests.lab.red import beside
from harness.tests.lab.world import Ruling, World

PLATFORM = (Path(__file__).parent / "small_platform.py").read_text(encoding="utf-8")
ROUTES = "/etc/traefik/dynamic/shift.yaml"
FORGETS, DOUBLES = "/run/small-platform-forgets", "/run/small-platform-doubles"
HOST = "move.lab.example"
PORTS = {"swarm": 18081, "rke2": 18082}
# A tenth of these is little for the new platform, and half of them is too much for a small one.
PER_S = 100
AGREES = ("--past-no-return", "R. Winter")
# A ledger that is ready at once, for a move whose ledger nothing is asked of.
QUICK = ["objects"]
WRITES = {
    "send": {"host": HOST, "path": "/writes", "body": {"text": "{write}"}, "status": 201},
    "read": {"method": "GET", "host": HOST, "path": "/writes"},
    "remove": {"method": "DELETE", "host": HOST, "path": "/writes/{writes}"},
}


def declared(world: World, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The profile's own section, for the small site instead of the platform's pages."""
    text = world.section("shift")
    for old, new in (
        ("app.lab.example", HOST),
        ("http://frontend-service:3000", f"http://{world.one.address}:{PORTS['swarm']}"),
        ('http://10.0.0.1"', f'http://{world.three.address}:{PORTS["rke2"]}"'),
    ):
        assert old in text, f"the profile's shift does not say {old!r}"
        text = text.replace(old, new)
    section: dict[str, Any] = yaml.safe_load(text)["shift"]
    numbers = {"machine": "vmi2887101", "count": ["echo", "0"]}
    own = {
        # Each step waits for a hundred answers of its share: ten seconds at a tenth.
        "steps": [10, 50, 100],
        "requests": [{"host": HOST, "path": "/"}],
        "sampling": {"per_s": PER_S, "timeout_s": 20, "hold_s": 2, "within_s": 240},
        "visitors": {
            "count": 5,
            "login": {"method": "GET", "host": HOST, "path": "/login"},
            "page": {"host": HOST, "path": "/me", "status": 200},
            "says": "hello",
            "every_s": 1,
        },
        "writes": WRITES,
        "no_return": section["no_return"] | {"counts": {"first invoice": numbers}},
    }
    return {**section, **own, **(changes or {})}


@dataclass
class Moving:
    """The front, both sides behind it, and the commands that move the traffic."""

    world: World

    @property
    def share(self) -> int:
        return int(self.world.do(self.world.two, *declared(self.world)["front"]["read"]).strip())

    def set(self, share: int) -> None:
        command = declared(self.world)["front"]["set"]
        self.world.do(self.world.two, *command[:-1], str(share))

    def profile(self, targets: str = "", **changes: Any) -> str:
        """A profile with this front; its path."""
        section = yaml.safe_dump({"shift": declared(self.world, changes)})
        return self.world.profile_with([(self.world.section("shift"), section), *_targets(targets)])

    def shift(self, *options: str, within_s: float = 600, **changes: Any) -> Ruling:
        command = ["shift", "--json", "--cluster", self.profile(**changes), "--allow-disruption"]
        done = cutover([*command, *options], within_s)
        assert done.stdout, done.stderr
        return Ruling(done.returncode, json.loads(done.stdout))

    def moved(self, ruling: Ruling) -> Any:
        """What was observed of the move."""
        journal = ROOT / "reports" / ruling.document["run"] / "journal.jsonl"
        records = map(json.loads, journal.read_text(encoding="utf-8").splitlines())
        (seen,) = [
            it["data"]["value"]
            for it in records
            if (it["kind"], it["subject"]) == ("observation", "shift")
        ]
        return seen


def _targets(yaml_lines: str) -> list[tuple[str, str]]:
    return [("\ntargets:\n", f"\ntargets:\n{yaml_lines}")] if yaml_lines else []


@contextmanager
def sides(world: World, most: int) -> Iterator[Moving]:
    """Both sides run, and the front leads to them; the new one answers so many a second."""
    moving = Moving(world)
    with ExitStack() as stack:
        for side, node, limit in (("swarm", world.one, 10**6), ("rke2", world.three, most)):
            argv = ("python3", "-c", PLATFORM, side, str(PORTS[side]), str(limit))
            stack.enter_context(beside(world, node, *argv, unit=f"small-platform-{side}"))
        moving.set(0)
        try:
            yield moving
        finally:
            world.do(world.two, "rm", "--force", ROUTES)
            world.do(world.three, "rm", "--force", FORGETS, DOUBLES)
            writes = "/mnt/cephfs/odoo_backups/staging/small-platform"
            world.do(world.three, "rm", "--recursive", "--force", writes)
