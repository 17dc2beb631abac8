"""The lab's just-built state: what waits for others does not at the first start, and does again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.lab import golden, kubernetes, machines
from harness.lab.lifecycle import Up
from harness.lab.shape import LAB, Lab, Node
from harness.settings import load_profile

LOG = Path("/dev/null")
TEMPLATE = (LAB / "machine/etc/ceph/ceph.conf").read_text()


def configured(lab: Lab, node: Node) -> dict[Path, str]:
    """The files that change, as ``lab up`` writes them."""
    return {
        golden.etcd(node): kubernetes.etcd_configuration(lab, node),
        golden.ceph(node): machines.fill(TEMPLATE, machines.words(lab, node)),
    }


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    lab = Lab.of(load_profile("lab"))
    for node in lab.nodes:
        for path, text in configured(lab, node).items():
            path.parent.mkdir(parents=True)
            path.touch(mode=0o600)
            path.write_text(text)
    return lab


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the machines' daemons are told."""
    said: list[str] = []
    monkeypatch.setattr(
        machines, "enter", lambda _, node, argv, **__: said.append(" ".join((node.name, *argv)))
    )
    return said


def test_nothing_waits_for_what_lost_power_too(lab: Lab) -> None:
    golden.start_without_waiting(lab)
    for node in lab.nodes:
        gates = yaml.safe_load(golden.etcd(node).read_text())["feature-gates"]
        assert gates == "InitialCorruptCheck=false"
        assert re.findall(r"mds_reconnect_timeout = (.*)", golden.ceph(node).read_text()) == ["1"]


@pytest.mark.parametrize("times", [0, 1, 2])
def test_afterwards_all_waits_are_as_before(lab: Lab, told: list[str], times: int) -> None:
    for _ in range(times):
        golden.start_without_waiting(lab)
    golden.wait_as_usual(lab, LOG)
    for node in lab.nodes:
        for path, text in configured(lab, node).items():
            assert path.read_text() == text
            assert path.stat().st_mode & 0o777 == 0o600
    # A daemon that runs has the setting of its start until it is told.
    assert told == [
        f"{node.name} ceph daemon mds.{node.name} config set mds_reconnect_timeout 20"
        for node in lab.nodes
    ]


def test_waits_are_as_usual_before_the_lab_is_up(lab: Lab) -> None:
    stages = {it.name: it for it in Up(lab).from_golden()}
    assert stages["usual waits"].needs == ("ceph whole",)
    assert "usual waits" not in {it.name for it in Up(lab).from_nothing()}
