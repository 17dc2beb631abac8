"""The examples for CI say what this project can do, and say what it cannot do yet."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from typer.main import get_command

from harness.commands.cli import app
from harness.settings import ROOT

EXAMPLES = ("github", "gitlab")
COMMANDS: Any = get_command(app)


def commands(node: Any) -> Iterator[list[str]]:
    """Every ./cutover command line in a document."""
    if isinstance(node, str) and node.startswith("./cutover "):
        yield shlex.split(node)[1:]
    elif isinstance(node, dict):
        for held in node.values():
            yield from commands(held)
    elif isinstance(node, list):
        for held in node:
            yield from commands(held)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_command_and_option_exists(name: str) -> None:
    used = list(commands(yaml.safe_load((ROOT / f"docs/ci/{name}.yaml").read_text())))
    assert {"gate", "soak", "drill"} <= {words[0] for words in used}
    for words in used:
        options = {option for it in COMMANDS.commands[words[0]].params for option in it.opts}
        assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_gate_a_week_a_nightly_soak_and_a_drill_by_hand(name: str) -> None:
    document = yaml.safe_load((ROOT / f"docs/ci/{name}.yaml").read_text())
    jobs = document.get("jobs", document)
    assert {"gate", "soak", "drill"} <= jobs.keys()
    assert "drill" in str(jobs["drill"]).lower()
    assert "reports/2*/" in str(document)
