"""What gates need on the machines: what Ansible says becomes a plan, and nothing without --yes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.core.errors import ConfigError, TimedOut, TransportError, Unreachable
from harness.core.model import Exit
from harness.probes.scripts import snapshot_script
from harness.provision import MachineState, nodes, status_of
from harness.settings import NodeNeeds, load_needs, load_profile, read_yaml
from harness.tests.fake_transport import FakeFleet
from harness.transport import AnsibleTask
from harness.transport.ansible_events import TaskResults, hear_event

SAME = (AnsibleTask(task="packages", changed=False), AnsibleTask(task="user", changed=False))
NEW = (*SAME, AnsibleTask(task="sudo rules", changed=True, diff=("-old", "+new")))
BROKEN = (*SAME, AnsibleTask(task="sudo rules", changed=False, failed=True, says="visudo: no"))
Prepared = Mapping[tuple[str, bool], Sequence[AnsibleTask] | TransportError]


def provided(steps: Prepared, *, yes: bool) -> tuple[FakeFleet, list[Any]]:
    fleet = FakeFleet(steps=steps)
    machines = sorted({machine for machine, _ in steps})
    tools = nodes.etcd_tools(load_profile("contabo"))
    key = "ssh-ed25519 AAAA"
    return fleet, nodes.apply(fleet, load_needs(), key, machines, tools=tools, yes=yes)


def test_without_yes_the_plan_is_said_and_nothing_is_done() -> None:
    fleet, (line,) = provided({("m1", True): NEW}, yes=False)
    assert (line.state, line.exit) == (MachineState.PLANNED, Exit.REFUSED)
    assert line.says == ("sudo rules", "  -old", "  +new", "not done: it needs --yes")
    assert fleet.applied == [True]


def test_with_yes_the_plan_comes_first_and_then_the_act() -> None:
    fleet, (line,) = provided({("m1", True): NEW, ("m1", False): NEW}, yes=True)
    assert (line.state, line.exit) == (MachineState.DONE, Exit.GO)
    assert fleet.applied == [True, False]


def test_where_nothing_is_to_be_done_nothing_is_done() -> None:
    fleet, (line,) = provided({("m1", True): SAME}, yes=True)
    assert (line.state, line.exit) == (MachineState.OK, Exit.GO)
    assert "nothing to do" in line.says[0]
    assert fleet.applied == [True]


@pytest.mark.parametrize("silent", [Unreachable("m2: no route"), (), BROKEN])
def test_a_machine_without_a_plan_keeps_every_other_from_being_touched(
    silent: Sequence[AnsibleTask] | TransportError,
) -> None:
    fleet, lines = provided({("m1", True): NEW, ("m2", True): silent}, yes=True)
    assert [line.state for line in lines] == [MachineState.PLANNED, MachineState.FAILED]
    assert status_of(lines) is Exit.NOT_PROVEN
    assert fleet.applied == [True]


def test_an_act_that_fails_says_where_and_why() -> None:
    _, (line,) = provided({("m1", True): NEW, ("m1", False): BROKEN}, yes=True)
    assert (line.state, line.exit) == (MachineState.FAILED, Exit.NOT_PROVEN)
    assert line.says[0] == "sudo rules: visudo: no"
    assert line.says[1].startswith("What to do: ")


# --- what is brought ----------------------------------------------------------------------------


def test_the_user_may_do_what_is_listed_and_nothing_else() -> None:
    needs = load_needs()
    rules = [line for line in nodes.sudoers(needs).splitlines() if not line.startswith("#")]
    assert rules == [f"{needs.user} ALL=(root) NOPASSWD: {command}" for command in needs.sudo]


@pytest.mark.parametrize("command", ["ALL", "/bin/sh, ALL", "/bin/x\nALL", "!/bin/sh", "id"])
def test_a_rule_that_would_allow_more_than_one_command_is_no_rule(command: str) -> None:
    with pytest.raises(ValidationError):
        NodeNeeds.model_validate({"schema": 1, "packages": {}, "user": "u", "sudo": [command]})


def test_every_task_that_only_plans_or_only_acts_says_so() -> None:
    for task in read_yaml(Path(nodes.__file__).with_name("nodes.yaml")):
        if "ansible.builtin.command" in task:
            only = "ansible_check_mode" in str(task.get("when"))
            assert only or task["changed_when"] is False, task["name"]


def test_the_public_key_is_read_without_its_comment(tmp_path: Path) -> None:
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA me@here\n")
    assert nodes.public_key(tmp_path / "id") == "ssh-ed25519 AAAA"
    (tmp_path / "id.pub").write_text("\n")
    with pytest.raises(ConfigError, match="no public key"):
        nodes.public_key(tmp_path / "id")
    with pytest.raises(ConfigError, match="cannot read"):
        nodes.public_key(tmp_path / "other")


CTR = """#!/bin/sh
echo "$*" >>calls
case "$2" in mount) mkdir -p "$4/usr/local/bin"; cd "$4/usr/local/bin"; touch etcd etcdutl ;;
unmount) rm -r "$4/usr" ;; esac
"""


def test_etcds_tools_are_taken_out_of_the_declared_image_once(tmp_path: Path) -> None:
    (tmp_path / "ctr").write_text(CTR)
    place, image = tmp_path / "etcd", "registry.k8s.io/etcd@sha256:abc"
    script = nodes.etcd_tools(load_profile("contabo"))["script"]

    def bring(how: str, image: str) -> int:
        words = [how, str(place), image, "sh", str(tmp_path / "ctr")]
        return subprocess.run(["sh", "-c", script, "bring", *words], cwd=tmp_path).returncode

    assert bring("plan", image) == 10
    assert not place.exists()
    assert bring("act", image) == 10
    assert {path.name for path in place.iterdir()} == {"etcd", "etcdutl", "image"}
    assert (place / "etcdutl").stat().st_mode & 0o777 == 0o755
    called = (tmp_path / "calls").read_text()
    assert f"images pull {image}" in called
    assert "images unmount --rm" in called
    assert (bring("plan", image), bring("act", image)) == (0, 0)
    assert bring("plan", "registry.k8s.io/etcd@sha256:def") == 10


def test_only_servers_get_etcds_tools_and_none_where_no_image_is_declared() -> None:
    contabo = load_profile("contabo")
    tools = nodes.etcd_tools(contabo)
    assert len(tools["machines"]) == 3
    assert tools["arguments"][0] == snapshot_script.BROUGHT
    kubernetes = contabo.kubernetes.model_copy(update={"etcd_tools_image": None})
    without = contabo.model_copy(update={"kubernetes": kubernetes})
    assert nodes.etcd_tools(without)["machines"] == []


# --- what Ansible says --------------------------------------------------------------------------


def event(kind: str, host: str = "m1", task: str = "user", **said: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": host, "task": task, "res": said}}


ENDED = {"event": "playbook_on_stats", "event_data": {"processed": {"m1": 1}, "dark": {}}}


def test_a_change_comes_with_its_command_its_difference_and_what_it_said() -> None:
    heard = TaskResults()
    for it in (
        event("runner_on_ok", changed=False, cmd=["dpkg-query"], stderr="no path"),
        event("runner_on_ok", changed=True, cmd=["apt-get", "install", "fio"], stderr="E: none"),
        event("runner_on_ok", changed=True, diff={"before": "a\nb\n", "after": "a\nc\n"}),
        event("runner_on_ok", changed=True, diff=[{"before": {"mode": 1}, "after": {"mode": 2}}]),
        event("runner_on_skipped"),
        event("runner_on_failed", msg="cannot"),
        ENDED,
    ):
        assert hear_event(heard.event, it) is False
    assert heard.ended == {"m1"}
    assert heard.results["m1"] == [
        AnsibleTask(task="user", changed=False, says="no path"),
        AnsibleTask(task="user", changed=True, says="apt-get install fio; E: none"),
        AnsibleTask(task="user", changed=True, diff=("-b", "+c")),
        AnsibleTask(task="user", changed=True, diff=("-mode: 1", "+mode: 2")),
        AnsibleTask(task="user", changed=False, failed=True, says="cannot"),
    ]


def test_a_play_that_did_not_end_is_no_answer() -> None:
    heard = TaskResults()
    hear_event(heard.event, event("runner_on_ok", changed=False))
    hear_event(heard.event, event("runner_on_unreachable", host="m2", msg="no route"))
    assert heard.ended == set()
    assert isinstance(heard.why_not("m1", 0.0), TimedOut)
    assert isinstance(heard.why_not("m2", 0.0), Unreachable)
