"""The catalogue of scenarios in the feature files, read apart from the test runner.

A gate compares the run with this catalogue, so a scenario that the runner did not collect, bind or
select is reported as missing. A feature, a rule, or a table of examples without scenarios is in the
catalogue too, as a scenario without steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gherkin import parser_types as ast
from gherkin.dialect import DIALECTS
from gherkin.errors import ParserError
from gherkin.parser import Parser
from gherkin.pickles.compiler import (
    Compiler,
    GherkinDocumentWithURI,
    is_background_container,
    is_rule_container,
    is_scenario_container,
)

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
    feature = _feature(path)
    if feature is None:
        return ()
    found = [*_compiled(feature, file), *_hollow(feature, feature["name"], file)]
    return sorted(found, key=lambda scenario: scenario.line)


def _feature(path: Path) -> ast.Feature | None:
    """The feature of a file; None for an empty file."""
    try:
        return Parser().parse(path.read_text(encoding="utf-8")).get("feature")
    except ParserError as error:
        raise ConfigError(f"{path} is not valid Gherkin: {error}") from error


def _compiled(feature: ast.Feature, file: str) -> Iterator[Scenario]:
    nodes = dict(_nodes(feature["children"], rule=None))
    keywords = {step["id"]: step["keyword"].strip() for step in _steps(feature["children"])}
    outlines = DIALECTS[feature["language"]]["scenarioOutline"]
    document = GherkinDocumentWithURI(feature=feature, comments=[], uri=file)
    for pickle in Compiler().compile(document):
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
    node: ast.Feature | ast.Rule,
    feature: str,
    file: str,
    tags: Sequence[str] = (),
    rule: str | None = None,
) -> Iterator[Scenario]:
    """Features, rules and tables without a scenario: their absence would go unnoticed."""

    def hollow(
        name: str, part: ast.Feature | ast.Rule | ast.Examples, tags: Sequence[str]
    ) -> Scenario:
        return Scenario(
            id=scenario_id(file, name, {}),
            feature=feature,
            rule=rule,
            name=name,
            file=file,
            line=part["location"]["line"],
            tags=tuple(dict.fromkeys((*tags, *_tags(part)))),
            steps=(),
        )

    children = [it for it in node["children"] if not is_background_container(it)]
    if not children:
        yield hollow(f"{node['keyword']}: {node['name']}", node, tags)
    tags = (*tags, *_tags(node))
    for child in children:
        if is_rule_container(child):
            yield from _hollow(child["rule"], feature, file, tags, child["rule"]["name"])
        elif is_scenario_container(child):
            outline = child["scenario"]
            for examples in outline["examples"]:
                if not _rows(examples):
                    yield hollow(f"{outline['name']} [no row]", examples, (*tags, *_tags(outline)))


def _tags(node: ast.Feature | ast.Rule | ast.Scenario | ast.Examples) -> Sequence[str]:
    return [tag["name"].lstrip("@") for tag in node["tags"]]


def _nodes(
    children: Sequence[ast.Envelope], rule: str | None
) -> Iterator[tuple[str, tuple[ast.Scenario, str | None]]]:
    for child in children:
        if is_rule_container(child):
            yield from _nodes(child["rule"]["children"], child["rule"]["name"])
        elif is_scenario_container(child):
            yield child["scenario"]["id"], (child["scenario"], rule)


def _steps(children: Sequence[ast.Envelope]) -> Iterator[ast.Step]:
    for child in children:
        if is_rule_container(child):
            yield from _steps(child["rule"]["children"])
        elif is_background_container(child):
            yield from child["background"]["steps"]
        elif is_scenario_container(child):
            yield from child["scenario"]["steps"]


def _row(scenario: ast.Scenario, row_ids: Sequence[str]) -> Mapping[str, str]:
    for examples in scenario["examples"]:
        for row in _rows(examples):
            if row["id"] in row_ids:
                names = (cell["value"] for cell in examples["tableHeader"]["cells"])
                values = (cell["value"] for cell in row["cells"])
                return dict(zip(names, values, strict=True))
    return {}


def _rows(examples: ast.Examples) -> Sequence[ast.TableRow]:
    return examples.get("tableBody", ())
