"""The catalogue of scenarios in the feature files, read apart from the test runner.

A gate compares the run with this catalogue, so a scenario that the runner did not collect, bind or
select is reported as missing. A feature, a rule, or a table of examples without scenarios is in the
catalogue too, as a scenario without steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gherkin.dialect import DIALECTS
from gherkin.errors import ParserError
from gherkin.parser import Parser
from gherkin.parser_types import GherkinDocument
from gherkin.pickles.compiler import Compiler, GherkinDocumentWithURI

from harness.core.errors import ConfigError
from harness.settings import ROOT, Frozen

FEATURES = ROOT / "features"


class Step(Frozen):
    """One sentence of a scenario, as it is printed."""

    keyword: str
    text: str


class Scenario(Frozen):
    """One scenario, or one row of a scenario outline, with all tags that it inherits."""

    id: str
    feature: str
    rule: str | None
    name: str
    file: str
    line: int
    tags: tuple[str, ...]
    steps: tuple[Step, ...]
    drill: str | None = None  # the drill that it carries out: the cell ``drill`` of its row

    def tagged(self, prefix: str) -> tuple[str, ...]:
        """The part of its tags after a prefix such as ``req:``."""
        return tuple(tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix))

    @property
    def requirements(self) -> tuple[str, ...]:
        return self.tagged("req:")

    @property
    def needs(self) -> tuple[str, ...]:
        return self.tagged("needs:")


def scenario_id(file: str, name: str, row: Mapping[str, str]) -> str:
    """A scenario's name everywhere; ``row`` is empty unless it comes from an outline."""
    cells = ", ".join(f"{key}={value}" for key, value in row.items())
    return f"{file}: {name} [{cells}]" if cells else f"{file}: {name}"


def read_features(folder: Path = FEATURES) -> tuple[Scenario, ...]:
    """Every scenario under a folder, in file order; ConfigError for a file that is not Gherkin."""
    return tuple(
        scenario
        for path in sorted(folder.rglob("*.feature"))
        for scenario in _read(path, path.relative_to(folder).as_posix())
    )


def _read(path: Path, file: str) -> Sequence[Scenario]:
    try:
        document = Parser().parse(path.read_text(encoding="utf-8"))
    except ParserError as error:
        raise ConfigError(f"{path} is not valid Gherkin: {error}") from error
    feature: Any = document.get("feature")
    if not feature:
        return ()
    found = [*_compiled(document, feature, file), *_hollow(feature, feature["name"], file)]
    return sorted(found, key=lambda scenario: scenario.line)


def _compiled(document: GherkinDocument, feature: Any, file: str) -> Iterator[Scenario]:
    nodes = dict(_nodes(feature["children"], rule=None))
    keywords = _keywords(feature["children"])
    outlines = DIALECTS[feature["language"]]["scenarioOutline"]
    for pickle in Compiler().compile(GherkinDocumentWithURI(**document, uri=file)):
        scenario, rule = nodes[pickle["astNodeIds"][0]]
        row = _row(scenario, pickle["astNodeIds"][1:])
        # Without examples, the sentences of an outline match no step: ‹one› has no value.
        steps = pickle["steps"] if row or scenario["keyword"] not in outlines else []
        yield Scenario(
            id=scenario_id(file, scenario["name"], row),
            feature=feature["name"],
            rule=rule,
            name=pickle["name"],
            file=file,
            line=scenario["location"]["line"],
            tags=tuple(dict.fromkeys(tag["name"].lstrip("@") for tag in pickle["tags"])),
            drill=row.get("drill"),
            steps=tuple(
                Step(keyword=keywords[step["astNodeIds"][0]], text=step["text"]) for step in steps
            ),
        )


def _hollow(
    node: Any, feature: str, file: str, tags: Sequence[str] = (), rule: str | None = None
) -> Iterator[Scenario]:
    """Features, rules and tables without a scenario: their absence would go unnoticed."""
    tags = (*tags, *(tag["name"].lstrip("@") for tag in node["tags"]))
    children = [child for child in node.get("children", ()) if "background" not in child]
    for child in children:
        ((kind, part),) = child.items()
        yield from _hollow(part, feature, file, tags, part["name"] if kind == "rule" else rule)
    empty = [(f"{node['name']} [no row]", it) for it in node.get("examples", ()) if not _rows(it)]
    if "children" in node and not children:
        empty = [(f"{node['keyword']}: {node['name']}", node)]
    for name, part in empty:
        own = (tag["name"].lstrip("@") for tag in part["tags"])
        yield Scenario(
            id=scenario_id(file, name, {}),
            feature=feature,
            rule=rule,
            name=name,
            file=file,
            line=part["location"]["line"],
            tags=tuple(dict.fromkeys((*tags, *own))),
            steps=(),
        )


def _nodes(
    children: Sequence[Any], rule: str | None
) -> Iterable[tuple[str, tuple[Any, str | None]]]:
    for child in children:
        if "rule" in child:
            yield from _nodes(child["rule"]["children"], child["rule"]["name"])
        elif "scenario" in child:
            yield child["scenario"]["id"], (child["scenario"], rule)


def _keywords(children: Sequence[Any]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for child in children:
        (node,) = child.values()
        found |= _keywords(node.get("children", ()))
        found |= {step["id"]: step["keyword"].strip() for step in node.get("steps", ())}
    return found


def _row(scenario: Any, row_ids: Sequence[str]) -> Mapping[str, str]:
    for examples in scenario["examples"]:
        names = [cell["value"] for cell in (examples.get("tableHeader") or {"cells": ()})["cells"]]
        for row in _rows(examples):
            if row["id"] in row_ids:
                values = (cell["value"] for cell in row["cells"])
                return dict(zip(names, values, strict=True))
    return {}


def _rows(examples: Any) -> Sequence[Any]:
    rows: Sequence[Any] = examples.get("tableBody", ())
    return rows
