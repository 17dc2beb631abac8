"""A machine loses its power, and boots when the undo restores it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from harness.faults import observers
from harness.faults.kinds.booting import Booting
from harness.faults.model import LOCAL, Act, Argv
from harness.transport import Reach

# A power command may wait for its machine.
_POWER_S = 150.0


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
