"""Shared by all commands: data to stdout, progress to stderr, the same options everywhere."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from harness.report.words import printable

Cluster = Annotated[str, typer.Option("--cluster", help="Cluster profile, by name or path.")]
AllowDisruption = Annotated[
    bool, typer.Option("--allow-disruption", help="Let drills break things on purpose.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and no words.")]


def say(text: str = "") -> None:
    """Print a line of the command's answer."""
    _write(f"{printable(text)}\n")


def say_json(document: object) -> None:
    """Print the command's answer as JSON."""
    _write(f"{json.dumps(document, ensure_ascii=False, indent=2)}\n")


def _write(text: str) -> None:
    """Write to stdout; a reader that went away (``| head``) must not change the exit status."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
