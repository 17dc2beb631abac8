"""Carries out a fault's acts, in one place for all faults."""

from __future__ import annotations

import json
import shlex
import subprocess

from harness.core.errors import InjectFailed
from harness.faults.model import API, LOCAL, Act, Argv
from harness.settings import ROOT
from harness.transport import Completed, Reach


def perform(reach: Reach, act: Act) -> None:
    """Carry one act out; InjectFailed with the command's output when it failed."""
    if act.place == API:
        _ask_api(reach, act)
        return
    if act.place == LOCAL:
        done = run_here(act.argv, act.within_s)
    else:
        done = reach.shell.run(act.place, act.argv, stdin=act.stdin, within_s=act.within_s)
    if done.status != 0:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise InjectFailed(
            f"{act.place}: `{shlex.join(act.argv)[:120]}` ended with {done.status}: {said}"
        )


def run_here(argv: Argv, within_s: float) -> Completed:
    """Run an operator's command on this computer, in the project's folder."""
    try:
        done = subprocess.run(
            argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Completed(status=-1, stdout="", stderr=str(error))
    return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


def _ask_api(reach: Reach, act: Act) -> None:
    verb, path = act.argv
    if verb == "DELETE":
        reach.kube.delete(path)
    elif verb == "POST":
        reach.kube.create(path, json.loads(act.stdin))
    else:
        raise InjectFailed(f"a fault may not send {verb} {path} to the API")
