"""How settings files are found, read and validated; every mistake is a ConfigError."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent.parent
SCENARIOS = ROOT / "scenarios"


def state_dir() -> Path:
    """Where what must outlive a run is kept: ``$XDG_STATE_HOME/cutover``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "cutover"


def cache_dir() -> Path:
    """Where slow builds are kept, keyed by their inputs: ``$XDG_CACHE_HOME/cutover``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cutover"


def config_dir() -> Path:
    """Where what identifies this machine's operator is kept: ``$XDG_CONFIG_HOME/cutover``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cutover"


class Frozen(BaseModel):
    """A settings value: immutable, and a misspelled key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


FrozenT = TypeVar("FrozenT", bound=Frozen)


def read_yaml(path: Path) -> Any:
    """The YAML document in a file; ConfigError, naming file and line, when there is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error


def parse(model: type[FrozenT], path: Path) -> FrozenT:
    """A settings file as a validated value; ConfigError lists every mistake with its place."""
    try:
        return model.model_validate(read_yaml(path), context={"here": path.resolve().parent})
    except ValidationError as error:
        mistakes = "".join(
            f"\n  {'.'.join(str(part) for part in mistake['loc']) or '(file)'}: {mistake['msg']}"
            for mistake in error.errors()
        )
        raise ConfigError(f"{path} is not valid:{mistakes}") from error
