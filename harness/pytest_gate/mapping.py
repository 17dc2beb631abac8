"""Which scenario a test runs: pytest-bdd makes one of each, and the catalogue has its own names."""

from __future__ import annotations

import pytest
from pytest_bdd.scenario import scenario_wrapper_template_registry

from harness.pytest_gate.catalogue import scenario_id


def scenario_of(item: pytest.Item) -> str | None:
    """The id that the catalogue gives to a test's scenario; None of a test that runs none."""
    if not isinstance(item, pytest.Function):
        return None
    template = scenario_wrapper_template_registry.get(item.obj)
    if template is None:
        return None
    features = item.config.rootpath / "features"
    file = template.feature.filename.removeprefix(f"{features}/")
    callspec = getattr(item, "callspec", None)
    row = callspec.params.get("_pytest_bdd_example", {}) if callspec else {}
    return scenario_id(file, template.name, row)
