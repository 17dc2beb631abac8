"""The exit status of everything: what a decision ends with, and what an error ends with."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import ConfigError, Refused, Unhealed
from harness.model import Decision, Exit

OF_DECISION: Mapping[Decision, Exit] = {
    Decision.GO: Exit.GO,
    Decision.GO_WITH_WAIVERS: Exit.GO,
    Decision.NO_GO: Exit.NO_GO,
    Decision.NOT_PROVEN: Exit.NOT_PROVEN,
    Decision.REFUSED: Exit.REFUSED,
    Decision.UNHEALED: Exit.UNHEALED,
}


def of_error(error: BaseException) -> Exit:
    """What a command ends with after an error; one without a status of its own proves nothing."""
    if isinstance(error, ConfigError):
        return Exit.USAGE
    if isinstance(error, Refused):
        return Exit.REFUSED
    return Exit.UNHEALED if isinstance(error, Unhealed) else Exit.NOT_PROVEN
