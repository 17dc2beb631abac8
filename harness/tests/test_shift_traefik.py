"""A move over a real Traefik on loopback: its file provider divides the requests.

The program is the lab's own; without it in the cache, these tests are left out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.model import Outcome
from harness.core.waiting import until
from harness.facts.shift import Shift
from harness.lab import traefik
from harness.move.shift import Order
from harness.settings.shift import Shift as Declared
from harness.tests.moving import BACK, GOOD, KEPT, client, moved, outcome
from harness.tests.ports import free_port
from harness.tests.two_platforms import Platforms, two_platforms

PROGRAM = traefik.program().path / "traefik"
FILL_IN = (
    'cd "$2" && sed "s/TARGET/$1/; s/SOURCE/$((100 - $1))/" template > dynamic/.new '
    "&& mv dynamic/.new dynamic/shift.yaml"
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM.exists(), reason="the lab's Traefik is not built here"),
]


@pytest.fixture(autouse=True)
def _slow_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The computer that runs the tests may stand still for longer than a real one."""
    monkeypatch.setattr("harness.checks.shift._STALLED_S", 60.0)


@dataclass
class Front(Platforms):
    """Two platforms behind Traefik: ``port`` is Traefik's."""

    def declared(self, **changes: Any) -> Declared:
        front = {
            "machine": "vmi2887102",
            "address": "127.0.0.1",
            "port": self.port,
            "set": ["sh", "-c", FILL_IN, "set-share", "{share}", str(self.folder)],
            "read": ["sed", "-n", "s/^# share: //p", str(self.folder / "dynamic/shift.yaml")],
        }
        return super().declared(**{"front": front, **changes})

    @property
    def share(self) -> int:
        text = (self.folder / "dynamic/shift.yaml").read_text(encoding="utf-8")
        return int(text.splitlines()[0].removeprefix("# share: "))


@contextmanager
def fronted(folder: Path, *, sticky: bool = False) -> Iterator[tuple[Front, Platforms]]:
    """Traefik before an old and a new platform; the front, and the new platform."""
    with ExitStack() as stack:
        sides = {}
        for side, share in (("swarm", 0), ("rke2", 100)):
            (folder / side).mkdir()
            sides[side] = stack.enter_context(two_platforms(folder / side, share))
        sessions: dict[str, str] = {}
        began: dict[str, float] = {}
        for it in sides.values():
            it.sessions, it.began = sessions, began
        port = free_port()
        (folder / "dynamic").mkdir()
        (folder / "template").write_text(template(sides, sticky=sticky))
        command = [
            str(PROGRAM),
            f"--entryPoints.web.address=127.0.0.1:{port}",
            f"--providers.file.directory={folder / 'dynamic'}",
            "--providers.file.watch=true",
            "--providers.providersThrottleDuration=100ms",
            "--global.checkNewVersion=false",
        ]
        front = Front(folder, port)
        subprocess.run(front.declared().front.command(0), check=True)
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
        ) as process:
            try:
                page = front.declared().requests[0]
                until(
                    lambda: client(front).sample(page).side == "source",
                    within_s=60,
                    every_s=0.2,
                    what="an answer through Traefik",
                )
                yield front, sides["rke2"]
            finally:
                process.terminate()


def template(sides: dict[str, Platforms], *, sticky: bool) -> str:
    weighted: dict[str, Any] = {
        "services": [{"name": "swarm", "weight": "SOURCE"}, {"name": "rke2", "weight": "TARGET"}]
    }
    if sticky:
        weighted["sticky"] = {"cookie": {"name": "side"}}
    services = {
        side: {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{it.port}"}]}}
        for side, it in sides.items()
    }
    routers = {"app": {"rule": "PathPrefix(`/`)", "service": "app"}}
    told = {"routers": routers, "services": {"app": {"weighted": weighted}, **services}}
    return "# share: TARGET\n" + yaml.safe_dump({"http": told})


def rehearsed(front: Front) -> Shift:
    return moved(front, Order(shares=(10, 50, 100), rehearsal=True))


def test_a_rehearsal_over_traefik_is_proven(tmp_path: Path) -> None:
    with fronted(tmp_path) as (front, _):
        found = rehearsed(front)
        assert front.share == 0
    for check in (GOOD, KEPT, BACK):
        assert outcome(check, found)[0] is Outcome.PASS, outcome(check, found)


def test_a_new_platform_that_is_gone_is_an_error_of_no_side_and_goes_back(tmp_path: Path) -> None:
    with fronted(tmp_path) as (front, new):
        new.port = 0
        text = (tmp_path / "template").read_text().splitlines()
        gone = f"http://127.0.0.1:{free_port()}"
        last = max(place for place, line in enumerate(text) if "url:" in line)
        first = min(place for place, line in enumerate(text) if "url:" in line)
        # YAML is sorted: rke2 comes before swarm.
        assert first < last
        text[first] = text[first].partition("http")[0] + gone
        (tmp_path / "template").write_text("\n".join(text) + "\n")
        found = moved(front, Order(shares=(10, 50, 100), rehearsal=False, agreed="R. Winter"))
        assert front.share == 0
    told, reason = outcome(GOOD, found)
    assert (told, "failures of all requests" in reason) == (Outcome.FAIL, True), reason
    assert found.steps[0].window.target.answers == 0


def test_sticky_visitors_are_brought_back_by_a_weight_of_0_and_left_behind_above_it(
    tmp_path: Path,
) -> None:
    """Traefik leaves a service of weight 0 out, and gives its visitors to another one."""
    with fronted(tmp_path, sticky=True) as (front, _):
        found = rehearsed(front)
        assert outcome(BACK, found)[0] is Outcome.PASS, outcome(BACK, found)
    assert all(it.left_behind == () for it in found.returns)
