"""The list of programs that ``doctor`` asks for is whole: what is run on machines is in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.commands.programs import PROGRAMS, needed, on_servers
from harness.pytest_gate.evidence import commands_for_machines
from harness.settings import load_profile

RUNS_ON_MACHINES = ("probes", "faults", "bench", "backup", "provision")
# Of Debian's essential packages: no machine is without them.
ESSENTIAL = {"/bin/sh", "cat", "mkdir", "mv", "printenv", "rm", "test", "true"}
CALLS = {"command", "run", "tool", "Popen", "read", "unless"}


def first_words(node: ast.AST) -> Iterator[str]:
    """The program that is run, where it is written out: in a list, or as the first word."""
    values: list[ast.expr] = []
    match node:
        case ast.Assign(targets=[ast.Name(id="argv" | "command")], value=value):
            values.append(value)
        case ast.keyword(arg="argv", value=value):
            values.append(value)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args):
            if name == "command":
                yield from (str(it.value) for it in args[:1] if isinstance(it, ast.Constant))
            values += args if name in CALLS else []
    for value in values:
        first = value.elts[0] if isinstance(value, (ast.Tuple, ast.List)) and value.elts else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def run_somewhere() -> dict[str, str]:
    """Every program that is written out, and a file that runs it."""
    found = {}
    for part in RUNS_ON_MACHINES:
        for path in (Path(harness.__file__).parent / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                found.update(dict.fromkeys(first_words(node), f"{part}/{path.name}"))
    evidence = commands_for_machines(load_profile("lab"))
    return found | {argv[0]: "pytest_gate/evidence.py" for argv in evidence.values()}


def test_every_program_that_is_run_on_machines_is_declared() -> None:
    found = run_somewhere()
    assert {
        "chronyc",
        "docker",
        "free",
        "ping",
        "nft",
        "tc",
        "fio",
        "wipefs",
        "systemctl",
        "fallocate",
    } <= set(found)
    undeclared = {
        name: where
        for name, where in found.items()
        # Words of an API are in capitals.
        if name not in PROGRAMS and name not in ESSENTIAL and not name.isupper()
    }
    assert undeclared == {}


def test_what_only_drills_need_is_asked_for_where_drills_are_allowed() -> None:
    contabo = load_profile("contabo")
    allowed = contabo.model_copy(update={"allow_disruption": True})
    drills = set(needed(allowed)) - set(needed(contabo))
    assert {"systemd-run", "stress-ng", "nft", "tc"} <= drills
    assert "/var/lib/rancher/rke2/bin/kubectl" in set(on_servers(allowed))


@pytest.mark.parametrize(("through", "wanted"), [("machines", True), ("toolbox", False)])
def test_ceph_is_asked_for_where_the_machines_ask_it(through: str, wanted: bool) -> None:
    contabo = load_profile("contabo")
    ceph = contabo.ceph.model_copy(update={"through": through})
    assert ("ceph" in set(needed(contabo.model_copy(update={"ceph": ceph})))) is wanted
