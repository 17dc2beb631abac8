"""What is left of a Swarm: a real script before a Docker of tables, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.probes.scripts import old_platform_script, swarm_script
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES
from harness.tests.docker_engine import Engine, Handler, serving
from harness.tests.probe_rig import observe, reach
from harness.transport import Completed
from harness.transport.fake import FakeShell

GONE = "no machine is in a Swarm"
CLOSED = "no port of Docker listens"
ONE = NAMES[0]
CONTAINERS = (
    "/containers/json?filters=%7B%22label%22%3A%20%5B%22com.docker.swarm.service.name%22%5D%7D"
)


def judged(check: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there["old-platform"][ONE])
    return CHECKS[check](case(there))


def changed(**known: Any) -> Callable[[Any], object]:
    return lambda it: it.update(known)


def socket(program: str, port: int, protocol: str = "tcp", address: str = "0.0.0.0") -> Any:
    return {"protocol": protocol, "address": address, "port": port, "program": program}


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (GONE, changed()),
        (GONE, changed(state=None)),  # Docker is removed
        (CLOSED, changed()),
        (CLOSED, changed(sockets=[socket("dockerd", 2375, address="127.0.0.1")])),
        (CLOSED, changed(sockets=[socket("the kernel", 8472, "udp")])),
        # Calico's VXLAN has Docker's port, and a device in the machine's own namespace.
        (CLOSED, changed(sockets=[socket("the kernel", 4789, "udp")], vxlan=[4789])),
    ],
)
def test_a_machine_without_a_swarm_passes(check: str, change: Callable[[Any], object]) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, verdict.measured) == (Outcome.PASS, {"remains_count": 0})


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (GONE, changed(state="active"), "expected no node of a Swarm, seen its Docker active in"),
        (GONE, changed(state="locked"), "seen its Docker locked in one"),
        (GONE, changed(state=None, comes_back=True), "seen that it would join it again"),
        (
            GONE,
            changed(services=["saasodoo_redis"]),
            "expected no container of a Swarm, seen some of saasodoo_redis",
        ),
        (
            CLOSED,
            changed(
                sockets=[
                    socket("dockerd", 2377, address="::"),
                    socket("dockerd", 7946, "udp"),
                    socket("docker-proxy", 80),
                    socket("the kernel", 4789, "udp"),
                ]
            ),
            "seen 2377/tcp (dockerd), 7946/udp (dockerd), 80/tcp (docker-proxy) and 4789/udp (the",
        ),
    ],
)
def test_what_is_left_is_found(check: str, change: Callable[[Any], object], says: str) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason
    assert verdict.measured == {"remains_count": 1}
    assert verdict.where == (ONE,)


def test_a_docker_that_did_not_answer_is_not_proven() -> None:
    verdict = judged(GONE, changed(state=None, why="TimeoutError: timed out"))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "its Docker did not answer: TimeoutError: timed out" in verdict.reason


@pytest.mark.parametrize("check", [GONE, CLOSED])
def test_a_machine_that_was_not_reached_is_not_proven(check: str) -> None:
    verdict = CHECKS[check](case(clean(), {("old-platform", ONE): "no answer within 50 s"}))
    assert verdict.outcome is Outcome.NOT_PROVEN


# --- the script ---


def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, Any]]
) -> dict[str, object]:
    monkeypatch.setattr(swarm_script, "SOCKET", str(tmp_path / "docker.sock"))
    with serving(Engine(str(tmp_path / "docker.sock"), Handler), answers):
        return old_platform_script.docker()


def test_docker_tells_its_state_and_the_services_of_its_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = {old_platform_script.LABEL: "saasodoo_redis", "other": "x"}
    (tmp_path / "swarm").mkdir()
    (tmp_path / "swarm/docker-state.json").write_text("{}")
    info = {"Swarm": {"LocalNodeState": "active"}, "DockerRootDir": str(tmp_path)}
    answers = {"/info": (200, info), CONTAINERS: (200, [{"Labels": label}, {"Labels": label}])}
    found = asked(tmp_path, monkeypatch, answers)
    assert found == {
        "state": "active",
        "why": "",
        "comes_back": True,
        "services": ["saasodoo_redis"],
    }


def test_without_docker_there_is_no_swarm_and_one_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_platform_script, "ROOT", str(tmp_path))
    monkeypatch.setattr(swarm_script, "SOCKET", str(tmp_path / "none.sock"))
    none: dict[str, object] = {"state": None, "why": "", "comes_back": False, "services": []}
    assert old_platform_script.docker() == none
    broken = asked(tmp_path, monkeypatch, {"/info": (500, {"message": "out of memory"})})
    assert broken == none | {"why": "RuntimeError: out of memory"}


def test_the_probe_reads_what_the_script_prints() -> None:
    printed = clean()["old-platform"][ONE]
    done = Completed(status=0, stdout=json.dumps(printed) + "\n", stderr="")
    seen = observe("old-platform", reach(FakeShell({("*", "python3"): done})), ONE)
    assert seen["sockets"][0]["program"] == "sshd"
    assert seen["state"] == "inactive"
