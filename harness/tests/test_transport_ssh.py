"""SSH against a real server in this process: deadlines, host keys, outputs, reconnection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest

from harness.core.declared import Machine
from harness.core.errors import ConfigError, Denied, HostKeyUnknown, TimedOut, Unreachable
from harness.core.waiting import until
from harness.settings import SshAccess
from harness.tests import ssh_server as server
from harness.tests.ssh_server import SshServer, pin, ssh_server
from harness.transport import login, ssh
from harness.transport.ssh import SshShell


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[SshServer, SshAccess, Machine]]:
    with ssh_server(tmp_path) as made:
        yield made


@pytest.fixture
def shell(rig: tuple[SshServer, SshAccess, Machine]) -> Iterator[SshShell]:
    _, access, machine = rig
    made = SshShell(access, [machine])
    yield made
    made.close()


def test_status_and_both_outputs_are_data(shell: SshShell) -> None:
    done = shell.run("m1", ("sh", "-c", "echo out; echo err >&2; exit 7"))
    assert (done.status, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert 0 < done.took_s < 5


def test_arguments_arrive_as_they_are(shell: SshShell) -> None:
    odd = ["a b", "$HOME", "it's", "x;y", "*", ""]
    assert shell.run("m1", ("printf", "%s|", *odd)).stdout == "|".join(odd) + "|"


def test_input_reaches_the_command_and_ends(shell: SshShell) -> None:
    text = "ä\n" * 200_000
    done = shell.run("m1", ("wc", "-c"), stdin=text)
    assert int(done.stdout) == len(text.encode())


def test_a_command_need_not_read_its_input(shell: SshShell) -> None:
    assert shell.run("m1", ("true",), stdin="x" * 5_000_000).status == 0


def test_large_outputs_on_both_streams_do_not_block(shell: SshShell) -> None:
    size = 6_000_000
    script = f"head -c {size} /dev/zero >&2; head -c {size} /dev/zero"
    done = shell.run("m1", ("sh", "-c", script), within_s=30)
    assert (len(done.stdout), len(done.stderr)) == (size, size)


def test_a_command_killed_by_a_signal_has_status_minus_one(shell: SshShell) -> None:
    assert shell.run("m1", ("sh", "-c", "kill -9 $$")).status in (-1, 137)


def test_a_command_that_outlives_its_deadline_is_abandoned_and_killed(
    shell: SshShell, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"m1 \(127.0.0.1\): sh -c"):
        shell.run("m1", ("sh", "-c", f"echo $$ > {pid_file}; exec sleep 60"), within_s=0.5)
    assert time.monotonic() - began < 4
    assert shell.run("m1", ("echo", "still here")).stdout == "still here\n"
    command = Path(f"/proc/{pid_file.read_text().strip()}/cmdline")
    until(lambda: b"sleep" not in _read(command), within_s=5, what="the command killed")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_one_connection_serves_many_threads(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a loaded machine a session may open slowly: here that is no dead connection.
    monkeypatch.setattr(ssh, "_PROMPT_S", 60.0)
    with ThreadPoolExecutor(max_workers=20) as pool:
        said = list(
            pool.map(lambda n: shell.run("m1", ("echo", str(n)), within_s=60).stdout, range(60))
        )
    assert said == [f"{n}\n" for n in range(60)]
    assert rig[0].logins == 1


def test_a_lost_connection_is_made_anew(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell
) -> None:
    shell.run("m1", ("true",))
    rig[0].drop_connections()
    assert shell.run("m1", ("echo", "back")).stdout == "back\n"
    assert rig[0].logins == 2


def _never(*_: object, **__: object) -> None:
    raise paramiko.SSHException("Timeout opening channel.")


def test_a_connection_on_which_no_session_opens_is_left_for_a_new_one(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(shell.run, "m1", ("sh", "-c", "echo up; sleep 1; echo done"))
        until(lambda: rig[0].logins == 1, within_s=5, what="the first connection")
        threading.Event().wait(0.3)
        first = shell._connections["m1"]._client
        assert first is not None
        transport = first.get_transport()
        monkeypatch.setattr(transport, "open_channel", _never)
        assert shell.run("m1", ("echo", "fresh"), within_s=5).stdout == "fresh\n"
        assert running.result().stdout == "up\ndone\n"
    assert rig[0].logins == 2


@pytest.fixture
def stuck(shell: SshShell) -> Iterator[None]:
    """A connection that takes no more bytes for a while, as when its machine is frozen."""
    shell.run("m1", ("true",))
    client = shell._connections["m1"]._client
    assert client is not None
    sending = vars(client.get_transport())["clear_to_send_lock"]
    sending.acquire()
    release = threading.Timer(6, sending.release)
    release.start()
    yield
    release.cancel()
    if sending.locked():
        sending.release()


@pytest.mark.usefixtures("stuck")
def test_a_connection_that_takes_no_bytes_is_left_for_a_new_one(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_PROMPT_S", 0.3)
    assert shell.run("m1", ("echo", "fresh")).stdout == "fresh\n"
    assert rig[0].logins == 2


@pytest.mark.usefixtures("stuck")
def test_a_connection_that_takes_no_bytes_costs_a_tunnel_its_deadline_and_no_more(
    shell: SshShell,
) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match="opening a channel"):
        shell.open_channel("m1", "127.0.0.1", 9, within_s=0.5)
    assert time.monotonic() - began < 4


def test_a_connection_lost_while_a_command_runs_is_unreachable(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell
) -> None:
    shell.run("m1", ("true",))
    threading.Timer(0.5, rig[0].drop_connections).start()
    with pytest.raises(Unreachable, match="connection lost"):
        shell.run("m1", ("sleep", "5"), within_s=10)


def test_a_connection_that_is_just_being_lost_is_not_taken_for_a_command_s_end(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paramiko closes the channels of a lost connection before it calls it inactive."""
    unlink, told = vars(paramiko.Channel)["_unlink"], threading.Event()

    def then_wait(channel: paramiko.Channel) -> None:
        unlink(channel)
        assert channel.get_transport().server_mode or told.wait(10)

    monkeypatch.setattr(paramiko.Channel, "_unlink", then_wait)
    try:
        with pytest.raises(Unreachable, match="connection lost while sh ran"):
            shell.run(
                "m1", ("sh", "-c", "echo half; sleep 5"), hear=lambda _: rig[0].drop_connections()
            )
    finally:
        told.set()


