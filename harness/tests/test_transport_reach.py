"""Opening the ways to a cluster, entering its network, deadlines, and the fakes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.core.errors import ConfigError, Denied, Refused, TimedOut, TransportError, Unreachable
from harness.core.parallel import within
from harness.settings import Access, Profile, load_profile
from harness.settings.machines import MachineSettings
from harness.tests.api_server import api_server, write_kubeconfig
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.transport import Answer, Completed, connect, enter_network


def _profile(namespace: Path | None) -> Profile:
    profile = load_profile("contabo")
    access: Access = profile.access.model_copy(update={"network_namespace": namespace})
    return profile.model_copy(update={"access": access})


def test_connecting_contacts_nobody_and_needs_no_kubeconfig_yet() -> None:
    with connect(_profile(None)) as reach:
        assert reach.profile.name == "contabo"
        with pytest.raises(ConfigError, match="cannot use the kubeconfig"):
            reach.kube.get("/api/v1/nodes")


def test_the_api_is_asked_through_the_declared_servers_when_the_kubeconfigs_own_is_lost(
    tmp_path: Path,
) -> None:
    with api_server(tmp_path) as api:
        api.answers["/x"] = (200, {"by": "another"})
        port = urlsplit(api.url).port
        lost = f"https://127.0.0.2:{port}"
        kubeconfig = write_kubeconfig(tmp_path / "lost", lost, api.authority.pem)
        whole = _profile(None)
        servers = [{"name": f"s{it}", "address": f"127.0.0.{it}"} for it in (1, 2)]
        profile = whole.model_copy(
            update={
                "access": whole.access.model_copy(update={"kubeconfig": kubeconfig}),
                "machines": tuple(MachineSettings.model_validate(it) for it in servers),
                "kubernetes": whole.kubernetes.model_copy(update={"api_port": port}),
            }
        )
        with connect(profile) as reach:
            assert reach.kube.get("/x") == {"by": "another"}


def test_a_missing_network_namespace_means_that_the_lab_is_down(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the lab is not up") as caught:
        enter_network(tmp_path / "cutover-lab")
    assert caught.value.remedy == "./cutover lab up"
    with pytest.raises(ConfigError), connect(_profile(tmp_path / "cutover-lab")):
        pass


def test_entering_the_network_where_we_are_does_nothing() -> None:
    enter_network(Path("/proc/self/ns/net"))


def test_it_is_too_late_to_enter_a_network_when_threads_exist(tmp_path: Path) -> None:
    elsewhere = tmp_path / "net"
    elsewhere.touch()
    done = threading.Event()
    other = threading.Thread(target=done.wait, name="early bird")
    other.start()
    try:
        with pytest.raises(ConfigError, match="early bird"):
            enter_network(elsewhere)
    finally:
        done.set()
        other.join()


def test_what_is_no_namespace_cannot_be_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net").touch()
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.current_thread()])
    with pytest.raises(Denied, match="cannot enter the network namespace"):
        enter_network(tmp_path / "net")


def test_within_gives_the_answer_or_the_error_of_the_call() -> None:
    def broken() -> None:
        raise ValueError("its own")

    assert within(1, lambda: 42, what="sum", abandon=lambda: None) == 42
    with pytest.raises(ValueError, match="its own"):
        within(1, broken, what="sum", abandon=lambda: None)


def test_a_timeout_of_the_call_itself_is_not_our_deadline() -> None:
    def slow_socket() -> None:
        raise TimeoutError("the socket's own")

    abandoned: list[bool] = []
    with pytest.raises(TimeoutError, match="the socket's own"):
        within(1, slow_socket, what="read", abandon=lambda: abandoned.append(True))
    assert abandoned == []


def test_within_abandons_at_the_deadline() -> None:
    blocked = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"reading: no answer within 0\.1 s"):
        within(0.1, blocked.wait, what="reading", abandon=blocked.set)
    assert time.monotonic() - began < 3
    assert blocked.wait(5)


def test_nobody_waits_for_an_abandoning_that_blocks_itself() -> None:
    never = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimedOut):
        within(0.1, lambda: never.wait(6), what="reading", abandon=lambda: never.wait(6))
    assert time.monotonic() - began < 3


def test_the_fake_shell_answers_by_machine_and_command_and_records() -> None:
    fine = Completed(status=0, stdout="fine", stderr="")
    shell = FakeShell(
        {
            ("*", "true"): fine,
            ("m1", "date"): Unreachable("m1: down"),
            ("m2", "cat"): lambda _, stdin: Completed(status=0, stdout=stdin, stderr=""),
        }
    )
    assert shell.run("m1", ("true",)) is fine
    assert shell.run("m2", ("cat",), stdin="x").stdout == "x"
    with pytest.raises(Unreachable, match="down"):
        shell.run("m1", ("date",))
    with pytest.raises(Unreachable, match="no answer is prepared"):
        shell.run("m2", ("date",))
    assert shell.calls[:2] == [("m1", ("true",)), ("m2", ("cat",))]


def test_the_fake_api_answers_records_and_can_refuse_to_be_changed() -> None:
    answer = Answer(status=200, body="ok", certificate="")
    kube = FakeKube({"/x": {"a": 1}, "/y": TransportError("broken")}, asked={"https://m": answer})
    assert kube.get("/x") == {"a": 1}
    assert kube.ask("https://m") is answer
    with pytest.raises(TransportError, match="404"):
        kube.ask("https://m", anonymous=True)
    with pytest.raises(TransportError, match="broken"):
        kube.get("/y")
    space = {"kind": "Namespace", "metadata": {"name": "n"}}
    kube.apply(space)
    kube.delete("/x")
    assert kube.calls[-2:] == [("APPLY", space), ("DELETE", "/x")]
    closed = FakeKube(read_only=True)
    changes: tuple[Callable[[], object], ...] = (
        lambda: closed.apply(space),
        lambda: closed.delete("/x"),
        lambda: closed.create("/x", space),
    )
    for change in changes:
        with pytest.raises(Refused, match="may only be read"):
            change()
    assert closed.calls == []
