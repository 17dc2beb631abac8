"""A machine is reset, as by its button: nothing is stopped or written first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from harness.faults.kinds.reboot import Reboot
from harness.faults.kinds.skew_clock import container_of
from harness.faults.model import Act
from harness.transport import Reach


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
