"""The two scripts that run elsewhere: on a machine, and in a pod."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.waiting import until
from harness.probes.scripts import host_facts_script as machine
from harness.probes.scripts import pod_script as pod
from harness.tests.ports import free_port

# --- in a pod ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port() -> int:
    free: int = free_port()
    threading.Thread(target=pod.serve, args=(free,), daemon=True).start()

    def answers() -> bool:
        try:
            return bool(pod.report(free) == {})
        except OSError:
            return False

    until(answers, within_s=30, what="the server")
    return free


def test_a_caller_that_hangs_up_is_no_failure_of_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller = socket.create_connection(listener.getsockname())
        connection, _ = listener.accept()
        at_once = struct.pack("ii", 1, 0)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        caller.close()
        pod.answer(connection, {})
        assert connection.fileno() == -1


def _wanted(port: int, **changes: Any) -> Any:
    usual = {
        "me": "a",
        "nonce": "n",
        "port": port,
        "mtu": 1450,
        "within_s": 0.5,
        "peers": {"b": "127.0.0.1"},
        "services": {"b": "127.0.0.1"},
        "names": {},
    }
    return usual | changes


def test_what_was_told_is_what_the_receiver_reports(port: int) -> None:
    found = pod.talk(_wanted(port, within_s=20))
    assert all("value" in found[kind]["b"] for kind in ("small", "large", "tcp", "bulk", "service"))
    until(
        lambda: pod.report(port).get("n a") == {"64": pod.DATAGRAMS, "1422": pod.DATAGRAMS},
        within_s=20,
        what="every datagram",
    )


def test_a_closed_door_is_an_error_of_its_own_kind_alone(port: int) -> None:
    found = pod.talk(_wanted(port, services={"b": "127.0.0.2", "c": "127.0.0.1"}))
    assert "value" in found["service"]["c"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = pod.talk(_wanted(silent.getsockname()[1], within_s=0.2))
    assert "error" in found["tcp"]["b"]
    assert float(str(found["tcp"]["b"]["took_s"])) >= 0.2


def test_a_datagram_that_is_too_large_for_the_way_is_an_error(port: int) -> None:
    found = pod.talk(_wanted(port, mtu=66_000))
    assert "error" in found["large"]["b"]
    assert "value" in found["small"]["b"]


def test_names_are_asked_of_the_resolver_and_of_each_name_server(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod, "nameservers", lambda: ["127.0.0.1"])
    monkeypatch.setattr(pod, "ask_nameserver", lambda server, name: [server, name])
    names = {"short name": "localhost", "full name": "localhost"}
    found = pod.talk(_wanted(port, names=names, servers=["10.42.1.9"]))
    assert found["resolver"]["short name"]["value"] == ["127.0.0.1"]
    assert found["nameserver"]["127.0.0.1"]["value"] == ["127.0.0.1", "localhost"]
    assert found["server"]["10.42.1.9"]["value"] == ["10.42.1.9", "localhost"]


_octets = st.tuples(*[st.integers(0, 255)] * 4)


@given(st.lists(st.tuples(_octets, st.booleans()), max_size=5))
def test_every_address_of_a_dns_reply_is_read(records: list[tuple[Any, bool]]) -> None:
    question = b"\3svc\4test\0\0\1\0\1"
    reply = b"ID\x81\x80" + struct.pack("!HHHH", 1, len(records), 0, 0) + question
    for octets, alias_first in records:
        name = b"\xc0\x0c" if alias_first else b"\3svc\4test\0"
        reply += name + struct.pack("!HHIH", 1, 1, 5, 4) + bytes(octets)
    wanted = sorted(".".join(map(str, octets)) for octets, _ in records)
    assert pod.addresses(reply, 12 + len(question), len(records)) == wanted


# --- on a machine -----------------------------------------------------------------------------


def _commands(monkeypatch: pytest.MonkeyPatch, **outputs: str) -> None:
    """Each command prints what is given for its name, with ``_`` between it and its verb."""

    def run(*argv: str, fails: bool = True) -> tuple[int, str, str]:  # noqa: ARG001
        for name, output in outputs.items():
            if all(word in argv for word in name.split("_")):
                return 0, output, ""
        raise FileNotFoundError(2, "No such file", argv[0])

    monkeypatch.setattr(machine, "command", run)


def test_a_chrony_whose_only_source_has_died_still_says_normal_and_tells_its_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # chrony 4.3, an hour after its only source fell silent.
    tracking = (
        "7F000001,127.0.0.1,4,1795916661.812076597,-0.000000993,-0.000000063,0.000000110,"
        "-0.016,-0.002,0.062,0.000007893,0.000080758,0.5,Normal\n"
    )
    sources = "^,?,127.0.0.1,3,0,0,75,0.000000470,0.000000407,0.000004826\n"
    _commands(monkeypatch, chronyc_tracking=tracking, chronyc_sources=sources)
    monkeypatch.setattr("time.time", lambda: 1795916661.8 + 3600)
    seen = machine.chrony()
    assert (seen["leap"], seen["updated_s"]) == ("Normal", 3600.0)
    assert seen["sources"] == [{"name": "127.0.0.1", "state": "?", "reach": 0}]


def test_chrony_tells_the_offset_and_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = (
        "0A0000FE,10.0.0.254,11,1795526220.1,-0.000012345,0.000001,0.000010,"
        "1.234,0.001,0.050,0.000200,0.000300,64.1,Normal\n"
    )
    sources = "^,*,10.0.0.254,10,6,377,33,-0.00001,-0.00002,0.0004\n^,?,10.0.0.9,0,6,0,-,0,0,0\n"
    _commands(monkeypatch, chronyc_tracking=tracking, chronyc_sources=sources)
    seen = machine.chrony()
    assert (seen["reference"], seen["stratum"], seen["leap"]) == ("10.0.0.254", 11, "Normal")
    assert seen["offset_s"] == -0.000012345
    assert seen["sources"] == [
        {"name": "10.0.0.254", "state": "*", "reach": 255},
        {"name": "10.0.0.9", "state": "?", "reach": 0},
    ]


def test_swap_of_the_next_boot_is_found_in_fstab_and_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {
        "/proc/swaps": "Filename Type Size Used Priority\n/dev/sda3 partition 1 0 -2\n",
        "/etc/fstab": "# /dev/old none swap sw 0 0\n\n/swapfile none swap sw 0 0\n"
        "/dev/later none swap noauto 0 0\n/dev/sda1 / ext4 defaults 0 1\n",
    }
    monkeypatch.setattr(machine, "read", files.__getitem__)
    _commands(monkeypatch, systemctl="dev-zram0.swap loaded active active Compressed Swap\n")
    assert machine.swap() == {"active": ["/dev/sda3"], "at_boot": ["/swapfile", "dev-zram0.swap"]}


def test_a_swap_unit_that_is_masked_or_only_named_turns_nothing_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # systemd finds a swap partition of the GPT by itself, and an operator masked its unit.
    listed = (
        "dev-sda3.swap      masked    inactive dead dev-sda3.swap\n"
        "dev-mapper-x.swap  not-found inactive dead dev-mapper-x.swap\n"
        "dev-sdb1.swap      loaded    inactive dead Swap Partition\n"
    )
    monkeypatch.setattr(machine, "read", {"/proc/swaps": "", "/etc/fstab": ""}.__getitem__)
    _commands(monkeypatch, systemctl=listed)
    assert machine.swap() == {"active": [], "at_boot": ["dev-sdb1.swap"]}


def test_disks_without_an_inode_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    _commands(monkeypatch, stat="4096 1000 250 0 0\n")
    assert machine.disk("/") == {
        "total_bytes": 4_096_000,
        "free_percent": 25.0,
        "inodes_free_percent": None,
    }


def test_pings_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = "2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 501ms\n"
    _commands(monkeypatch, ping=f"PING 10.0.0.2\n\n--- statistics ---\n{summary}")
    assert machine.path_mtu("10.0.0.2", 1500) == {"sent": 2, "received": 0, "says": ""}
    _commands(monkeypatch, ping="")
    with pytest.raises(RuntimeError, match="ping: "):
        machine.path_mtu("10.0.0.2", 1500)


def test_units_and_boot_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "ActiveState=active\nUnitFileState=enabled\n\nActiveState=inactive\nUnitFileState=\n"
    failed = "x.mount loaded failed failed /x\n"
    _commands(
        monkeypatch,
        systemctl_show=shown,
        **{"systemctl_list-units": failed, "systemctl_get-default": "multi-user.target\n"},
    )
    seen = machine.units(["rke2-server.service", "chrony.service"])
    assert seen["rke2-server.service"] == {"ActiveState": "active", "UnitFileState": "enabled"}
    assert seen["chrony.service"]["UnitFileState"] == ""
    assert machine.boot() == {
        "default_target": "multi-user.target",
        "failed_units": ["x.mount"],
    }


def test_keys_never_leave_the_machine(tmp_path: Any) -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"
    secret = "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----"
    (tmp_path / "both.crt").write_text(f"{certificate}\n{secret}\n{certificate}\n")
    seen = machine.certificates([f"{tmp_path}/*.crt", f"{tmp_path}/*.none"])
    assert seen["files"] == {f"{tmp_path}/both.crt": [certificate, certificate]}
    assert seen["unmatched"] == [f"{tmp_path}/*.none"]
    assert "planted" not in json.dumps(seen)


def test_a_command_that_hangs_costs_its_own_item_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMMAND_S", 0.2)
    looks = {"hung": lambda: machine.command("sleep", "30"), "fine": lambda: 42}
    seen = machine.look_at_all(looks, time.monotonic() + 5)
    assert seen["fine"] == {"value": 42}
    assert "no answer within 0.2 s" in str(seen["hung"]["error"])


def test_a_look_beyond_the_deadline_is_an_error() -> None:
    looks = {"hung": lambda: threading.Event().wait(5), "fine": lambda: 42}
    seen = machine.look_at_all(looks, time.monotonic() + 1)
    assert seen == {"hung": {"error": "no answer within 10 s"}, "fine": {"value": 42}}
