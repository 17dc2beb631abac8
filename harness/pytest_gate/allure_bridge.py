"""Adds Gherkin steps and evidence to Allure's results: allure-pytest alone shows one bare test.

Messages contain names from the cluster; Allure gets only their printable text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import allure
import pytest
from allure_commons import hookimpl, plugin_manager
from allure_commons.utils import uuid4

from harness.pytest_gate.bdd_internals import Feature, Scenario, Step
from harness.report.words import printable

_CONTAINERS = "*-container.json"
_NOISE = ("pytestbdd_", "_pytest_bdd", "pytestconfig")
_ATTACHED = 64 * 1024  # characters: the whole text is in the run's evidence
_SEVERITIES = {"blocker": "blocker", "major": "critical", "minor": "minor"}


class _Steps:
    """The steps of the current scenario: the open one, and the coming ones."""

    def __init__(self) -> None:
        self.open: str | None = None
        self.coming: list[str] = []

    def start(self, title: str) -> None:
        self.open = str(uuid4())
        plugin_manager.hook.start_step(uuid=self.open, title=title, params={})
        if title in self.coming:
            self.coming.remove(title)

    def stop(self, error: BaseException | None = None) -> None:
        if self.open is None:
            return
        trace: TracebackType | None = error.__traceback__ if error else None
        kind: type[BaseException] | None = type(error) if error else None
        plugin_manager.hook.stop_step(uuid=self.open, exc_type=kind, exc_val=error, exc_tb=trace)
        self.open = None

    def skip_coming(self) -> None:
        """Show the steps after a failure, as skipped."""
        for title in list(self.coming):
            self.start(title)
            self.stop(pytest.skip.Exception("an earlier step stopped the scenario"))


_steps = _Steps()


class Printable:
    """Makes every text of a result printable before Allure writes it."""

    @hookimpl(tryfirst=True)
    def report_result(self, result: object) -> None:
        _made_printable(result)

    @hookimpl(tryfirst=True)
    def report_container(self, container: object) -> None:
        _made_printable(container)


def _made_printable(value: object) -> object:
    """The value with printable texts; an object of Allure's is changed in place."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_made_printable(it) for it in value]
    if hasattr(value, "__attrs_attrs__"):
        for name, held in vars(value).items():
            setattr(value, name, _made_printable(held))
    return value


def pytest_configure(config: pytest.Config) -> None:
    texts = Printable()
    plugin_manager.register(texts)
    config.add_cleanup(lambda: plugin_manager.unregister(texts))


def _title(step: Step) -> str:
    return f"{step.keyword.strip()} {step.name}"


def _tags(feature: Feature, scenario: Scenario) -> Iterator[tuple[str, str]]:
    rule = scenario.rule.tags if scenario.rule else set()
    for tag in sorted(feature.tags | rule | scenario.tags):
        name, _, value = tag.partition(":")
        yield name, value


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hide step definitions: they are fixtures to pytest and noise to a reader of the report."""
    for path in Path(session.config.option.allure_report_dir or "/nowhere").glob(_CONTAINERS):
        fixtures = json.loads(path.read_text(encoding="utf-8")).get("befores", ())
        if any(fixture["name"].startswith(_NOISE) for fixture in fixtures):
            path.unlink()


def pytest_bdd_before_scenario(feature: Feature, scenario: Scenario) -> None:
    _steps.coming = [_title(step) for step in scenario.steps]
    allure.dynamic.title(scenario.name)
    allure.dynamic.feature(feature.name)
    if scenario.rule is not None:
        allure.dynamic.story(scenario.rule.name)
    for name, value in _tags(feature, scenario):
        if name == "severity":
            allure.dynamic.severity(allure.severity_level(_SEVERITIES.get(value, "normal")))
        else:
            allure.dynamic.tag(value or name)


def pytest_bdd_after_scenario() -> None:
    _steps.skip_coming()


def pytest_bdd_before_step(step: Step) -> None:
    _steps.start(_title(step))
    if step.datatable is not None:
        table = io.StringIO()
        csv.writer(table).writerows(step.datatable.raw())
        allure.attach(table.getvalue(), "table", allure.attachment_type.CSV)
    if step.docstring is not None:
        allure.attach(step.docstring, "text", allure.attachment_type.TEXT)


def pytest_bdd_after_step() -> None:
    _steps.stop()


def pytest_bdd_step_error(exception: BaseException) -> None:
    _steps.stop(exception)


def pytest_bdd_step_func_lookup_error(step: Step, exception: BaseException) -> None:
    _steps.start(_title(step))
    _steps.stop(exception)


def pytest_gate_kept(target: str, what: str, file: Path) -> None:
    """Attach evidence to the scenario that turned red; of a long text, its end is shown."""
    text = printable(file.read_text(encoding="utf-8")[-_ATTACHED:])
    with suppress(KeyError):  # Allure has no open test: the run was interrupted
        allure.attach(text, f"{target}: {what}", allure.attachment_type.TEXT)
