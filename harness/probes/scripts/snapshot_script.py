"""Runs on a server, as ``python3 -``: lists etcd's snapshots, or restores one, as a line of JSON.

A restore goes into its own folder. A second etcd serves it on a Unix socket there, which only root
can reach; both are removed afterwards. The programs come from the etcd that runs here: a
container's are reached through its process, so nothing has to be installed. Standard library of
Python 3.8 only.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from harness.transport import own_folder

COMMAND_S = 90.0
STARTS_S = 30.0
MIB = 1 << 20
# The magic of a bbolt file, etcd's data format, after its first 16 bytes; and of a zip file.
BOLT, ZIP = b"\xed\xda\x0c\xed", b"PK\x03\x04"
# Where `provision nodes` puts etcd programs that RKE2's own image lacks.
BROUGHT = "/usr/local/lib/cutover/etcd"
VERSION = re.compile(rb"[vV]ersion: v?(\d+)\.(\d+)")
VERSION_S = 10.0
PLACE, PREFIX = "/var/tmp", "cutover-etcd-"
KUBE_SYSTEM = "/registry/namespaces/kube-system"
UID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def listing(folder: str) -> list[dict[str, object]]:
    """The files of a folder: name, size in bytes, and when each was written (UTC seconds).

    ``database`` says whether a file begins like an etcd database, plain or compressed. A missing
    folder has no files.
    """
    found: list[dict[str, object]] = []
    if not Path(folder).is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file() and not entry.name.startswith("."):
                status = entry.stat()
                found.append(
                    {
                        "name": entry.name,
                        "bytes": status.st_size,
                        "modified": status.st_mtime,
                        "database": begins_like_a_database(entry.path),
                    }
                )
    return sorted(found, key=lambda file: str(file["name"]))


def begins_like_a_database(path: str) -> bool:
    with Path(path).open("rb") as file:
        head = file.read(20)
    return head[16:20] == BOLT or head[:4] == ZIP


def digest(path: str) -> str:
    """SHA-256 of a file."""
    sha = hashlib.sha256()
    with Path(path).open("rb") as file:
        for block in iter(lambda: file.read(MIB), b""):
            sha.update(block)
    return sha.hexdigest()


def program(name: str) -> str:
    """The path of an etcd program that is not older than the etcd that runs here.

    It comes from ``provision nodes``, from this machine, or from etcd's own container.
    """
    beside = [folder / name for folder in containers()]
    on_path = shutil.which(name)
    places = [Path(BROUGHT) / name, *([Path(on_path)] if on_path else []), *beside]
    running = next((folder / "etcd" for folder in containers()), None)
    needed = (version(running) if running else None) or (0, 0)
    found = [place for place in places if place.exists()]
    for place in found:
        # A program that does not tell its version is accepted.
        if (version(place) or needed) >= needed:
            return str(place)
    wanted = f"{name} of {needed[0]}.{needed[1]} or newer" if found else name
    hint = "`provision nodes` brings it from kubernetes.etcd_tools_image"
    raise RuntimeError(
        f"there is no {wanted} here, and none beside the etcd that runs here: {hint}"
    )


def containers() -> list[Path]:
    """Folders with the programs of each etcd that runs here, by their paths on this machine."""
    folders = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() != "etcd":
                continue
            inside = [process / "root" / folder for folder in ("usr/local/bin", "usr/bin", "bin")]
            folders += [folder for folder in inside if (folder / "etcd").exists()]
    return folders


def version(path: Path) -> tuple[int, int] | None:
    """Major and minor version of etcd or etcdutl; None if it does not tell."""
    word = "--version" if path.name == "etcd" else "version"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([str(path), word], capture_output=True, timeout=VERSION_S)
        said = VERSION.search(done.stdout)
        return (int(said[1]), int(said[2])) if said else None
    return None


def restore(path: str) -> dict[str, object]:
    """A snapshot's content once restored, or in ``refused`` why etcd rejects it."""
    etcd, etcdutl = program("etcd"), program("etcdutl")
    # The folder of a killed script holds every secret of the cluster.
    own_folder.sweep(PLACE, PREFIX)
    with own_folder.scratch(PLACE, PREFIX) as scratch:
        plain = unpacked(path, scratch)
        found: dict[str, object] = {"sha256": digest(path), "bytes": Path(path).stat().st_size}
        data = f"{scratch}/data"
        for what in (["status", "--write-out=json"], ["restore", f"--data-dir={data}"]):
            command = [etcdutl, "snapshot", what[0], plain, *what[1:]]
            done = subprocess.run(command, capture_output=True, timeout=COMMAND_S)
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            if done.returncode:
                return {**found, "refused": f"etcdutl snapshot {what[0]}: {last_line(said)}"}
            if what[0] == "status":
                found.update(expected(json.loads(done.stdout)))
        with serving(etcd, data, scratch) as address:
            return {**found, **contents(address)}


