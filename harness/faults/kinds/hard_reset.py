"""A machine is reset, as by its button: nothing is stopped or written first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from harness.faults.kinds.reboot import Reboot
from harness.faults.kinds.skew_clock import container_of
from harness.faults.model import Act
from harness.transport import Reach


class HardReset(Reboot):
    """Let a machine's kernel reset it at once (sysrq ``b``); it comes back by itself.

    Needs no `power:` of the profile. A machine whose power is cut (power-off) stays away until
    somebody gives it back; this one does not.
    """

    name: ClassVar[str] = "hard-reset"

    def refuse(self, reach: Reach) -> str | None:
        kind = container_of(reach, self.machine)
        if kind is None:
            return None
        return f"{self.machine} is a container ({kind}): its kernel is the host's, and stays up"

    def acts(self, reach: Reach) -> Iterable[Act]:
        # Later, so that our own connection has its answer.
        reset = ("systemd-run", "--on-active=1s", "sh", "-c", "echo b > /proc/sysrq-trigger")
        yield Act(place=self.machine, argv=reset)
