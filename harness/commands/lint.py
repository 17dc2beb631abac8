"""``./cutover lint``: what could pass without proving anything."""

from __future__ import annotations

from dataclasses import asdict

import typer

from harness.catalogue import read_features
from harness.commands.output import AsJson, Cluster, say, say_json
from harness.lint import lint as find_mistakes
from harness.model import Exit
from harness.settings import load_gates, load_profile, load_waivers


def lint(cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Read features, gate files, waivers and steps for what could pass without proof.

    Example: ./cutover lint

    Ends with 0 when nothing is wrong, and with 2 when something is; runs nothing.
    """
    profile, gates = load_profile(cluster), load_gates()
    load_waivers(profile.name, {requirement.id for requirement in gates.requirements})
    found = find_mistakes(gates, read_features(), profile)
    errors = [mistake for mistake in found if not mistake.note]
    if as_json:
        say_json({"schema": 1, "found": [asdict(mistake) for mistake in found]})
    else:
        for mistake in found:
            say(f"{'note ' if mistake.note else 'error'} {mistake.where}: {mistake.says}")
        say(f"{len(errors)} errors, {len(found) - len(errors)} notes")
    raise typer.Exit(int(Exit.USAGE if errors else Exit.GO))
