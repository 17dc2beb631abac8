"""What gates need on every machine: ``scenarios/provision/nodes.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from harness.settings.files import SCENARIOS, Frozen, parse

Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]+$")]
# One command by its full path; a comma or a backslash would begin another in sudoers.
SudoCommand = Annotated[str, Field(pattern=r"^/[^\n,\\:=!]+$")]


class NodeNeeds(Frozen):
    """Packages with what each is for, the harness's user, and what it may do as root."""

    schema_version: Literal[1] = Field(alias="schema")
    packages: Mapping[Package, str]
    user: str = Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")
    sudo: tuple[SudoCommand, ...] = Field(min_length=1)


def load_needs() -> NodeNeeds:
    """What is needed; raises ConfigError."""
    return parse(NodeNeeds, SCENARIOS / "provision/nodes.yaml")
