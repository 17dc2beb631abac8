"""Loads: how often visitors send requests to the ingress, for what, and how long they wait.

Each load is one YAML file in ``scenarios/load/``. Its addresses come from the cluster profile's
``ingress:``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.settings.files import SCENARIOS, Named, find, names

LOADS = SCENARIOS / "load"

UrlPath = Annotated[str, Field(pattern=r"^/[!-~]*$")]


class Load(Named):
    """Visitors who come at a steady rate, whether earlier ones were served or not.

    ``requests_per_s`` is how many come each second; each gives up ``timeout_s`` seconds after it
    began. They request every one of ``paths`` from every site of the profile, unless the profile
    lists the paths of its sites.
    """

    schema_version: Literal[1] = Field(alias="schema")
    # The load in words, for a report.
    title: str
    requests_per_s: float = Field(gt=0, le=200)
    timeout_s: float = Field(gt=0, le=30)
    paths: tuple[UrlPath, ...] = Field(min_length=1)


def find_load(name: str, folder: Path = LOADS) -> Load:
    """The load of that name; ConfigError when there is none."""
    return find(Load, folder, name, among=load_names(folder))


def load_names(folder: Path = LOADS) -> tuple[str, ...]:
    """The names of all loads, sorted."""
    return names(folder)
