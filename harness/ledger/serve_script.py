"""Runs in a pod, as ``python3 - FOLDER PORT``: stores writes in files, and syncs before it answers.

``POST /append/KIND/NUMBER/SEQ/SEAL`` adds the line ``KIND/NUMBER SEQ SEAL`` to this pod's file;
``POST /rename/…`` makes a file of it under another name and renames it. Both answer once file and
folder are synced. ``GET /list/KIND`` gives every line of every pod's files of that kind, then
``end LINES``. ``GET /well`` answers when the folder does. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread


def append(folder: Path, who: str, line: str) -> None:
    """Append a line to this pod's own file; a partial line before it does no harm."""
    path = folder / f"{who}.{socket.gethostname()}.log"
    new = not path.exists()
    with path.open("ab", buffering=0) as file:
        file.write(f"\n{line}\n".encode())
        os.fsync(file.fileno())
    if new:
        sync_folder(folder)


def rename(folder: Path, who: str, line: str) -> None:
    """Write a file of its own atomically, by a rename."""
    path = folder / f"{who}.{line.split()[1]}"
    partial = path.with_name(f"{path.name}.new")
    with partial.open("wb", buffering=0) as file:
        file.write(f"{line}\n".encode())
        os.fsync(file.fileno())
    partial.rename(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


READERS = 64
NUDGE_S = 0.02
WAYS = {"append": append, "rename": rename}


def lines(folder: Path) -> Iterator[bytes]:
    """Every line of a kind's files, except files that were not renamed yet."""
    paths = [it for it in folder.iterdir() if it.suffix != ".new"] if folder.exists() else []
    with nudging(folder), ThreadPoolExecutor(READERS) as pool:
        for content in pool.map(Path.read_bytes, paths):
            yield from (line for line in content.split(b"\n") if line)


@contextmanager
def nudging(folder: Path) -> Iterator[None]:
    """Make CephFS's metadata server write its journal all the time, not only every 5 s.

    Otherwise another client waits up to 5 s for each recently written file, one after the other.
    """
    done = Event()
    path = folder.parent / f"nudge.{socket.gethostname()}"

    def nudge() -> None:
        while not done.wait(NUDGE_S):
            try:
                with path.open("wb") as file:
                    os.fsync(file.fileno())
                path.unlink()
            except OSError:  # reading takes longer then, and reports its own error
                return

    thread = Thread(target=nudge)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    folder: Path

    def do_POST(self) -> None:
        try:
            way, kind, number, seq, seal = self.path.strip("/").split("/")
            place = self.folder / kind
            if not place.exists():
                place.mkdir(exist_ok=True)
                sync_folder(self.folder)
            WAYS[way](place, number, f"{kind}/{number} {seq} {seal}")
        except (OSError, KeyError, ValueError) as error:
            self.answer(500, f"{type(error).__name__}: {error}\n".encode())
            return
        self.answer(200, f"kept {kind}/{number} {seq} {seal}\n".encode())

    def do_GET(self) -> None:
        what, _, kind = self.path.strip("/").partition("/")
        try:
            self.folder.stat()
            found = [] if what == "well" else list(lines(self.folder / kind))
        except OSError as error:
            self.answer(500, f"{type(error).__name__}: {error}\n".encode())
            return
        self.answer(200, b"".join(b"%s\n" % line for line in [*found, b"end %d" % len(found)]))

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Log nothing: the answer has all information."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    # As the first process of a container, Python ignores SIGTERM and would delay a machine's
    # shutdown by 90 s. Every acknowledged write is already on the disk.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Handler.folder = Path(sys.argv[1])
    Server(("", int(sys.argv[2])), Handler).serve_forever()


if __name__ == "__main__":
    main()
