"""What is left of a Swarm: a real script before a Docker of tables, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.probes.scripts import docker_script, old_platform_script
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import NAMES
from harness.tests.docker_engine import Engine, Handler, serving
from harness.tests.fake_transport import FakeShell
from harness.tests.probe_rig import observe, reach
from harness.transport import Completed

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
            changed(state=None, comes_back=True, installed=False),
            "expected no Swarm on its disk, seen its keys and state without a Docker",
        ),
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


@pytest.fixture(autouse=True)
def _no_docker_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_platform_script, "PROGRAMS", str(tmp_path / "bin"))
    monkeypatch.setattr(old_platform_script, "UNITS", (str(tmp_path / "units"),))


def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, Any]]
) -> dict[str, object]:
    monkeypatch.setattr(docker_script, "SOCKET", str(tmp_path / "docker.sock"))
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
        "installed": False,
        "services": ["saasodoo_redis"],
    }


def test_without_docker_there_is_no_swarm_and_one_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_platform_script, "ROOT", str(tmp_path))
    monkeypatch.setattr(docker_script, "SOCKET", str(tmp_path / "none.sock"))
    none: dict[str, object] = {
        "state": None,
        "why": "",
        "comes_back": False,
        "installed": False,
        "services": [],
    }
    assert old_platform_script.docker() == none
    broken = asked(tmp_path, monkeypatch, {"/info": (500, {"message": "out of memory"})})
    assert broken == none | {"why": "RuntimeError: out of memory"}


# As `ss -H -x -l -n -p` has it on Debian, after `systemctl stop docker` and before.
STOPPED = (
    "u_str LISTEN 0 4096 /run/systemd/private 1404 * 0 "
    'users:(("systemd",pid=1,fd=17))\n'
    'u_str LISTEN 0 4096 /run/docker.sock 20719 * 0 users:(("systemd",pid=1,fd=44))\n'
)
RUNS = STOPPED.replace(
    '("systemd",pid=1,fd=44)', '("dockerd",pid=812,fd=3),("systemd",pid=1,fd=44)'
)


@pytest.mark.parametrize(("listed", "alone"), [(STOPPED, True), (RUNS, False), ("", False)])
def test_systemd_that_waits_for_dockers_first_client_is_known(
    monkeypatch: pytest.MonkeyPatch, listed: str, alone: bool
) -> None:
    monkeypatch.setattr(docker_script, "SOCKET", "/run/docker.sock")
    assert docker_script.is_held_by_systemd_alone(listed) is alone


def test_a_docker_that_is_stopped_is_not_started_by_asking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Swarm that it would come back into is found on its disk."""
    (tmp_path / "swarm").mkdir()
    (tmp_path / "swarm/docker-state.json").write_text("{}")
    monkeypatch.setattr(old_platform_script, "ROOT", str(tmp_path))
    monkeypatch.setattr(docker_script, "only_systemd_listens", lambda: True)
    info = {"Swarm": {"LocalNodeState": "active"}, "DockerRootDir": str(tmp_path)}
    found = asked(tmp_path, monkeypatch, {"/info": (200, info)})
    assert (found["state"], found["why"], found["comes_back"]) == (None, "", True)


@pytest.mark.parametrize("words", [("/none/ss",), ("false",)])
def test_a_docker_that_a_question_could_start_is_not_asked_and_never_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Without `ss`, nothing tells who holds Docker's socket."""
    monkeypatch.setattr(docker_script, "LISTENS", words)
    docker_script.only_systemd_listens.cache_clear()
    found = asked(tmp_path, monkeypatch, {"/info": (200, {})})
    assert found["state"] is None
    assert "it was not asked" in str(found["why"])


@pytest.mark.parametrize(
    ("path", "installed"),
    [("bin/dockerd", True), ("units/docker.service", True), ("units/ssh.service", False)],
)
def test_a_docker_is_installed_while_its_program_or_its_unit_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, installed: bool
) -> None:
    """`apt remove` takes both, and leaves Docker's folder with the Swarm in it."""
    monkeypatch.setattr(docker_script, "SOCKET", str(tmp_path / "none.sock"))
    there = tmp_path / path
    there.parent.mkdir()
    there.touch(mode=0o755)
    assert old_platform_script.docker()["installed"] is installed


def test_the_probe_reads_what_the_script_prints() -> None:
    printed = clean()["old-platform"][ONE]
    done = Completed(status=0, stdout=json.dumps(printed) + "\n", stderr="")
    seen = observe("old-platform", reach(FakeShell({("*", "python3"): done})), ONE)
    assert seen["sockets"][0]["program"] == "sshd"
    assert seen["state"] == "inactive"
