"""Finds, reads and validates settings files; a mistake is a ConfigError with its line."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from harness.core.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent.parent
SCENARIOS = ROOT / "scenarios"


def state_dir() -> Path:
    """The folder for data that must outlive a run: ``$XDG_STATE_HOME/cutover``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "cutover"


def cache_dir() -> Path:
    """The folder for slow builds, keyed by their inputs: ``$XDG_CACHE_HOME/cutover``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cutover"


def config_dir() -> Path:
    """The folder for this machine's operator identity: ``$XDG_CONFIG_HOME/cutover``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cutover"


class Frozen(BaseModel):
    """A settings value: immutable, and a misspelled key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Frozen):
    """A settings value that has the same name as its file."""

    # The name of the file, without .yaml.
    name: str = Field(pattern=r"^[a-z0-9-]{3,40}$")


FrozenT = TypeVar("FrozenT", bound=Frozen)
NamedT = TypeVar("NamedT", bound=Named)


@dataclass(frozen=True, slots=True)
class Flaw:
    """One mistake in a settings file."""

    line: int
    says: str


MOST_BYTES = 4 * 1024 * 1024
MOST_NODES = 1_000_000


class _Strict(yaml.SafeLoader):
    """YAML in which each key occurs once, and whose aliases cannot expand without limit."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.MappingNode):
            _each_once(node)
        return node

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > MOST_NODES:
            says = "its aliases repeat too much"
            raise yaml.composer.ComposerError(None, None, says, node.start_mark)
        return node


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of values in a node, aliases counted in full; too many for one in itself."""
    if id(node) not in known:
        known[id(node)] = MOST_NODES + 1
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            parts = [it for pair in node.value for it in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        known[id(node)] = 1 + sum(_size(it, known) for it in parts)
    return known[id(node)]


def _each_once(node: yaml.MappingNode) -> None:
    given: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        name, line = (key.tag, str(key.value)), key.start_mark.line + 1
        if name in given:
            says = f"the key {key.value!r} is given twice, in lines {given[name]} and {line}"
            raise yaml.composer.ComposerError(None, None, says, key.start_mark)
        given[name] = line


def read_yaml(path: Path) -> Any:
    """The YAML document in a file; ConfigError, naming file and line, when there is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} is larger than {MOST_BYTES} bytes: it is no settings file")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8: byte {error.start} is wrong") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path | str) -> object:
    """The YAML document in a text; ConfigError, naming the text's path, when there is none."""
    try:
        return yaml.load(text, Loader=_Strict)
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error)[:200]}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error


def parse(model: type[FrozenT], path: Path) -> FrozenT:
    """A settings file as a validated value; ConfigError lists every mistake with its line."""
    try:
        return _validate(model, path)
    except ValidationError as error:
        mistakes = "".join(f"\n  line {it.line}: {it.says}" for it in _flaws(path, error))
        raise ConfigError(f"{path} is not valid:{mistakes}") from error


def find(model: type[NamedT], folder: Path, name: str, *, among: Collection[str]) -> NamedT:
    """The settings file of that name in a folder; ConfigError when it is not ``among`` them."""
    what = model.__name__.lower()
    if name not in among:
        raise ConfigError(f"there is no {what} {name}", remedy=f"there are: {', '.join(among)}")
    path = folder / f"{name}.yaml"
    found = parse(model, path)
    if found.name != name:
        raise ConfigError(f"{path} calls itself {found.name}", remedy=f"name it {name}")
    return found


def names(folder: Path) -> tuple[str, ...]:
    """The names of the settings files in a folder, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def flaws(model: type[Frozen], path: Path) -> Sequence[Flaw]:
    """All mistakes in a settings file; empty when it is valid."""
    try:
        _validate(model, path)
    except ValidationError as error:
        return _flaws(path, error)
    except ConfigError as error:
        mark = getattr(error.__cause__, "problem_mark", None)
        return [Flaw(mark.line + 1 if mark else 1, str(error))]
    return []


def line_of(path: Path, place: Sequence[str | int]) -> int:
    """The line of a key or an item, counted from 1; if it does not exist, its parent's line."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = 0
    for part in place:
        if isinstance(node, yaml.MappingNode):
            named = {key.value: (key, value) for key, value in node.value}
            if str(part) not in named:
                break
            key, node = named[str(part)]
            line = key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1


def _validate(model: type[FrozenT], path: Path) -> FrozenT:
    return model.model_validate(read_yaml(path), context={"here": path.resolve().parent})


def _in_words(mistake: ErrorDetails) -> str:
    """A mistake without pydantic's own terms."""
    if mistake["type"] == "extra_forbidden":
        return "there is no such key"
    return mistake["msg"].removeprefix("Value error, ")


def _flaws(path: Path, error: ValidationError) -> list[Flaw]:
    mistakes = {mistake["loc"]: _in_words(mistake) for mistake in error.errors()}
    # A mistake in a list's item is reported once, at the item, and not at the list too.
    inner = [
        place
        for place in mistakes
        if not any(it != place and it[: len(place)] == place for it in mistakes)
    ]
    return [
        Flaw(
            line_of(path, place),
            f"{'.'.join(str(part) for part in place) or '(file)'}: {mistakes[place]}",
        )
        for place in inner
    ]
