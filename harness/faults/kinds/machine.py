"""Faults of a whole machine: it loses its power, boots, or has a wrong clock."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from datetime import datetime
from random import Random
from typing import ClassVar, Self

from pydantic import Field

from harness.core.errors import NotProven
from harness.faults import commands, observers
from harness.faults.fault import Fault
from harness.faults.model import EVERYTHING, LOCAL, Act, Argv, BlastRadius
from harness.transport import Reach
from harness.transport.objects import listed, must

# A power command may wait for its machine.
_POWER_S = 150.0
# Debian's chrony, Red Hat's, and systemd's own.
_CLOCKS = ("chrony", "chronyd", "systemd-timesyncd")
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
# A node renews its Lease every 10 s, by its own clock: a smaller skew is not seen.
_LEAST_SKEW_S = 60


class Booting(Fault, ABC):
    """A fault after which a machine boots.

    If a machine is back before the API marks it NotReady, the API reports it and its pods as Ready
    all the time, until its kubelet updates them. ``started`` are the start times of its containers
    before the fault, by the machine's own clock. That clock may jump when the machine boots: a
    container is new if its time is not among them, and not only if it is later.
    """

    blast_radius: ClassVar[frozenset[BlastRadius]] = EVERYTHING
    gone_within_s: ClassVar[float] = 300.0
    at_once: ClassVar[bool] = False

    started: tuple[str, ...] = ()

    def resolved(self, reach: Reach, draw: Random) -> Self:
        before = tuple(sorted({*observers.started(reach, self.machine)}))
        return self.model_copy(update={"started": before})

    def healed(self, reach: Reach) -> bool:
        """The machine answers and is Ready, and the API lists no container from before the boot."""
        return (
            observers.answers_peer(reach, self.machine)
            and observers.is_ready(reach, self.machine)
            and not {*self.started} & {*observers.started(reach, self.machine)}
        )


class PowerOff(Booting):
    """Cut a machine's power with the profile's command, without a shutdown."""

    name: ClassVar[str] = "power-off"
    undo_within_s: ClassVar[float] = _POWER_S

    def refuse(self, reach: Reach) -> str | None:
        if reach.profile.power is None:
            return (
                "the profile has no power commands: set in `power:` which command cuts a "
                "machine's power and which restores it"
            )
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        if reach.profile.power is not None:
            cut = self._named(reach.profile.power.cut)
            yield Act(place=LOCAL, argv=cut, within_s=_POWER_S)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        power = reach.profile.power
        return LOCAL, [] if power is None else [self._named(power.restore)]

    def active(self, reach: Reach) -> bool:
        return not observers.answers_peer(reach, self.machine)

    def _named(self, command: Argv) -> Argv:
        return tuple(word.replace("{machine}", self.machine) for word in command)


class Reboot(Booting):
    """Reboot a machine; it comes back by itself, so the undo has no commands.

    ``boot`` is the boot ID before the fault, as the API reports it.
    """

    name: ClassVar[str] = "reboot"
    seen_within_s: ClassVar[float] = 180.0

    boot: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:
        boot = {"boot": self._boot_now(reach)}
        return super().resolved(reach, draw).model_copy(update=boot)

    def acts(self, reach: Reach) -> Iterable[Act]:
        # 1 s later, so that the harness's own connection is closed before sshd stops.
        reboot = ("systemd-run", "--on-active=1s", "systemctl", "reboot")
        yield Act(place=self.machine, argv=reboot)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        return self.machine, []

    def active(self, reach: Reach) -> bool:
        """No ping answer, or a new boot ID if the machine was back before the first look."""
        return not observers.answers_peer(reach, self.machine) or self._boot_now(reach) != self.boot

    def healed(self, reach: Reach) -> bool:
        return self._boot_now(reach) != self.boot and super().healed(reach)

    def _boot_now(self, reach: Reach) -> str:
        return must(observers.node(reach, self.machine), "status", "nodeInfo", "bootID")


class HardReset(Reboot):
    """Reset a machine at once through its kernel (sysrq ``b``); it comes back by itself.

    Needs no `power:` of the profile. After power-off, a machine stays down until its power is
    restored; after hard-reset it boots at once.
    """

    name: ClassVar[str] = "hard-reset"

    def refuse(self, reach: Reach) -> str | None:
        kind = container_of(reach, self.machine)
        if kind is None:
            return None
        return f"{self.machine} is a container ({kind}): a reset would hit the host's kernel"

    def acts(self, reach: Reach) -> Iterable[Act]:
        # 1 s later, so that the harness's own connection gets its answer first.
        reset = ("systemd-run", "--on-active=1s", "sh", "-c", "echo b > /proc/sysrq-trigger")
        yield Act(place=self.machine, argv=reset)


class SkewClock(Fault):
    """Stop a machine's time service and set its clock ``seconds`` forward (below 0: back).

    ``service`` is the unit that sets its time. Programs on the machine that sign or check dates see
    the wrong time meanwhile; data written then keeps it.
    """

    name: ClassVar[str] = "skew-clock"
    # A monitor whose clock is wrong is left out of the quorum.
    blast_radius: ClassVar[frozenset[BlastRadius]] = frozenset(
        {BlastRadius.NODE, BlastRadius.MONITOR}
    )
    gone_within_s: ClassVar[float] = 120.0
    undo_within_s: ClassVar[float] = 75.0  # chronyc asks every second, sixty times at most
    at_once: ClassVar[bool] = False  # the time service must synchronize first

    seconds: int = Field(ge=-86400, le=86400)
    service: str = ""

    @property
    def target(self) -> str:
        return f"{self.machine} by {self.seconds:+d} s"

    def resolved(self, reach: Reach, draw: Random) -> Self:
        for unit in _CLOCKS:
            if commands.is_active(reach, self.machine, unit):
                return self.model_copy(update={"service": unit})
        return self

    def refuse(self, reach: Reach) -> str | None:
        kind = container_of(reach, self.machine)
        if kind is not None:
            return f"{self.machine} is a container ({kind}): its clock is the host's"
        if not self.service:
            return f"{self.machine} runs no known time service ({', '.join(_CLOCKS)})"
        if abs(self.seconds) < _LEAST_SKEW_S:
            return (
                f"{self.seconds:+d} s could not be observed: at least {_LEAST_SKEW_S} s are needed"
            )
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=self.machine, argv=("systemctl", "stop", self.service))
        yield Act(place=self.machine, argv=("date", f"--set={self.seconds:+d} seconds"))

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        argvs = [commands.start_again(self.service)]
        if self.service != "systemd-timesyncd":  # which steps by itself
            argvs += [("chronyc", "waitsync", "60", "0", "0", "1"), ("chronyc", "makestep")]
        return self.machine, argvs

    def active(self, reach: Reach) -> bool:
        return abs(self._ahead_s(reach)) > abs(self.seconds) / 2

    def healed(self, reach: Reach) -> bool:
        return abs(self._ahead_s(reach)) < _LEAST_SKEW_S / 2

    def _ahead_s(self, reach: Reach) -> float:
        """How far the machine's Lease is ahead of the newest other one, each by its own clock."""
        told = {
            must(it, "metadata", "name"): datetime.fromisoformat(must(it, "spec", "renewTime"))
            for it in listed(reach.kube.get(_LEASES), "items")
        }
        mine = told.pop(self.machine, None)
        if mine is None or not told:
            raise NotProven(f"no Lease in kube-node-lease of {self.machine} and of another machine")
        return (mine - max(told.values())).total_seconds()


def container_of(reach: Reach, machine: str) -> str | None:
    """The kind of container that a machine is; None if it is no container."""
    found = commands.unless(reach, machine, "systemd-detect-virt", "--container", no=(1,))
    return None if found is None else found.strip()
