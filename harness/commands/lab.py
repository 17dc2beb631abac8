"""``./cutover lab …``: the embedded lab's lifecycle, and the power of its machines."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from harness.commands.output import AsJson, Cluster, Progress, say, say_json
from harness.core.model import Exit
from harness.lab import lifecycle, machines
from harness.lab.network import inside
from harness.lab.shape import Lab
from harness.lab.status import status as look
from harness.settings import load_profile

lab = typer.Typer(
    name="lab",
    help="The embedded lab: three machines on this one, with real Kubernetes and Ceph.",
    no_args_is_help=True,
)
NoInstall = Annotated[
    bool, typer.Option("--no-install", help="List missing Debian packages instead of installing.")
]
MachineName = Annotated[str, typer.Argument(help="A machine, such as vmi2887102.")]


def _lab(cluster: str) -> Lab:
    return Lab.of(load_profile(cluster))


def _done(lab: Lab, what: str, *, as_json: bool) -> None:
    if as_json:
        say_json({"schema": 1, "lab": lab.name, "done": what})
    else:
        say(f"lab {lab.name}: {what}")


@lab.command()
def up(cluster: Cluster = "lab", no_install: NoInstall = False, as_json: AsJson = False) -> None:
    """Build missing parts, boot the machines and wait until the lab is whole; may be repeated.

    Example: ./cutover lab up --cluster lab
    """
    one = _lab(cluster)
    with Progress() as progress:
        lifecycle.up(one, progress.tell, install=not no_install)
    _done(one, "up and whole", as_json=as_json)


@lab.command()
def down(cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Remove every process, mount, disk and network of the lab; only the build cache stays.

    Example: ./cutover lab down
    """
    one = _lab(cluster)
    with Progress() as progress:
        lifecycle.down(one, progress.tell)
    _done(one, "down", as_json=as_json)


@lab.command()
def reset(cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Return every machine to the state in which the lab was built.

    Example: ./cutover lab reset
    """
    one = _lab(cluster)
    with Progress() as progress:
        lifecycle.reset(one, progress.tell)
    _done(one, "as just built, and whole", as_json=as_json)


@lab.command()
def status(cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Show the machines' power, whether the lab is whole, and what it uses.

    Example: ./cutover lab status --json

    Ends with 0 when all is whole, else with 3.
    """
    seen = look(_lab(cluster))
    if as_json:
        say_json(seen.document())
    else:
        for line in seen.lines():
            say(line)
    raise typer.Exit(int(Exit.GO if seen.whole else Exit.NOT_PROVEN))


@lab.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def ssh(context: typer.Context, machine: MachineName, cluster: Cluster = "lab") -> None:
    """Open a shell on a machine, or run one command, over SSH like an operator.

    Example: ./cutover lab ssh vmi2887101 -- systemctl status rke2-server
    """
    one = _lab(cluster)
    node, access = one.node(machine), one.profile.access.ssh
    command = [
        *inside(one),
        "ssh",
        *("-i", str(access.key)),
        *("-o", f"UserKnownHostsFile={access.known_hosts}"),
        *("-o", "StrictHostKeyChecking=yes"),
        f"{access.user}@{node.address}",
        *context.args,
    ]
    os.execvp(command[0], command)


@lab.command("power-off")
def power_off(machine: MachineName, cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Cut the power: SIGKILL to the machine's PID 1, without a shutdown.

    Example: ./cutover lab power-off vmi2887102
    """
    one = _lab(cluster)
    lifecycle.require_root()
    with lifecycle.locked(one, alone=False):
        machines.power_off(one, one.node(machine))
    _done(one, f"{machine} is off", as_json=as_json)


@lab.command("power-on")
def power_on(machine: MachineName, cluster: Cluster = "lab", as_json: AsJson = False) -> None:
    """Boot a machine that is off; returns when its systemd has finished starting.

    Example: ./cutover lab power-on vmi2887102
    """
    one = _lab(cluster)
    lifecycle.require_root()
    with lifecycle.locked(one, alone=False):
        lifecycle.power_on(one, one.node(machine))
    _done(one, f"{machine} is on", as_json=as_json)