def expected(status: Mapping[str, str | int]) -> dict[str, object]:
    """The revision and the number of keys that a snapshot must come back with.

    Before 3.6, etcdutl counts every entry of its database as a key and tells no version: the number
    of keys is then unknown (None).
    """
    keys = int(status["totalKey"]) if "version" in status else None
    return {"expected_revision": int(status["revision"]), "expected_keys": keys}


def last_line(text: str) -> str:
    """The last line of a program's error output; a panic's trace is too long."""
    telling = [line for line in text.splitlines() if line.startswith(("Error:", "panic:"))]
    return (telling or text.splitlines() or ["no message"])[-1][-300:]


def unpacked(path: str, scratch: str) -> str:
    """The snapshot itself: RKE2 can be told to compress what it keeps."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        return archive.extract(archive.namelist()[0], scratch)


def die_with_us() -> None:
    """A second etcd does not outlive the restore, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextlib.contextmanager
def serving(etcd: str, data: str, scratch: str) -> Iterator[str]:
    """A second etcd on restored data; yields the path of its socket."""
    address = f"{scratch}/client"
    # Its writes are thrown away: they must not delay the real etcd's disk.
    command = [etcd, f"--data-dir={data}", "--unsafe-no-fsync", "--log-level=error"]
    command += [
        f"--listen-client-urls=unix://{address}",
        f"--listen-peer-urls=unix://{scratch}/peer",
    ]
    command += ["--advertise-client-urls=http://localhost:2379"]
    log = Path(scratch) / "log"
    with log.open("wb") as complaints:
        process = subprocess.Popen(
            command, stdout=complaints, stderr=complaints, cwd=scratch, preexec_fn=die_with_us
        )
    try:
        deadline = time.monotonic() + STARTS_S
        while not answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                said = last_line(log.read_text(errors="replace").strip())
                raise RuntimeError(f"a second etcd does not start on what was restored: {said}")
            threading.Event().wait(0.1)
        yield address
    finally:
        process.kill()
        process.wait()


def answers(address: str) -> bool:
    with contextlib.suppress(OSError, RuntimeError, http.client.HTTPException):
        # The gateway leaves out zero: there is no leader yet.
        return bool(call(address, "/v3/maintenance/status", {}).get("leader", "0") != "0")
    return False


class Header(TypedDict):
    revision: str


class KeyValue(TypedDict):
    value: str  # in Base64


class Answer(TypedDict, total=False):
    """What is used of an answer of etcd's JSON gateway; it leaves out zero and empty values."""

    header: Header
    leader: str
    count: str
    kvs: list[KeyValue]


class Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: str) -> None:
        super().__init__("localhost", timeout=COMMAND_S)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)


def call(address: str, path: str, body: dict[str, object]) -> Answer:
    """One call of etcd's JSON gateway; 64-bit integers come as strings."""
    with contextlib.closing(Local(address)) as connection:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    if answer.status != 200:
        raise RuntimeError(f"etcd answered {answer.status} to {path}: {said[:200]}")
    found: Answer = json.loads(said)
    return found


def contents(address: str) -> dict[str, object]:
    """Revision, number of keys, and the cluster's UID: that of the namespace kube-system."""
    every = base64.b64encode(b"\0").decode()
    counted = call(address, "/v3/kv/range", {"key": every, "range_end": every, "count_only": True})
    key = base64.b64encode(KUBE_SYSTEM.encode()).decode()
    found = call(address, "/v3/kv/range", {"key": key}).get("kvs", [])
    uid = UID.search(base64.b64decode(found[0]["value"])) if found else None
    return {
        "revision": int(counted["header"]["revision"]),
        "keys": int(counted.get("count", "0")),
        "uid": uid.group().decode() if uid else None,
    }


def item(look: Callable[..., object], *arguments: str) -> dict[str, object]:
    try:
        return {"value": look(*arguments)}
    except FileNotFoundError as error:
        return {"error": f"{error.filename} is missing"}
    except Exception as error:  # any error is this item's answer
        return {"error": str(error) or type(error).__name__}


def main() -> None:
    looks = {"list": listing, "digest": digest, "restore": restore, "program": program}
    word, *paths = sys.argv[1:]
    sys.stdout.write(json.dumps({path: item(looks[word], path) for path in paths}) + "\n")


if __name__ == "__main__":
    main()