def test_an_output_that_breaks_off_after_the_status_is_not_taken_for_the_whole(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sshd sends the status when the command ends, and what is left of its output after that."""

    def break_off(channel: paramiko.Channel, *_: object) -> None:
        channel.sendall(b"half of it")
        channel.send_exit_status(0)
        rig[0].drop_connections()

    monkeypatch.setattr(server, "_execute", break_off)
    with pytest.raises(Unreachable, match="connection lost while cat ran"):
        shell.run("m1", ("cat", "/etc/hostname"))


def test_an_unknown_host_key_is_refused_with_its_fingerprint(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell
) -> None:
    server, access, _ = rig
    access.known_hosts.write_text("# nobody yet\n")
    with pytest.raises(HostKeyUnknown) as caught:
        shell.run("m1", ("true",))
    assert server.host_key.fingerprint in str(caught.value)
    assert str(access.known_hosts) in caught.value.remedy
    assert server.host_key.get_base64() in caught.value.remedy
    assert server.logins == 0


def test_a_missing_known_hosts_file_pins_nobody(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell
) -> None:
    rig[1].known_hosts.unlink()
    with pytest.raises(HostKeyUnknown):
        shell.run("m1", ("true",))


@pytest.mark.parametrize("same_type", [True, False])
def test_a_changed_host_key_is_refused(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, same_type: bool
) -> None:
    server, access, _ = rig
    other = paramiko.ECDSAKey.generate() if same_type else paramiko.RSAKey.generate(2048)
    pin(access, server, other)
    with pytest.raises(HostKeyUnknown, match="another machine may answer"):
        shell.run("m1", ("true",))
    assert server.logins == 0


def test_a_key_that_the_machine_does_not_know_is_denied(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell
) -> None:
    rig[0].client_key = paramiko.ECDSAKey.generate()
    with pytest.raises(Denied, match="refused the key"):
        shell.run("m1", ("true",))


@pytest.mark.parametrize("content", [None, "", "not a key"])
def test_a_key_of_ours_that_cannot_be_used_is_a_configuration_error(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, content: str | None
) -> None:
    key = rig[1].key
    key.unlink() if content is None else key.write_text(content)
    with pytest.raises(ConfigError, match="cannot use the SSH key"):
        shell.run("m1", ("true",))


def test_nobody_listens(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as (_, access, machine), socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = access.model_copy(update={"port": unused.getsockname()[1]})
        with pytest.raises(Unreachable, match="see that m1 is up"):
            SshShell(closed, [machine]).run("m1", ("true",))


def test_a_server_that_says_nothing_costs_the_deadline_and_no_more(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell
) -> None:
    rig[0].stall = True
    began = time.monotonic()
    with pytest.raises((TimedOut, Unreachable)):
        shell.run("m1", ("true",), within_s=0.7)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("left_s", [0.0, -3.0])
def test_whoever_waited_until_no_time_was_left_does_not_log_in(
    rig: tuple[SshServer, SshAccess, Machine], shell: SshShell, left_s: float
) -> None:
    with pytest.raises(TimedOut, match="no time was left"):
        shell.open_channel("m1", "127.0.0.1", 9, within_s=left_s)
    assert rig[0].logins == 0


def test_a_machine_outside_the_inventory(shell: SshShell) -> None:
    with pytest.raises(ConfigError, match="no machine m9"):
        shell.run("m9", ("true",))


def test_a_command_does_not_wait_until_what_was_sent_before_it_is_acknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        way = login._socket("127.0.0.1", server.getsockname()[1], 1.0)
        with way:
            assert way.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
