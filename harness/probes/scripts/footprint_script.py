"""Runs on a machine, as ``python3 -``: counts the resources that may leak; prints a line of JSON.

Standard library of Python 3.8 only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    processes = [it for it in Path("/proc").iterdir() if it.name.isdigit()]
    memory = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line
    )
    report = {
        "processes": len(processes),
        "files": sum(opened(it) for it in processes),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "memory_mib": resident_mib(processes),
        "available_mib": int(memory["MemAvailable"].split()[0]) // 1024,
    }
    sys.stdout.write(json.dumps(report) + "\n")


def opened(process: Path) -> int:
    """How many files a process has open; none when it has just ended."""
    try:
        return len(list((process / "fd").iterdir()))
    except OSError:
        return 0


def resident_mib(processes: list[Path]) -> int:
    """Memory that processes hold and do not share with a file, in MiB."""
    pages = 0
    for process in processes:
        try:
            _, resident, shared = (process / "statm").read_text().split()[:3]
        except (OSError, ValueError):
            continue
        pages += int(resident) - int(shared)
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


if __name__ == "__main__":
    main()
