"""``./cutover provision nodes|disk``: prepares the machines for gates, with a plan first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from harness.commands.output import AsJson, Cluster, say, say_json
from harness.core.errors import ConfigError
from harness.core.interrupts import end_like_ctrl_c
from harness.provision import MachineResult, apply, status_of
from harness.provision import nodes as node_needs
from harness.settings import Profile, load_needs, load_profile
from harness.transport import connect
from harness.transport.reach import same_cluster

provision = typer.Typer(
    name="provision",
    help="Make the machines ready for the gates, with a plan first; nothing happens without --yes.",
    no_args_is_help=True,
)
Yes = Annotated[bool, typer.Option("--yes", help="Do what the plan says.")]
Only = Annotated[
    list[str] | None, typer.Option("--machine", help="Only this machine; can be given repeatedly.")
]


@provision.command()
def nodes(
    cluster: Cluster = "lab", machine: Only = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Install what gates need on the machines: packages, etcd's tools, the harness's user, rules.

    Example: ./cutover provision nodes --cluster contabo

    Without --yes it shows a plan: what would change on each machine, and how.
    scenarios/provision/nodes.yaml lists what is needed.

    Ends with 0 (done, or nothing to do), 2 (usage), 3 (a machine could not be reached, or something
    failed there) or 4 (--yes is missing; nothing was touched).
    """
    end_like_ctrl_c()
    profile = load_profile(cluster)
    needs = load_needs()
    names = _chosen(machine, profile)
    key = node_needs.public_key(profile.access.ssh.key)
    with connect(profile) as reach:
        tools = node_needs.etcd_tools(profile)
        lines = node_needs.apply(reach.fleet, needs, key, names, tools=tools, yes=yes)
    _end(profile.name, lines, as_json=as_json)


@provision.command()
def disk(
    cluster: Cluster = "lab",
    machine: Only = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record each machine's disk; changes none.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make the partition for Ceph's OSD in the free space after a disk's last one.

    Example: ./cutover provision disk --cluster contabo --machine vmi2887101

    First run it with --record, which writes down each machine's disk and its content; read that
    file. Then run it without options for the plan, and then with --yes. It changes only a disk that
    is exactly as recorded; if one machine's disk differs, it changes none.

    Ends with 0 (done, or nothing to do), 2 (usage), 3 (a machine or the outcome could not be seen)
    or 4 (refused, or --yes is missing; nothing was touched).
    """
    end_like_ctrl_c()
    profile = load_profile(cluster)
    wanted = profile.disks
    if wanted is None:
        raise ConfigError(
            f"the profile {profile.name} declares no new partition",
            remedy="declare it as `disks:`, as scenarios/clusters/contabo.yaml does",
        )
    names = _chosen(machine, profile)
    with connect(profile) as reach:
        lines = (
            apply.record(reach.shell, wanted, names)
            if record
            else apply.apply(
                reach.shell,
                wanted,
                names,
                yes=yes,
                before_acting=lambda: same_cluster(reach, undeclared=True),
            )
        )
    _end(profile.name, lines, as_json=as_json)


def _chosen(asked: Sequence[str] | None, profile: Profile) -> list[str]:
    """The machines that were asked for, by default all; ConfigError for an unknown one."""
    profile.require_machines(asked or ())
    return [it.name for it in profile.machines if not asked or it.name in asked]


def _end(cluster: str, lines: Sequence[MachineResult], *, as_json: bool) -> None:
    """Print the results, and end."""
    status = status_of(lines)
    if as_json:
        document = [{**asdict(line), "exit": int(line.exit)} for line in lines]
        say_json({"schema": 1, "cluster": cluster, "machines": document, "exit": int(status)})
    else:
        for line in lines:
            say(f"{line.machine}  {line.state}")
            for text in line.says:
                say("\n".join(f"    {part}" for part in text.splitlines()))
    raise typer.Exit(int(status))
