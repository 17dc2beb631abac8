"""What a module loads with it: who judges a journal needs no way to a machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness.settings import ROOT

_HEAVY = ("harness.transport", "harness.faults", "harness.probes", "harness.drill", "paramiko")


@pytest.mark.parametrize("module", ["harness.gate", "harness.checks", "harness.gate.evaluation"])
def test_what_judges_a_journal_loads_no_transport_and_no_fault(module: str) -> None:
    code = f"import {module}, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert module in loaded
    assert [it for it in loaded if it.startswith((*_HEAVY, "kubernetes"))] == []
