"""A machine is rebooted, properly: every service is told to stop."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import ClassVar, Self

from harness.faults import seen
from harness.faults.fault import Fault
from harness.faults.model import EVERYTHING, Act, Argv, Takes
from harness.transport import Reach


class Reboot(Fault):
    """Reboot a machine; it comes back by itself, so there is nothing to take back.

    ``boot`` is the boot that is ended, as the API knows it.
    """

    name: ClassVar[str] = "reboot"
    takes: ClassVar[frozenset[Takes]] = EVERYTHING
    seen_within_s: ClassVar[float] = 180.0
    gone_within_s: ClassVar[float] = 300.0
    at_once: ClassVar[bool] = False

    boot: str = ""

    def resolved(self, reach: Reach, draw: Random) -> Self:  # noqa: ARG002 (nothing is drawn)
        return self.model_copy(update={"boot": self._boot_now(reach)})

    def acts(self, reach: Reach) -> Iterable[Act]:  # noqa: ARG002
        # Later, so that our own connection is closed before sshd is.
        reboot = ("systemd-run", "--on-active=1s", "systemctl", "reboot")
        yield Act(place=self.machine, argv=reboot)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:  # noqa: ARG002
        return self.machine, []

    def active(self, reach: Reach) -> bool:
        """Another boot than before says so too, when the machine was back before anyone looked."""
        return not seen.answers_peer(reach, self.machine) or self._boot_now(reach) != self.boot

    def healed(self, reach: Reach) -> bool:
        return self._boot_now(reach) != self.boot and seen.is_ready(reach, self.machine)

    def _boot_now(self, reach: Reach) -> str:
        return str(seen.node(reach, self.machine)["status"]["nodeInfo"]["bootID"])
