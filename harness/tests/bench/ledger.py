"""What the ledger costs: ``python -m harness.tests.bench.ledger [OPERATIONS …]``.

Writes the book of a ledger of so many operations (by default 1,000,000 and 10,000,000) and what was
read back, judges each in a process of its own, and prints what that took as JSON: seconds on the
clock and of the processor, and peak memory. The figures to meet are 3 s and 500 MB for 1,000,000,
and ten times the seconds for 10,000,000. A loop of a known length says how fast this processor is
just then (``loop_s``). Beside it, how long a write waits for its line in the book to be on the
disk, with one writer and with 16. It is no test: a loaded machine would fail it for no reason.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from harness.ledger.history import History
from harness.ledger.read_back import judge

_WRITERS = 4
_LOST_EVERY = 100_003
_US = 1_000_000
_WALL_MS = 1_764_000_000_000
_LOOP = 10_000_000
_INVOKES = 200


def write(folder: Path, operations: int) -> int:
    """A book in which every write is acknowledged, and a reading that misses a few; how many."""
    lost = 0
    folder.mkdir()
    with (
        (folder / "book").open("w", encoding="ascii") as book,
        (folder / "postgres-0.found").open("w", encoding="ascii") as found,
    ):
        book.write(f"begin bench 1 {_US} {_WALL_MS}\n")
        found.write(f"postgres/0\t{operations * 100}\n")
        at = _US
        for number in range(operations):
            who, seq = f"postgres/{number % _WRITERS}", number // _WRITERS
            wall = _WALL_MS + at // 1000
            book.write(f"invoke {who} {seq} {at} {wall}\nok {who} {seq} {at + 9} {wall}\n")
            at += 20
            if number % _LOST_EVERY:
                found.write(f"{who}\t{seq}\n")
            else:
                lost += 1
        book.write(f"end - 0 {at} {_WALL_MS}\n")
    return lost


def measure(folder: Path) -> dict[str, Any]:
    """Judge a ledger in this process, and say what it took."""
    cpu, began = time.process_time(), time.perf_counter()
    (tally,) = judge(folder, ["postgres"], {}).values()
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    cpu = time.process_time()
    for _ in range(_LOOP):
        pass
    return {
        "operations": tally.invoked,
        "lost": tally.lost,
        "took_s": round(took_s, 2),
        "cpu_s": round(cpu_s, 2),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        "loop_s": round(time.process_time() - cpu, 2),
    }


def wait_ms(folder: Path, writers: int) -> float:
    """How long a write waits for the disk on average, when so many write at once."""
    with History(folder / f"book-{writers}", "bench") as book:

        def invoke(number: int) -> None:
            for seq in range(_INVOKES):
                book.invoke(f"w/{number}", seq)

        threads = [threading.Thread(target=invoke, args=(number,)) for number in range(writers)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return round((time.perf_counter() - began) / _INVOKES * 1000, 2)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--judge"]:
        sys.stdout.write(json.dumps(measure(Path(arguments[1]))) + "\n")
        return
    sizes = [int(it) for it in arguments] or [1_000_000, 10_000_000]
    with tempfile.TemporaryDirectory(prefix="cutover-bench-") as name:
        for operations in sizes:
            folder = Path(name) / str(operations)
            planted = write(folder, operations)
            # A process of its own: what writing took is not what judging takes.
            command = [sys.executable, "-m", __spec__.name, "--judge", str(folder)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found = json.loads(done.stdout)
            assert found["lost"] == planted, f"{planted} were lost: {found}"
            sys.stdout.write(json.dumps(found) + "\n")
        waits = {f"wait_{n}_writers_ms": wait_ms(Path(name), n) for n in (1, 16)}
    sys.stdout.write(json.dumps(waits) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
