"""What is red leaves evidence, taken before any clean-up, which never changes the verdict."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import transport
from harness.core.declared import Machine
from harness.core.errors import TimedOut, TransportError, Unreachable
from harness.core.waiting import until
from harness.pytest_gate.evidence import Piece, collect, commands_for_machines, wanted_logs
from harness.settings import load_profile
from harness.tests.fake_transport import FakeFleet, FakeKube
from harness.tests.project import REQUIRED, Project, scenario_of
from harness.tests.ssh_server import ssh_server
from harness.tests.stage import UID, reach
from harness.transport import Completed, ansible, ansible_events
from harness.transport.ansible import AnsibleFleet, play

LOCAL = {"ansible_connection": "local"}


def pod(name: str, *, ready: bool, restarts: int = 0, namespace: str = "kube-system") -> Any:
    return {
        "metadata": {"name": name, "namespace": namespace, "managedFields": ["long"]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "main", "ready": ready, "restartCount": restarts}],
        },
    }


KUBE = {
    "/api/v1/namespaces/kube-system": {"metadata": {"uid": UID}},
    "/api/v1/pods": {"items": [pod("calm", ready=True), pod("odd", ready=False, restarts=1)]},
    "log kube-system/odd/main": "password=c4n4ry-5up3r-s3cr3t refused",
    "log kube-system/odd/main before": "I died",
    "log kube-system/calm/main": TransportError("it is gone"),
}
FLEET = FakeFleet(("one", "two"), {"clock": Completed(status=0, stdout="in time", stderr="")})


def by_name(pieces: list[Piece]) -> dict[tuple[str, str], Piece]:
    return {(piece.target, piece.what): piece for piece in pieces}


def test_machines_objects_and_the_logs_of_troubled_pods_are_collected() -> None:
    found = by_name(list(collect(reach(FakeKube(KUBE), FLEET))))
    assert found["one", "clock"] == Piece(target="one", what="clock", text="in time")
    assert "nothing is prepared" in str(found["two", "memory"].error)
    cluster = {what: piece for (target, what), piece in found.items() if target == "the cluster"}
    assert "managedFields" not in cluster["pods"].text
    assert cluster["log of kube-system/odd, main"].text.endswith("refused")
    assert cluster["log of kube-system/odd, main, before its restart"].text == "I died"
    assert cluster["log of kube-system/calm, main"].error == "it is gone"
    assert "404" in str(cluster["events"].error)


def test_a_pod_that_does_not_stand_is_not_lost_among_restarted_ones() -> None:
    restarted = [pod(f"old-{n}", ready=True, restarts=2) for n in range(60)]
    failed = pod("failed", ready=False, namespace="shop")
    logs = wanted_logs({"items": [*restarted, failed]})
    assert logs[0].what == "log of shop/failed, main"
    assert len(logs) == 40


def test_no_secret_and_no_configmap_is_ever_asked_for() -> None:
    kube = FakeKube(KUBE)
    list(collect(reach(kube, FLEET)))
    assert not [it for _, it in kube.calls if "secrets" in str(it) or "configmaps" in str(it)]


@pytest.fixture
def watched(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose cluster has something to collect."""

    def connect(_: object) -> Any:
        return _Opened(reach(FakeKube(KUBE), FLEET))

    monkeypatch.setattr(transport, "connect", connect)
    return project


class _Opened:
    def __init__(self, ways: Any) -> None:
        self._ways = ways

    def __enter__(self) -> Any:
        return self._ways

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


def kinds(folder: Path) -> list[str]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [json.loads(line)["kind"] for line in lines]


@pytest.mark.parametrize(
    ("rook", "through", "asked"),
    [
        ("external", "machines", True),
        ("external", "toolbox", False),
        ("cluster", "machines", False),
        ("cluster", "toolbox", False),
    ],
)
def test_machines_are_asked_about_ceph_only_where_they_have_its_program(
    rook: str, through: str, asked: bool
) -> None:
    profile = load_profile("lab")
    stack = profile.stack.model_copy(update={"rook": rook})
    ceph = profile.ceph.model_copy(update={"through": through})
    told = commands_for_machines(profile.model_copy(update={"stack": stack, "ceph": ceph}))
    assert any(command[0] == "ceph" for command in told.values()) is asked


def test_a_green_run_collects_nothing(watched: Project) -> None:
    watched.write()
    gate = watched.run()
    assert gate.status == 0
    assert "collect" not in kinds(gate.folder)


def test_evidence_is_taken_before_the_clean_up_redacted_signed_and_shown(watched: Project) -> None:
    watched.write(
        steps="""
        @pytest.fixture(autouse=True)
        def clean(run):
            yield
            run.write("cleaned", "up", {})
        """
    )
    watched.answers["two"] = 42
    gate = watched.run()
    assert gate.status == 1
    order = kinds(gate.folder)
    assert order.index("collect") < order.index("collected") < order.index("cleaned")
    texts = {path.read_text() for path in gate.folder.glob("evidence/*.txt")}
    assert {"in time", "I died"} <= texts
    assert any(text.startswith("password=‹redacted:") for text in texts)
    page = (gate.folder / "report.html").read_text()
    assert "Collected when it turned red" in page
    assert "log of kube-system/odd, main" in page
    assert "it is gone" in page


def test_evidence_is_collected_once_however_much_is_red(watched: Project) -> None:
    second = scenario_of(*REQUIRED, name="Another").partition("Answers\n")[2]
    watched.write(scenario_of(*REQUIRED) + second)
    watched.answers["two"] = 42
    gate = watched.run()
    assert kinds(gate.folder).count("collect") == 1


