"""A machine is rebooted in an orderly way: systemd stops every service."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.faults import observers
from harness.faults.kinds.booting import Booting
from harness.faults.model import Act, Argv
from harness.transport import Reach
from harness.transport.objects import must


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
