"""A customer's folder that the deletion leaves behind, as ``find`` shows it on a machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checks import CHECKS
from harness.core.errors import NotProven
from harness.core.model import Outcome, Verdict
from harness.core.names import Names
from harness.facts.journeys import Walk
from harness.facts.schema import dump
from harness.journeys import inventory
from harness.journeys.walk import walk
from harness.settings.journeys import Folder
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeShell
from harness.tests.journey_world import Platform, PlatformKube, profile, serving
from harness.tests.local_shell import really
from harness.tests.probe_rig import reach
from harness.transport.network import Network

GONE = "the deletion leaves nothing behind"
SHELL = FakeShell({("*", "find"): really})


def walked(folder: Path, note: Callable[[Names], object]) -> Walk:
    """A journey whose platform keeps its instances' folders in this one."""
    platform = Platform()
    with serving(platform) as port:
        usual = profile(port)
        assert usual.journeys is not None
        declared = Folder(machine="vmi2887101", path=str(folder), names="odoo_data_{customer}_*")
        places = usual.journeys.leftovers.model_copy(update={"folders": (declared,)})
        journeys = usual.journeys.model_copy(update={"leftovers": places})
        like = usual.model_copy(update={"journeys": journeys})
        ways = reach(SHELL, kube=PlatformKube(platform), outside=Network(), like=like)
        return walk(ways, "customer", str, str, lambda: None, note)


def judged(it: Walk) -> Verdict:
    seen = clean()
    seen["journey-customer"] = {CLUSTER.name: json.loads(json.dumps(dump(it)))}
    del seen["journey-instance"]
    return CHECKS[GONE](case(seen))


def test_a_folder_that_stays_is_a_leftover_and_another_customers_is_none(tmp_path: Path) -> None:
    def make_it_and_never_remove_it(names: Names) -> None:
        (tmp_path / f"odoo_data_{names.customer}_1f2e3d4c").mkdir(exist_ok=True)

    def make_another_customers(_: Names) -> None:
        (tmp_path / "odoo_data_acme_1f2e3d4c").mkdir(exist_ok=True)

    assert judged(walked(tmp_path, make_another_customers)).outcome is Outcome.PASS
    done = walked(tmp_path, make_it_and_never_remove_it)
    verdict = judged(done)
    assert (verdict.outcome, verdict.measured) == (Outcome.FAIL, {"leftovers_count": 1})
    assert f"vmi2887101:{tmp_path}/odoo_data_{done.customer}_1f2e3d4c" in verdict.reason


def test_a_folder_that_is_not_there_proves_nothing(tmp_path: Path) -> None:
    missing = Folder(machine="vmi2887101", path=str(tmp_path / "none"), names="*")
    with pytest.raises(NotProven, match="No such file"):
        list(inventory._folder(SHELL, missing))
