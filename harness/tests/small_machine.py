"""A machine in small, on which what a fault does and what takes it back are really run.

Its programs are ``machine_script``; sh, mv, rm and the like are this computer's own, and the paths
that they are given lie in a folder.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.faults.model import API, Act, Argv
from harness.tests import machine_script

_OUR_PATHS = re.compile(r"(?<![\w/.])/(var/lib/|run/|cutover-)")
_MANIFESTS = "var/lib/rancher/rke2/agent/pod-manifests"
_PROGRAM = """#!/bin/sh
exec {python} -I -S {script} {state} {name} "$@"
"""


@dataclass(frozen=True)
class SmallMachine:
    """A machine that is well: what it has is in a folder."""

    home: Path

    @classmethod
    def made(cls, home: Path) -> SmallMachine:
        (home / "state").write_text(json.dumps(machine_script.FRESH))
        for folder in (_MANIFESTS, "run", "bin", "var/lib/rancher/rke2/bin"):
            (home / folder).mkdir(parents=True)
        for part in ("etcd", "kube-apiserver"):
            (home / _MANIFESTS / f"{part}.yaml").write_text(part)
        for name in machine_script.PROGRAMS:
            text = _PROGRAM.format(
                python=sys.executable,
                script=machine_script.__file__,
                state=home / "state",
                name=name,
            )
            for folder in ("bin", "var/lib/rancher/rke2/bin"):
                (home / folder / name).write_text(text)
                (home / folder / name).chmod(0o755)
        return cls(home)

    def has(self) -> Any:
        """All that a fault may change."""
        files = {
            str(path.relative_to(self.home)): path.read_text()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and path.parent.name != "bin" and path.name != "state"
        }
        return {"files": files, **json.loads((self.home / "state").read_text())}

    def act(self, act: Act) -> None:
        """What a fault does: on any machine, here or in the API, they are all this one."""
        if act.place != API:
            assert self.run(act.argv, act.stdin) == (0, "")
        elif act.argv[0] == "POST":
            state = self.home / "state"
            told = json.loads(state.read_text())
            group, _, kind = act.argv[1].removeprefix("/apis/").rpartition("/v1/")
            name = json.loads(act.stdin)["metadata"]["name"]
            told["objects"].append(f"{kind}.{group}/{name}")
            state.write_text(json.dumps(told))

    def run(self, argv: Argv, stdin: str = "") -> tuple[int, str]:
        """Run a command; its status, and what it complained of."""
        program = argv[0].rpartition("/")[2]
        if program in machine_script.PROGRAMS:
            with redirect_stdout(io.StringIO()):
                return machine_script.main(self.home / "state", program, *argv[1:]), ""
        mine = [_OUR_PATHS.sub(rf"{self.home}/\1", word) for word in argv]
        done = subprocess.run(
            mine,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env={"PATH": f"{self.home / 'bin'}:/usr/bin:/bin", "LC_ALL": "C"},
            cwd=os.fspath(self.home),
        )
        return done.returncode, done.stderr if done.returncode else ""
