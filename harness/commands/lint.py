"""``./cutover lint``: finds what could pass without proving anything."""

from __future__ import annotations

from dataclasses import asdict

import typer

from harness.commands.output import AsJson, Cluster, say, say_json
from harness.core.model import Exit
from harness.pytest_gate.lint import lint as find_mistakes
from harness.settings import ROOT, load_profile


def lint(cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Check features, gate files, waivers and steps for anything that could pass without proof.

    Example: ./cutover lint

    Ends with 0 when nothing is wrong, and with 1 when something is; runs nothing.
    """
    found = find_mistakes(ROOT, load_profile(cluster))
    errors = [mistake for mistake in found if not mistake.note]
    if as_json:
        say_json({"schema": 1, "found": [asdict(mistake) for mistake in found]})
    else:
        for mistake in found:
            say(f"{mistake.where}: {'note' if mistake.note else 'error'}: {mistake.says}")
        say(f"{len(errors)} errors, {len(found) - len(errors)} notes")
    raise typer.Exit(int(Exit.NO_GO if errors else Exit.GO))
