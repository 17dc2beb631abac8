"""What runs beside a Ceph client: what is kept of the answers, and what silence is."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.probes.scripts import ceph_script as script
from harness.tests.probe_rig import MACHINES

ONE, TWO, THREE = MACHINES
RECORDED = Path(__file__).parent / "recorded"
# What ``ceph … --format json`` said in the lab, trimmed, by the words of the command.
PACIFIC: dict[str, Any] = json.loads((RECORDED / "ceph-16.2.15.json").read_text(encoding="utf-8"))
REEF: dict[str, Any] = json.loads((RECORDED / "ceph-18.2.7.json").read_text(encoding="utf-8"))
WORDS = {name: what for name, (_, what) in script.LOOKS.items()}


def squid() -> dict[str, Any]:
    """The same as Ceph 19 says it, by its documentation."""
    said = deepcopy(PACIFIC)
    for rule in said["osd crush dump"]["rules"]:
        for gone in ("ruleset", "min_size", "max_size"):
            del rule[gone]
    manager = next(p for p in said["osd dump"]["pools"] if p["pool"] == 2)
    manager.update(pool_name=".mgr", read_balance={"score_acting": 1.0})
    for group in said["pg ls"]["pg_stats"]:
        group.update(last_scrub_duration=1, scrub_schedule="periodic scrub scheduled")
    monmap = said["quorum_status"]["monmap"]
    monmap.update(disallowed_leaders=monmap.pop("disallowed_leaders: "), removed_ranks="")
    said["versions"] = {
        kind: {"ceph version 19.2.3 (c92aebb2) squid (stable)": number}
        for kind, number in (("mon", 3), ("mgr", 2), ("osd", 3), ("overall", 8))
    }
    return said


@pytest.fixture(params=["16.2", "18.2", "19.2"])
def said(request: pytest.FixtureRequest) -> dict[str, Any]:
    return (
        squid()
        if request.param == "19.2"
        else deepcopy({"16.2": PACIFIC, "18.2": REEF}[request.param])
    )


def all_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every OSD says its version."""
    monkeypatch.setattr(script, "cluster", lambda: Rados())


def answering(said: Mapping[str, Any]) -> Callable[..., Any]:
    def ask(what: str) -> Any:
        answer = said[what]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_all_that_is_kept_is_there_in_every_version(
    said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "ask", answering(said))
    all_answer(monkeypatch)
    items = script.report()["items"]
    assert [name for name, found in items.items() if "error" in found] == []
    kept = {name: found["value"] for name, found in items.items()}
    assert kept["quorum"]["in"] == kept["quorum"]["monitors"] == list(MACHINES)
    assert kept["health"] == {"status": "HEALTH_OK", "checks": {}, "muted": []}
    assert kept["clocks"][TWO] == {"skew_s": 0, "health": "HEALTH_OK"}
    assert kept["osd tree"]["hosts"][THREE] == [{"id": 2, "up": True, "in": True}]
    assert {pool["size"] for pool in kept["osd map"]["pools"]} == {3}
    assert kept["osd answers"] == {n: {"value": {"answers": True, "says": ""}} for n in "012"}
    assert kept["crush"]["rules"]["0"]["steps"][1]["type"] == "host"
    assert kept["crush"]["types"]["host"] == 1
    assert kept["osd use"]["0"]["bytes"] == said["osd df"]["nodes"][0]["kb"] * 1024
    rooms = {pool["name"]: pool["stats"]["max_avail"] for pool in said["df"]["pools"]}
    assert {name: it["more_bytes"] for name, it in kept["room"].items()} == rooms
    assert {group["state"] for group in kept["placement groups"]} == {"active+clean"}
    assert "overall" not in kept["versions"]


def test_what_is_wrong_is_kept_in_ceph_s_own_words() -> None:
    detail = [{"message": f"osd.{n} is down"} for n in range(50)]
    check = {"severity": "HEALTH_WARN", "summary": {"message": "1 osds down", "count": 1}}
    said = {
        "status": "HEALTH_WARN",
        "checks": {"OSD_DOWN": {**check, "detail": detail, "muted": True}},
        "mutes": [{"code": "OSD_DOWN", "sticky": False, "summary": "1 osds down", "count": 1}],
    }
    kept = script.health(said)
    assert kept["muted"] == ["OSD_DOWN"]
    assert kept["checks"]["OSD_DOWN"]["says"] == "1 osds down"
    assert len(kept["checks"]["OSD_DOWN"]["detail"]) == script.DETAILS


def test_a_flag_of_one_osd_machine_or_class_is_found_too() -> None:
    said = deepcopy(PACIFIC["osd dump"])
    said["osds"][1]["state"].append("noout")
    said.update(crush_node_flags={TWO: ["noin"]}, device_class_flags={"hdd": ["noup"]})
    flags = script.osd_map(said)["flags"]
    assert flags[-3:] == ["osd.1: noout", f"{TWO}: noin", "hdd: noup"]


