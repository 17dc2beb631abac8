"""The gates' needs on the machines: a plan for all machines first, then the real change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict

from harness.core.errors import ConfigError, TransportError
from harness.core.model import Exit
from harness.provision import MachineResult, MachineState
from harness.settings import NodeNeeds, Profile, read_yaml
from harness.transport import AnsibleTask, Fleet

_TASKS = Path(__file__).with_name("nodes.yaml")
_ETCD_TOOLS = Path(__file__).with_name("etcd_tools.sh")
_ETCD_PLACE = "/usr/local/lib/cutover/etcd"
_PLAN_S = 180.0
_ACT_S = 900.0
_REMEDY = "What to do: put right what this names; ./cutover doctor tries the log-in"


def public_key(key: Path) -> str:
    """The public half of the harness's key: type and key, without a comment."""
    path = key.with_name(f"{key.name}.pub")
    try:
        words = path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            remedy=f"ssh-keygen -y -f {key} > {path}",
        ) from error
    if len(words) < 2:
        raise ConfigError(f"{path} is no public key", remedy=f"ssh-keygen -y -f {key} > {path}")
    return " ".join(words[:2])


def sudoers(needs: NodeNeeds) -> str:
    """The file for /etc/sudoers.d."""
    rules = [f"{needs.user} ALL=(root) NOPASSWD: {command}\n" for command in needs.sudo]
    return "".join(
        ("# What the verification harness may do as root. Written by cutover.\n", *rules)
    )


class EtcdTools(TypedDict):
    """A script, its arguments, and the machines that run it."""

    script: str
    arguments: list[str]
    machines: list[str]


def etcd_tools(profile: Profile) -> EtcdTools:
    """The commands that take etcd and etcdutl from the declared image, and their servers."""
    image = profile.kubernetes.etcd_tools_image
    return {
        "script": _ETCD_TOOLS.read_text(encoding="utf-8"),
        "arguments": [_ETCD_PLACE, image or "", *profile.commands.ctr],
        "machines": [it.name for it in profile.cluster().servers] if image else [],
    }


def apply(
    fleet: Fleet,
    needs: NodeNeeds,
    key: str,
    machines: Sequence[str],
    *,
    tools: EtcdTools,
    yes: bool,
) -> list[MachineResult]:
    """Plan on all machines; act only when each could be planned and ``yes`` is given.

    ``tools`` is the result of ``etcd_tools``.
    """
    tasks = read_yaml(_TASKS)
    variables = {
        "packages": sorted(needs.packages),
        "user": needs.user,
        "key": key,
        "sudoers": sudoers(needs),
        "etcd_tools": dict(tools),
    }

    def asked(*, check: bool) -> Mapping[str, Sequence[AnsibleTask] | TransportError]:
        within_s = _PLAN_S if check else _ACT_S
        return fleet.apply(tasks, variables, machines=machines, check=check, within_s=within_s)

    results = _results(asked(check=True), MachineState.PLANNED)
    if any(result.state is MachineState.FAILED for result in results):
        return results
    if all(result.state is MachineState.OK for result in results):
        return results
    if yes:
        return _results(asked(check=False), MachineState.DONE)
    return [_unless_agreed(result) for result in results]


def _results(
    told: Mapping[str, Sequence[AnsibleTask] | TransportError], state_of_changes: MachineState
) -> list[MachineResult]:
    return [_result(machine, steps, state_of_changes) for machine, steps in told.items()]


def _result(
    machine: str, steps: Sequence[AnsibleTask] | TransportError, changes: MachineState
) -> MachineResult:
    failed = partial(
        MachineResult, machine=machine, state=MachineState.FAILED, exit=Exit.NOT_PROVEN
    )
    if isinstance(steps, TransportError):
        return failed(says=(str(steps),))
    if not steps:
        return failed(says=("Ansible did nothing there",))
    if steps[-1].failed:
        return failed(says=(*_said(steps), _REMEDY))
    if any(step.changed for step in steps):
        return MachineResult(machine=machine, state=changes, says=tuple(_said(steps)))
    says = f"all {len(steps)} tasks found it as it must be: nothing to do"
    return MachineResult(machine=machine, state=MachineState.OK, says=(says,))


def _said(steps: Sequence[AnsibleTask]) -> Sequence[str]:
    """Changes and failures, with their diffs."""
    said = []
    for step in steps:
        if step.changed or step.failed:
            said.append(f"{step.task}: {step.says}" if step.says else step.task)
            said += [f"  {line}" for line in step.diff]
    return said


def _unless_agreed(result: MachineResult) -> MachineResult:
    if result.state is not MachineState.PLANNED:
        return result
    return replace(result, says=(*result.says, "not done: it needs --yes"), exit=Exit.REFUSED)
