"""Snapshots of etcd: which one is chosen, where it is restored, and by which script."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import Unreachable
from harness.core.waiting import until
from harness.facts.backups import Listing
from harness.facts.schema import OrUnknown, read
from harness.probes.backups import _SNAPSHOT_SCRIPT as SCRIPT
from harness.probes.backups import choose_newest
from harness.probes.scripts import snapshot_script as script
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed, own_folder

ONE, TWO, THREE = MACHINES
OWN = "/var/lib/rancher/rke2/server/db/snapshots"
COPIES = "/mnt/cephfs/backups/etcd"
KUBE = FakeKube({"/api/v1/namespaces/kube-system": {"metadata": {"uid": "u-1"}}})
RESTORED = {
    "sha256": "5a5a",
    "bytes": 1,
    "expected_revision": 7,
    "expected_keys": 3,
    "revision": 7,
    "keys": 3,
    "uid": "u-1",
}


def files(**modified: float) -> Any:
    return {"value": [{"name": n, "bytes": 1, "modified": at} for n, at in modified.items()]}


class Servers:
    """Three servers whose folders hold these files; the rest of the script answers at once."""

    def __init__(self, **folders: Any) -> None:
        self.folders = folders
        self.asked: list[tuple[str, str, str]] = []

    def shell(self) -> FakeShell:
        return FakeShell({(name, "nice"): self._answer(name) for name in MACHINES})

    def _answer(self, name: str) -> Any:
        def answer(argv: Sequence[str], _: str) -> Completed:
            word, *paths = argv[5:]
            self.asked += [(name, word, path) for path in paths]
            value = RESTORED if word == "restore" else f"{word} on {name}"
            said: Any = {path: {"value": value} for path in paths}
            if word == "list":
                own, copies = self.folders[name]
                said = {OWN: own, COPIES: copies}
            return Completed(status=0, stdout=json.dumps(said), stderr="")

        return answer


def test_the_newest_copy_is_restored_where_it_was_not_taken() -> None:
    copies = files(old=1, new=2)
    servers = Servers(
        vmi2887101=(files(new=2), copies),
        vmi2887102=(files(old=1), copies),
        vmi2887103=(files(), copies),
    )
    seen = observe("etcd-snapshots", reach(servers.shell(), KUBE), "contabo")
    assert seen["newest"] == {
        "name": "new",
        "origin": [ONE],
        "seen_by": list(MACHINES),
        "restored_on": TWO,
    }
    assert (ONE, "digest", f"{OWN}/new") in servers.asked
    assert (TWO, "restore", f"{COPIES}/new") in servers.asked
    assert (seen["restored"], seen["cluster_uid"]) == ({"value": RESTORED}, "u-1")
    assert seen["original"] == {"value": f"digest on {ONE}"}


def test_without_a_copy_the_snapshot_itself_is_restored() -> None:
    missing = {"error": f"{COPIES} is missing"}
    nothing = (files(), missing)
    servers = Servers(vmi2887101=(files(a=1), missing), vmi2887102=nothing, vmi2887103=nothing)
    seen = observe("etcd-snapshots", reach(servers.shell(), KUBE), "contabo")
    assert (ONE, "restore", f"{OWN}/a") in servers.asked
    assert seen["listed"][TWO]["copies"] == missing


def test_without_any_snapshot_nothing_is_restored() -> None:
    nothing = (files(), files())
    servers = Servers(vmi2887101=nothing, vmi2887102=nothing, vmi2887103=nothing)
    seen = observe("etcd-snapshots", reach(servers.shell(), KUBE), "contabo")
    assert (seen["newest"], seen["original"], seen["restored"]) == (None, None, None)


def test_a_server_that_does_not_answer_is_told_and_the_others_count() -> None:
    copies = files(new=2)
    servers = Servers(vmi2887101=(files(new=2), copies), vmi2887102=(files(), copies))
    answers: dict[tuple[str, str], Any] = {
        (name, "nice"): servers._answer(name) for name in (ONE, TWO)
    }
    shell = FakeShell({**answers, (THREE, "nice"): Unreachable("no route")})
    seen = observe("etcd-snapshots", reach(shell, KUBE), "contabo")
    assert seen["listed"][THREE] == {"error": "no route"}
    assert seen["newest"]["restored_on"] == TWO


@given(st.dictionaries(st.sampled_from("abcd"), st.sets(st.sampled_from(MACHINES), min_size=1)))
def test_whatever_lies_where_the_newest_is_restored_where_it_can_be_seen(
    holders: dict[str, set[str]],
) -> None:
    listed = {
        machine: {
            "snapshots": {"value": []},
            "copies": files(**{n: ord(n) for n, at in holders.items() if machine in at}),
        }
        for machine in MACHINES
    }
    chosen = choose_newest(read(dict[str, OrUnknown[Listing]], listed))
    if not holders:
        assert chosen is None
        return
    assert chosen is not None
    assert chosen.name == max(holders)
    assert chosen.restored_on in holders[max(holders)]


def test_what_is_not_whole_is_not_restored() -> None:
    part, empty = "etcd-snapshot-a-1746343203.part", "etcd-snapshot-a-1746343203"
    copies = files(**{"whole": 1, part: 2, empty: 3})
    copies["value"][2]["bytes"] = 0
    listed = {name: {"snapshots": files(), "copies": copies} for name in MACHINES}
    chosen = choose_newest(read(dict[str, OrUnknown[Listing]], listed))
    assert chosen is not None
    assert chosen.name == "whole"


def test_uploads_are_read_from_rke2s_own_record() -> None:
    record = json.loads((Path(__file__).parent / "recorded/etcdsnapshotfiles.json").read_text())
    kube = FakeKube(
        {
            "/api/v1/namespaces/kube-system": {"metadata": {"uid": "u-1"}},
            "/apis/k3s.cattle.io/v1/etcdsnapshotfiles": record,
        }
    )
    kubernetes = PROFILE.kubernetes.model_copy(update={"etcd_snapshots_in_s3": True})
    nothing = (files(), files())
    servers = Servers(vmi2887101=nothing, vmi2887102=nothing, vmi2887103=nothing)
    like = PROFILE.model_copy(update={"kubernetes": kubernetes})
    seen = observe("etcd-snapshots", reach(servers.shell(), kube, like=like), "contabo")
    whole, failed = seen["s3"]["value"]
    assert whole == {
        "name": "etcd-snapshot-a-1746057603",
        "bytes": 20512000,
        "modified": 1746057603.0,
        "ready": True,
        "error": None,
    }
    assert (failed["ready"], failed["error"]) == (False, "The specified bucket does not exist")
    without = observe("etcd-snapshots", reach(servers.shell(), KUBE, like=like), "contabo")
    assert "etcdsnapshotfiles" in without["s3"]["error"]


# --- the script that runs on a server -----------------------------------------------------------


def test_a_folder_is_listed_without_what_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "etcd-1").write_bytes(b"12345")
    (tmp_path / ".etcd-2").write_bytes(b"half")
    (tmp_path / "folder").mkdir()
    (found,) = script.listing(str(tmp_path))
    assert (found["name"], found["bytes"], found["database"]) == ("etcd-1", 5, False)
    (tmp_path / "etcd-1").write_bytes(bytes(16) + script.BOLT + bytes(32))
    assert script.listing(str(tmp_path))[0]["database"] is True
    assert script.listing(str(tmp_path / "nowhere")) == []
    assert "missing" in str(script.item(script.digest, str(tmp_path / "nowhere"))["error"])


def test_a_compressed_snapshot_is_unpacked_and_a_plain_one_is_taken_as_it_is(
    tmp_path: Path,
) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed.zip"
    plain.write_bytes(b"snapshot" * 1000)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "inside")
    assert script.unpacked(str(plain), str(tmp_path)) == str(plain)
    unpacked = Path(script.unpacked(str(packed), str(tmp_path)))
    assert script.digest(str(unpacked)) == script.digest(str(plain))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("a\nError: expected sha256 [1], got [2]\nUsage:", "Error: expected sha256 [1], got [2]"),
        ("panic: page 5 already freed\n\ngoroutine 1", "panic: page 5 already freed"),
        ("something\nlast", "last"),
        ("", "no message"),
    ],
)
def test_of_a_long_complaint_the_telling_line_is_kept(said: str, line: str) -> None:
    assert script.last_line(said) == line


BROKEN = "#!/bin/sh\necho 'panic: no' >&2; exit 2\n"


def tools(folder: Path, etcdutl: str, monkeypatch: pytest.MonkeyPatch, etcd: str = BROKEN) -> None:
    for name, text in (("etcdutl", etcdutl), ("etcd", etcd)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_snapshot_that_etcd_does_not_take_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(tmp_path, "#!/bin/sh\necho 'Error: bad hash' >&2; exit 1\n", monkeypatch)
    (tmp_path / "snapshot").write_bytes(b"half")
    found = script.restore(str(tmp_path / "snapshot"))
    assert found["refused"] == "etcdutl snapshot status: Error: bad hash"
    assert found["bytes"] == 4


def test_a_second_etcd_that_does_not_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = '{"revision": 7, "totalKey": 3, "version": "3.6.0"}'
    tools(tmp_path, f"#!/bin/sh\necho '{status}'\n", monkeypatch)
    (tmp_path / "snapshot").write_bytes(b"whole")
    found = script.item(script.restore, str(tmp_path / "snapshot"))
    assert "panic: no" in str(found["error"])


# Serves what a restore of three keys would, but for those that it was told to lose.
SERVING = """#!{python}
import json, socketserver, sys
from http.server import BaseHTTPRequestHandler
place = next(it for it in sys.argv if it.startswith("--listen-client")).partition("unix://")[2]
class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        said = {{"leader": "1", "header": {{"revision": "7"}}, "count": "{count}", "kvs": []}}
        text = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def address_string(self):
        return "here"
