"""The program that keeps files in a pod: what it answers for is on the disk, once and whole."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.waiting import until
from harness.ledger import serve_script as script
from harness.probes.scripts import pod_script
from harness.tests.ports import free_port


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a server of this folder answers."""
    monkeypatch.setattr(script.Handler, "folder", tmp_path, raising=False)
    with script.Server(("127.0.0.1", 0), script.Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def ask(url: str, method: str = "GET") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_what_was_kept_is_listed_whichever_way_it_was_written(server: str) -> None:
    for seq, way in enumerate(["append", "rename", "append"]):
        answer = ask(f"{server}/{way}/cephfs/1/{seq}/5ea1", "POST")
        assert answer == (200, f"kept cephfs/1 {seq} 5ea1\n")
    status, listed = ask(f"{server}/list/cephfs")
    *lines, end = listed.splitlines()
    assert (status, end) == (200, "end 3")
    assert sorted(lines) == [f"cephfs/1 {seq} 5ea1" for seq in range(3)]
    assert ask(f"{server}/list/http") == (200, "end 0\n")


def test_other_clients_files_are_waited_for_with_a_busy_metadata_server(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CephFS: a file of another client is read once the server has written its journal."""
    written = threading.Semaphore(0)
    monkeypatch.setattr(os, "fsync", lambda _: written.release())
    for seq in range(3):
        ask(f"{server}/rename/cephfs/1/{seq}/5ea1", "POST")
    while written.acquire(blocking=False):
        pass
    read = Path.read_bytes

    def after_a_write(path: Path) -> bytes:
        assert written.acquire(timeout=10)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", after_a_write)
    assert ask(f"{server}/list/cephfs")[1].splitlines()[-1] == "end 3"
    assert [it.name for it in tmp_path.iterdir()] == ["cephfs"]


@pytest.mark.parametrize("way", ["append", "rename"])
def test_file_and_folder_are_synced_before_the_answer(
    server: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(file: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(file).st_mode)
        synced.append("folder" if is_folder else f"file of {os.fstat(file).st_size} bytes")

    monkeypatch.setattr(os, "fsync", note)
    assert ask(f"{server}/{way}/http/0/7/5ea1", "POST")[0] == 200
    length = len("http/0 7 5ea1\n") + (way == "append")
    assert synced == ["folder", f"file of {length} bytes", "folder"]


def test_a_torn_line_does_not_spoil_the_next(server: str, tmp_path: Path) -> None:
    ask(f"{server}/append/http/0/0/5ea1", "POST")
    (log,) = (tmp_path / "http").iterdir()
    with log.open("ab") as file:
        file.write(b"\nhttp/0 1 5e")
    ask(f"{server}/append/http/0/2/5ea1", "POST")
    (tmp_path / "http" / "0.3.new").write_text("http/0 3 5ea1\n")
    listed = ask(f"{server}/list/http")[1].splitlines()
    assert listed == ["http/0 0 5ea1", "http/0 1 5e", "http/0 2 5ea1", "end 3"]


def test_what_cannot_be_kept_is_not_answered_for(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(f"{server}/append/http/0/1", "POST")[0] == 500
    assert ask(f"{server}/burn/http/0/1/5ea1", "POST")[0] == 500

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "http").mkdir(exist_ok=True)
    assert ask(f"{server}/append/http/0/1/5ea1", "POST")[0] == 500


def test_it_is_well_as_long_as_its_folder_is(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(f"{server}/well") == (200, "end 0\n")
    monkeypatch.setattr(script.Handler, "folder", Path("/nowhere"))
    assert ask(f"{server}/well")[0] == 500


PROGRAMS = {
    "files": [script.__file__, "/tmp"],
    "probe": [pod_script.__file__, "serve"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_runs_in_a_pod_ends_with_its_machine(program: str) -> None:
    """The first process of a container has no way to end at SIGTERM but its own."""
    port = free_port()
    running = subprocess.Popen([sys.executable, *PROGRAMS[program], str(port)])
    try:
        until(lambda: answers(port), within_s=60, what=f"{program} answers")
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 0
    finally:
        running.kill()
        running.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
