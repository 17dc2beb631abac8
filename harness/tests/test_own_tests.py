"""How the project's own tests are dealt out to processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from harness.settings import ROOT

_PYTEST = (sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadscope", "-m", "")


@pytest.mark.slow
def test_what_needs_the_lab_stays_in_one_process() -> None:
    # Each of these ends where it asks for its lab, which no profile knows.
    here = os.environ | {"CUTOVER_TEST_LAB": "no-such-lab"}
    files = (f"harness/tests/lab/test_{name}.py" for name in ("evidence", "ingress"))
    said = subprocess.run(
        [*_PYTEST, *files],
        cwd=ROOT,
        env=here,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    ).stdout
    workers = re.findall(r"^\[(gw\d)\].* ERROR ", said, re.MULTILINE)
    assert len(workers) > 2, said
    assert len(set(workers)) == 1, said
