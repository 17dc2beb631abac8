"""A job set as the text of one fio job file."""

from __future__ import annotations

from collections.abc import Mapping

from harness.bench.scripts.guard_script import DEVICE, FILE
from harness.settings.bench import JobSet


def job_file(jobs: JobSet) -> str:
    """What fio is given; the guard puts in what it holds, and a file of the system's disk."""
    lines = ["[global]", f"filename={DEVICE}", *_lines(jobs.options)]
    for job in jobs.jobs:
        lines += [f"[{job.name}]", "stonewall", *_lines(job.options)]
        lines += [f"filename={FILE}"] if job.file else []
    return "\n".join(lines) + "\n"


def _lines(options: Mapping[str, str | int]) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]
