"""``./cutover`` without the seconds of its imports: forked from a process that has them.

A seeded defect asks one gate, or one probe, about a few facts. Starting Python and importing a
gate's modules would take half of the test.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.commands import cli
from harness.settings import ROOT

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "harness.commands.cli",
        "harness.pytest_gate.plugin",
        "harness.transport.kube",
        "pytest_bdd",
        "allure_pytest",
    ]
)


def forked(
    call: Callable[[Sequence[str]], None], arguments: Sequence[str], within_s: float
) -> subprocess.CompletedProcess[str]:
    """Call a function in its own process; TimeoutExpired, and it ends, after ``within_s``."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _FORKS.Process(target=_run, args=(call, list(arguments), out, err))
        process.start()
        process.join(within_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), within_s, err.read_bytes()[-2000:])
        texts = out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
        return subprocess.CompletedProcess(list(arguments), process.exitcode, *texts)


def cutover(arguments: Sequence[str], within_s: float) -> subprocess.CompletedProcess[str]:
    """Run ``./cutover ARGUMENTS``."""
    return forked(_cutover, arguments, within_s)


def _cutover(arguments: Sequence[str]) -> None:
    sys.argv = ["cutover", *arguments]
    cli.main()


def by_hand(arguments: Sequence[str], within_s: float) -> subprocess.CompletedProcess[str]:
    """The same in a new process, as an operator starts it."""
    return subprocess.run(
        [str(ROOT / "cutover"), *arguments],
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def _run(
    call: Callable[[Sequence[str]], None], arguments: Sequence[str], out: Path, err: Path
) -> None:
    for number, path in enumerate((Path(os.devnull), out, err)):
        with path.open("ab+" if number else "rb") as file:
            os.dup2(file.fileno(), number)
    call(arguments)