def test_a_run_without_evidence_is_as_red_and_collects_nothing(watched: Project) -> None:
    watched.write()
    watched.answers["two"] = 42
    gate = watched.run("--without-evidence")
    assert gate.status == 1
    assert "collect" not in kinds(gate.folder)


def test_an_interrupted_run_collects_too(watched: Project) -> None:
    watched.write(
        scenario_of(*REQUIRED, "And somebody presses Ctrl-C"),
        steps="""
        @then("somebody presses Ctrl-C")
        def interrupt():
            raise KeyboardInterrupt
        """,
    )
    assert "collected" in kinds(watched.run().folder)


# --- ansible-runner -----------------------------------------------------------------------------


def test_commands_run_on_all_machines_side_by_side_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "TMPDIR"))
    commands = {"say": ["echo", "it's {so}"], "fail": ["sh", "-c", "echo no >&2; exit 3"]}
    told = play({"one": LOCAL, "two": LOCAL}, commands, within_s=120)
    for machine in ("one", "two"):
        said, failed = told[machine, "say"], told[machine, "fail"]
        assert said == Completed(status=0, stdout="it's {so}\n", stderr="")
        assert failed == Completed(status=3, stdout="", stderr="no\n")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "HOME", tmp_path / "TMPDIR"]


def test_a_command_that_hangs_holds_none_of_the_others_up_and_each_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.transport.ansible._EACH_S", 2)
    texts = {"nothing": "", "no end": "a", "lines": "\na\n\n\nb\n", "braces": "{x} %s \\n $y\n"}
    commands = {
        "slow": ["sh", "-c", "echo begun; exec sleep 60"],
        **{name: ["printf", "%s", text] for name, text in texts.items()},
        "much": ["sh", "-c", "yes | head --bytes=2000000; echo; echo end"],
    }
    told = play({"one": LOCAL}, commands, within_s=120)
    said = {name: it for (_, name), it in told.items() if isinstance(it, Completed)}
    slow = said.pop("slow")
    assert (slow.status, slow.stdout) == (137, "begun\n")
    much = said.pop("much").stdout
    assert (len(much), much[-5:]) == (1 << 20, "\nend\n")
    assert {name: it.stdout for name, it in said.items()} == texts


def deadline_when(monkeypatch: pytest.MonkeyPatch, over: Callable[[], bool]) -> None:
    """Every deadline of Ansible has passed as soon as this is so, however long that took."""

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + (1000 if over() else 0)

    for module in (ansible, ansible_events):
        monkeypatch.setattr(module, "time", Clock)


def nothing_lives_on(folder: Path) -> None:
    ours = str(folder).encode()
    until(lambda: not living_with(ours), within_s=30, what="every process of the play is gone")


def test_at_the_deadline_what_machines_said_is_kept_and_nothing_of_ansible_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine answers; another accepts the connection and says nothing."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    heard: list[ansible_events.CommandAnswers] = []

    class Heard(ansible_events.CommandAnswers):
        def __init__(self) -> None:
            super().__init__()
            heard.append(self)

    monkeypatch.setattr(ansible, "CommandAnswers", Heard)
    deadline_when(monkeypatch, lambda: any(it.answers for it in heard))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        by_ssh = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": port}
        told = play({"one": LOCAL, "two": by_ssh}, {"say": ["echo", "1"]}, within_s=90)
    assert told["one", "say"] == Completed(status=0, stdout="1\n", stderr="")
    assert isinstance(told["two", "say"], TransportError)
    nothing_lives_on(tmp_path)


def test_at_the_deadline_a_worker_that_has_much_to_say_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stuck = tmp_path / "stuck"
    deadline_when(monkeypatch, stuck.exists)
    # More than a pipe holds: a worker that writes it outlives the parent that does not read.
    long = f"yes | head --bytes=3000000; touch {stuck}; exec tail -f /dev/null"
    told = play({"one": LOCAL}, {"slow": ["sh", "-c", long]}, within_s=90)
    assert isinstance(told["one", "slow"], TimedOut)
    nothing_lives_on(tmp_path)


def living_with(words: bytes) -> list[str]:
    """Processes other than this one whose command or environment holds these words."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = int(process.name) == os.getpid()
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if not ours and words in told:
                found.append((process / "cmdline").read_text())
    return found


def test_machines_are_reached_by_ssh_with_their_pinned_host_key(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as (server, access, machine):
        # The same server by another name, for which another key is pinned.
        stranger = Machine(name="m2", address="localhost", roles=("server",))
        key = server.client_key
        with access.known_hosts.open("a") as pins:
            pins.write(f"[localhost]:{server.port} {key.get_name()} {key.get_base64()}\n")
        fleet = AnsibleFleet(access, [machine, stranger])
        told = fleet.everywhere({"say": ["echo", "hello"]}, within_s=120)
    assert told["m1", "say"] == Completed(status=0, stdout="hello\n", stderr="")
    error = told["m2", "say"]
    assert isinstance(error, Unreachable)
    assert "host key" in str(error).lower()


def test_an_ansible_that_does_not_start_is_an_error_for_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("harness.transport.ansible._environment", lambda _: {"PATH": "/nowhere"})
    told = play({"one": LOCAL}, {"say": ["echo"]}, within_s=60)
    assert isinstance(told["one", "say"], TransportError)
    assert living_with(str(tmp_path).encode()) == []