socketserver.UnixStreamServer(place, Answers).serve_forever()
"""


@pytest.mark.parametrize("count", [3, 2])
def test_the_keys_are_counted_before_the_restore_and_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    status = '{"revision": 7, "totalKey": 3, "version": "3.6.0"}'
    serving = SERVING.format(python=sys.executable, count=count)
    tools(tmp_path, f"#!/bin/sh\necho '{status}'\n", monkeypatch, serving)
    (tmp_path / "snapshot").write_bytes(b"whole")
    found = script.restore(str(tmp_path / "snapshot"))
    assert (found["expected_revision"], found["revision"]) == (7, 7)
    assert (found["expected_keys"], found["keys"]) == (3, count)


def test_of_a_restore_that_is_killed_no_etcd_stays_and_its_folder_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = '{"revision": 7, "totalKey": 3, "version": "3.6.0"}'
    silent = '#!/bin/sh\n[ "$1" != --version ] || exit 0\necho $$ > pid; exec sleep 60\n'
    tools(tmp_path, f"#!/bin/sh\necho '{status}'\n", monkeypatch, silent)
    (tmp_path / "snapshot").write_bytes(b"whole")
    text = SCRIPT.text.replace(script.PLACE, str(tmp_path))
    command = [sys.executable, "-I", "-S", "-c", text, "restore", str(tmp_path / "snapshot")]

    def started() -> str:
        return "".join(it.read_text() for it in tmp_path.glob(f"{script.PREFIX}*/pid"))

    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as restore:
        try:
            etcd = Path("/proc") / until(started, within_s=60, what="etcd runs").strip()
        finally:
            restore.kill()
    until(lambda: not running(etcd), within_s=30, what="etcd is gone")
    (left,) = tmp_path.glob(f"{script.PREFIX}*")
    assert own_folder.sweep(str(tmp_path), script.PREFIX, -1.0) == {str(left): None}


def running(process: Path) -> bool:
    """Whether a process has not ended; one that waits to be collected has."""
    try:
        return bool((process / "cmdline").read_bytes())
    except OSError:
        return False


def test_tools_that_count_more_than_keys_leave_open_how_many_there_are() -> None:
    older = {"hash": 1, "revision": 7, "totalKey": 90, "totalSize": 4096}
    assert script.expected(older) == {"expected_revision": 7, "expected_keys": None}


def test_a_machine_without_the_programs_says_so() -> None:
    with pytest.raises(RuntimeError, match="there is no etcdutl-of-nobody here"):
        script.program("etcdutl-of-nobody")


def test_the_script_runs_as_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "snapshot").write_bytes(b"etcd")
    command = [sys.executable, "-I", "-S", "-", "digest", str(tmp_path / "snapshot")]
    done = subprocess.run(command, input=SCRIPT.text, capture_output=True, text=True, check=True)
    sha = hashlib.sha256(b"etcd").hexdigest()
    assert json.loads(done.stdout) == {str(tmp_path / "snapshot"): {"value": sha}}


@pytest.mark.parametrize(
    ("status", "ready"), [({}, False), ({"leader": "0"}, False), ({"leader": "7"}, True)]
)
def test_an_etcd_without_a_leader_does_not_answer_yet(
    monkeypatch: pytest.MonkeyPatch, status: dict[str, str], ready: bool
) -> None:
    monkeypatch.setattr(script, "call", lambda *_: status)
    assert script.answers("nowhere") is ready


# --- which programs of etcd restore it ----------------------------------------------------------


def _program(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def rke2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose etcd, 3.6, runs in a container with etcd and etcdctl, and no etcdutl."""
    inside = tmp_path / "container"
    _program(inside, "etcd", "etcd Version: 3.6.7")
    _program(inside, "etcdctl", "etcdctl version: 3.6.7")
    monkeypatch.setattr(script, "containers", lambda: [inside])
    monkeypatch.setattr(script, "BROUGHT", str(tmp_path / "brought"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    return tmp_path


def test_without_etcdutl_it_is_said_what_brings_it(rke2: Path) -> None:
    assert script.program("etcd") == str(rke2 / "container/etcd")
    with pytest.raises(RuntimeError, match=r"no etcdutl here.*provision nodes.*etcd_tools_image"):
        script.program("etcdutl")


def test_what_was_brought_comes_first(rke2: Path) -> None:
    brought = _program(rke2 / "brought", "etcdutl", "etcdutl version: 3.6.4\nAPI version: 3.6")
    _program(rke2 / "path", "etcdutl", "etcdutl version: 3.6.4")
    assert script.program("etcdutl") == str(brought)


def test_a_program_that_is_older_than_the_etcd_that_runs_restores_nothing(rke2: Path) -> None:
    _program(rke2 / "path", "etcdutl", "etcdutl version: 3.5.16")
    with pytest.raises(RuntimeError, match=r"no etcdutl of 3\.6 or newer"):
        script.program("etcdutl")
    _program(rke2 / "path", "etcd", "etcd Version: 3.4.23")
    assert script.program("etcd") == str(rke2 / "container/etcd")


def test_the_keys_of_a_snapshot_of_etcd_3_5_are_counted_by_a_newer_etcdutl() -> None:
    by_3_6: dict[str, str | int] = {
        "revision": 10,
        "totalKey": 6,
        "totalSize": 20480,
        "version": "",
    }
    assert script.expected(by_3_6) == {"expected_revision": 10, "expected_keys": 6}
    by_3_5 = {"hash": 1782399013, "revision": 10, "totalKey": 15, "totalSize": 20480}
    assert script.expected(by_3_5) == {"expected_revision": 10, "expected_keys": None}