def test_an_osd_that_is_down_out_or_below_no_machine_is_told() -> None:
    said = deepcopy(PACIFIC["osd tree"])
    osds = {node["id"]: node for node in said["nodes"] if node["type"] == "osd"}
    osds[1].update(status="down", reweight=0)
    said["stray"] = [{**osds[2], "id": 7, "name": "osd.7"}]
    said["nodes"].append({**osds[2], "id": 8, "name": "osd.8"})
    kept = script.tree(said)
    assert kept["hosts"][TWO] == [{"id": 1, "up": False, "in": False}]
    assert kept["stray"] == [8, 7]


def test_one_answer_that_is_missing_or_garbled_does_not_take_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = deepcopy(PACIFIC)
    said["osd df"] = script.Silent("ceph osd df: no answer within 25 s")
    said["crash ls-new"] = RuntimeError("ceph crash ls-new ended with status 22: no module")
    said["df"] = {"pools": "many"}
    said["pg ls"]["pg_ready"] = False
    monkeypatch.setattr(script, "ask", answering(said))
    all_answer(monkeypatch)
    items = script.report()["items"]
    spoiled = {name: found["error"] for name, found in items.items() if "error" in found}
    assert set(spoiled) == {"osd use", "crashes", "room", "placement groups"}
    assert "no answer within 25 s" in spoiled["osd use"]
    assert "not understood" in spoiled["room"]
    assert "has not heard" in spoiled["placement groups"]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@settings(max_examples=30)
@given(st.sampled_from(sorted(script.LOOKS)), JUNK)
def test_whatever_ceph_answers_an_item_is_a_value_or_an_error(name: str, junk: Any) -> None:
    found = script.item(script.LOOKS[name][0], junk)
    assert set(found) in ({"value"}, {"error"})


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("health", "checks"),
        ("osd map", "pools"),
        ("osd map", "nearfull_ratio"),
        ("osd tree", "nodes"),
        ("crush", "rules"),
        ("osd use", "nodes"),
        ("room", "pools"),
        ("placement groups", "pg_stats"),
    ],
)
def test_an_answer_without_what_is_judged_is_an_error_and_not_less(name: str, key: str) -> None:
    said = deepcopy(PACIFIC[WORDS[name]])
    del said[key]
    assert key in script.item(script.LOOKS[name][0], said)["error"]


class RadosError(Exception):
    """What Ceph's own module raises."""


class RadosTimedOut(RadosError):
    """No monitor in time."""


class Rados:
    """Ceph's own module, with a cluster of whatever a test says."""

    Error, TimedOut = RadosError, RadosTimedOut

    def __init__(
        self,
        of_monitors: Callable[[str], Any] = lambda _: (0, b"{}", ""),
        of_managers: Callable[[str], Any] = lambda _: (0, b"{}", ""),
        connect: Exception | None = None,
        of_osds: Callable[[int], Any] = lambda _: (0, b"{}", ""),
    ) -> None:
        self._of_monitors, self._of_managers, self._connect = of_monitors, of_managers, connect
        self._of_osds = of_osds

    def Rados(self, *, conffile: str, conf: Mapping[str, str]) -> Rados:  # noqa: N802 (its own name)
        assert conffile == ""
        assert conf == {"client_mount_timeout": "8"}
        return self

    def conf_parse_env(self, name: str) -> None:
        assert name == "CEPH_ARGS"

    def connect(self) -> None:
        if self._connect is not None:
            raise self._connect

    def mon_command(self, command: str, given: bytes) -> Any:
        assert not given
        return self._of_monitors(command)

    def mgr_command(self, command: str, given: bytes) -> Any:
        assert not given
        return self._of_managers(command)

    def osd_command(self, osd: int, command: str, given: bytes) -> Any:
        assert not given
        assert json.loads(command)["prefix"] == "version"
        return self._of_osds(osd)


@pytest.fixture
def rados(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Rados | None], None]]:
    """Puts a module in place of Ceph's own; None: there is none."""
    monkeypatch.setattr("site.main", lambda: None)
    script.cluster.cache_clear()
    yield lambda module: monkeypatch.setitem(sys.modules, "rados", module)
    script.cluster.cache_clear()


Put: TypeAlias = Callable[[Rados | None], None]


def test_who_knows_is_asked(rados: Put) -> None:
    def saying(who: str) -> Callable[[str], Any]:
        return lambda command: (0, json.dumps([who, json.loads(command)]).encode(), "")

    rados(Rados(saying("monitors"), saying("managers")))
    assert script.ask("osd df") == ["managers", {"prefix": "osd df", "format": "json"}]
    detailed = {"prefix": "health", "detail": "detail", "format": "json"}
    assert script.ask("health detail") == ["monitors", detailed]


