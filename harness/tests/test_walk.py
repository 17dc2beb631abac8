"""The steps of a switch: what was begun is taken back, last first, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import Unreachable
from harness.core.interrupts import BY_HAND
from harness.facts.switch import Step
from harness.move.side import NotMet
from harness.move.walk import Planned, walk

ENDINGS: dict[str, Callable[[], BaseException]] = {
    "not met": lambda: NotMet("too late"),
    "not known": lambda: Unreachable("no answer"),
    "by hand": KeyboardInterrupt,
}


@given(
    number=st.integers(1, len(Step)),
    fails_at=st.none() | st.integers(0, len(Step) - 1),
    ending=st.sampled_from(sorted(ENDINGS)),
    stuck=st.sets(st.integers(0, len(Step) - 1)),
)
def test_every_step_that_was_begun_is_taken_back_once_and_in_the_opposite_order(
    number: int, fails_at: int | None, ending: str, stuck: set[int]
) -> None:
    acts: list[int] = []
    backs: list[int] = []

    def planned(at: int, step: Step) -> Planned:
        def act() -> str:
            acts.append(at)
            if at == fails_at:
                raise ENDINGS[ending]()
            return "seen"

        def back() -> None:
            backs.append(at)
            if at in stuck:
                raise Unreachable("no answer")

        return Planned(step=step, act=act, back=back)

    steps = list(Step)[:number]
    walked = walk([planned(at, step) for at, step in enumerate(steps)], lambda _: None)
    if fails_at is None or fails_at >= number:
        assert (acts, backs, walked.stopped) == ([*range(number)], [], None)
        assert [it.step for it in walked.taken] == steps
        return
    assert acts == [*range(fails_at + 1)]
    assert backs == [*reversed(acts)]
    assert [it.step for it in walked.taken] == steps[:fails_at]
    assert walked.stopped is not None
    assert walked.stopped.step is steps[fails_at]
    assert walked.stopped.at_fault == (ending == "not met")
    assert (walked.stopped.says == BY_HAND) == (ending == "by hand")
    assert len(walked.stopped.stuck) == len(stuck & {*acts})
