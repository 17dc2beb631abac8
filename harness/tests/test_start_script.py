"""The start script makes .venv from the lock: with uv, and with pip where uv cannot be had."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.settings import ROOT

LOCKS = ("installer.lock", "requirements.lock")
# Stands for the system's Python: what it makes are programs that write down how they are called.
PYTHON = """#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p "$3/bin"
for program in pip uv python; do
    printf '#!/bin/sh\\necho "%s $*" >> "$CALLS"\\n' $program > "$3/bin/$program"
    chmod +x "$3/bin/$program"
done
echo "case \\"\\$*\\" in *${WITHOUT:-nothing}*) exit 1 ;; esac" >> "$3/bin/pip"
echo 'case "$*" in *${BROKEN:-nothing}*) exit 1 ;; esac' >> "$3/bin/uv"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone's start script and locks, and a Python that makes no real environment."""
    for name in ("cutover", *LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python3"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def calls(clone: Path, **environment: str) -> list[str]:
    """Which programs of its environment a start calls, each with the lock that it is given."""
    told = clone / "calls"
    told.write_text("")
    path = f"{clone / 'bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, "CALLS": str(told), **environment}
    subprocess.run([clone / "cutover", "lint"], env=environment, check=True, timeout=20)
    names = re.compile(rf"^(\w+) .*?({'|'.join(LOCKS)}|-m harness lint)?$")
    found = [names.match(line) for line in told.read_text().splitlines()]
    return [f"{it[1]} {it[2]}" for it in found if it is not None and it[2] is not None]


def test_uv_installs_the_locked_packages_once(clone: Path) -> None:
    started = "python -m harness lint"
    assert calls(clone) == ["pip installer.lock", "uv requirements.lock", started]
    assert calls(clone) == [started]


@pytest.mark.parametrize("environment", [{"WITHOUT": "installer.lock"}, {"BROKEN": "install"}])
def test_pip_installs_them_where_uv_cannot_be_had_or_fails(
    clone: Path, environment: dict[str, str]
) -> None:
    assert calls(clone, **environment)[-2:] == ["pip requirements.lock", "python -m harness lint"]


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_lock_names_a_host(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    packages = re.findall(r"^(\S+)==\S+(?: ; .*)? \\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) > 0
    assert "://" not in text