@pytest.mark.parametrize(
    ("module", "kind", "words"),
    [
        (Rados(lambda _: (-110, b"", "timed out")), script.Silent, "timed out"),
        (Rados(lambda _: (-13, b"", "access denied")), RuntimeError, "status 13: access denied"),
        (Rados(connect=RadosTimedOut("timed out")), script.Silent, "within 8 s: timed out"),
        (Rados(connect=RadosError("no keyring")), RuntimeError, "cannot be asked: no keyring"),
        (Rados(lambda _: (0, b"what", "")), ValueError, "Expecting value"),
    ],
)
def test_no_answer_in_time_is_told_from_a_complaint(
    module: Rados, kind: type[Exception], words: str, rados: Put
) -> None:
    rados(module)
    with pytest.raises(kind, match=words):
        script.ask("health detail")


def test_who_never_answers_is_not_waited_for(rados: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()

    def never(_: str) -> Any:
        over.wait(20)
        return 0, b"{}", ""

    monkeypatch.setattr(script, "FIRST_S", 0.2)
    monkeypatch.setattr(script, "COMMAND_S", 0.4)
    try:
        rados(Rados(never))
        assert "no answer within 0.2 s" in script.report()["silent"]
        script.cluster.cache_clear()
        rados(Rados(of_managers=never))
        items = script.report()["items"]
    finally:
        over.set()
    late = {name for name, found in items.items() if "within 0.4 s" in found.get("error", "")}
    assert late == {"osd use", "placement groups", "crashes"}


def listening(says: bytes) -> socket.socket:
    """A daemon on this computer that says this as soon as it is spoken to."""
    door = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            line, _ = door.accept()
            with line:
                line.sendall(says)

    Thread(target=serve, daemon=True).start()
    return door


def test_each_osd_is_asked_itself_and_one_that_is_gone_is_told_from_one_that_may_not_be_asked(
    rados: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Event()
    dump = deepcopy(PACIFIC["osd dump"])
    first = dump["osds"][0]

    def where(number: int, door: socket.socket) -> dict[str, Any]:
        address = f"127.0.0.1:{door.getsockname()[1]}"
        vector = [{"type": "v2", "addr": address, "nonce": 7}]
        return {**first, "osd": number, "up": 1, "public_addrs": {"addrvec": vector}}

    def of_osds(number: int) -> Any:
        if number >= 4:
            over.wait(20)
        return {
            1: (-13, b"", "access denied"),
            2: (-6, b"", "problem: osd down"),
            3: (-22, b"", "what?"),
        }.get(number, (0, b"{}", ""))

    alive, gone = listening(b"ceph v2\n"), socket.create_server(("127.0.0.1", 0))
    dump["osds"] = [where(n, gone) for n in range(5)] + [where(5, alive)]
    dump["osds"].append({**where(6, gone), "up": 0})
    gone.close()
    monkeypatch.setattr(script, "OSD_S", 0.3)
    rados(Rados(of_osds=of_osds))
    try:
        found = script.osd_answers(dump)
    finally:
        over.set()
        alive.close()
    answers = {"value": {"answers": True, "says": ""}}
    assert found["0"] == found["1"] == answers
    assert found["2"]["value"] == {"answers": False, "says": "problem: osd down"}
    assert "status 22: what?" in found["3"]["error"]
    assert not found["4"]["value"]["answers"]
    assert "no answer within 0.3 s; 127.0.0.1:" in found["4"]["value"]["says"]
    assert "Connection refused" in found["4"]["value"]["says"]
    assert "though it runs" in found["5"]["error"]
    assert "6" not in found


@pytest.mark.parametrize(
    ("osd", "where"),
    [
        ({"public_addr": "10.0.0.1:6801/123"}, [("10.0.0.1", 6801)]),
        (
            {
                "public_addrs": {
                    "addrvec": [
                        {"type": "v2", "addr": "[fd00::1]:6800", "nonce": 1},
                        {"type": "v1", "addr": "[fd00::1]:6801", "nonce": 1},
                    ]
                }
            },
            [("fd00::1", 6800), ("fd00::1", 6801)],
        ),
    ],
)
def test_an_osd_s_addresses_are_read_in_every_form(osd: Any, where: Any) -> None:
    assert script.addresses(osd) == where


def test_a_machine_without_ceph_says_so(rados: Put) -> None:
    rados(None)
    assert "no ceph program here" in script.report()["error"]


def test_without_a_quorum_the_monitor_of_the_machine_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = tmp_path / "ceph-mon.a.asok"
    socket.touch()
    monkeypatch.setattr(script, "SOCKETS", (str(tmp_path / "*-mon.*.asok"),))
    monkeypatch.setattr(script, "ask", answering({"quorum_status": script.Silent("timed out")}))
    program = tmp_path / "ceph"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def says(text: str) -> Any:
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        return script.report()

    answers = f"""[ "$*" = "--admin-daemon {socket} mon_status" ] &&
        echo '{{"name": "a", "state": "probing"}}'"""
    assert says(answers) == {"silent": "timed out", "monitor": "its monitor a is probing"}
    assert says("exit 1")["monitor"] == "no monitor answers on it"
