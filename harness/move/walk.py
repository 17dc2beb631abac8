"""Takes steps one after the other; the first that fails turns back, through all that were begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.core.errors import in_words
from harness.core.interrupts import BY_HAND, uninterrupted
from harness.facts.switch import Step, StepTaken, Stopped
from harness.move.side import NotMet


def _nothing() -> None:
    """A step that changes nothing has nothing to take back."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A step: ``act`` returns what was seen, ``back`` takes it back and may be called at any time.

    ``act`` raises NotMet if its condition does not hold in time, and any other error if that cannot
    be told.
    """

    step: Step
    act: Callable[[], str]
    back: Callable[[], object] = _nothing


@dataclass
class Walked:
    """The steps that were taken, and why there are no more."""

    taken: list[StepTaken] = field(default_factory=list)
    stopped: Stopped | None = None


def walk(planned: Sequence[Planned], tell: Callable[[str], object]) -> Walked:
    """Take the steps; the first that fails, or Ctrl-C, takes back all that were begun, last first.

    A way back that fails does not keep the earlier ones from being taken.
    """
    walked = Walked()
    begun: list[Planned] = []
    try:
        for it in planned:
            tell(str(it.step))
            begun.append(it)
            began = time.monotonic()
            says = it.act()
            walked.taken.append(StepTaken(it.step, round(time.monotonic() - began, 3), says))
    except NotMet as error:
        walked.stopped = _back(begun, tell, str(error), at_fault=True)
    except Exception as error:  # a defect of the harness too: it must not leave a side frozen
        walked.stopped = _back(begun, tell, in_words(error), at_fault=False)
    except KeyboardInterrupt:
        walked.stopped = _back(begun, tell, BY_HAND, at_fault=False)
    return walked


def _back(
    begun: Sequence[Planned], tell: Callable[[str], object], says: str, *, at_fault: bool
) -> Stopped:
    stuck = []
    with uninterrupted():
        for it in reversed(begun):
            tell(f"taking back: {it.step}")
            try:
                it.back()
            except NotMet as error:
                stuck.append(f"{it.step}: {error}")
            except Exception as error:
                stuck.append(f"{it.step}: {in_words(error)}")
    return Stopped(begun[-1].step, says, at_fault, tuple(stuck))
