"""A part that a profile forgot to declare is NOT PROVEN; one with a reason does not apply."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.model import Outcome
from harness.settings import load_profile
from harness.tests.stage import manifest, requirement, running, scenario


def test_a_part_that_the_profile_only_forgot_to_declare_is_not_proven(tmp_path: Path) -> None:
    cluster = replace(manifest().cluster, undeclared=frozenset({"ingress"}))
    two = (requirement(needs=["ingress"]), requirement("W1-B"))
    of_second = (scenario(needs=["ingress"], proves="W1-B"),)
    plan = manifest(cluster=cluster, requirements=two, scenarios=of_second)
    with running(tmp_path / "run", plan) as recorded:
        pass
    seen = [(it.outcome, it.reason) for it in recorded.judged().judged]
    assert seen == [(Outcome.NOT_PROVEN, "there is no ingress here")] * 2


def test_another_absent_part_with_a_reason_makes_it_not_applicable(tmp_path: Path) -> None:
    before = manifest().cluster
    absent = {**before.absent, "tls": "it is plain HTTP"}
    cluster = replace(before, absent=absent, undeclared=frozenset({"ingress"}))
    plan = manifest(cluster=cluster, requirements=(requirement(needs=["ingress", "tls"]),))
    with running(tmp_path / "run", plan) as recorded:
        pass
    assert recorded.judged().judged[0].outcome is Outcome.NOT_APPLICABLE


def test_only_words_of_the_profile_excuse_what_every_platform_has() -> None:
    contabo = load_profile("contabo")
    assert {"parity", "equality", "restore", "switch", "dump"} <= contabo.cluster().undeclared
    assert "say in `absent:`" in contabo.cluster().absent["parity"]
    told = contabo.model_copy(update={"absent": {"parity": "there is no old platform"}})
    assert "parity" not in told.cluster().undeclared
    assert told.cluster().absent["parity"] == "there is no old platform"


@pytest.mark.parametrize("name", ["lab", "lab-full"])
def test_the_lab_says_of_each_part_why_it_lacks_it(name: str) -> None:
    assert not load_profile(name).cluster().undeclared
