"""The traffic's move from the old platform (source) to the new one (target), step by step.

A share is the target's, in percent of the requests at the front. All durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.core.sprt import Health, Sprt
from harness.facts.drills import TallyFacts
from harness.facts.schema import Fact, OrUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The declared limits: the test of errors, and the target's p99.

    That is at most ``p99_ratio`` times the source's, or ``p99_floor_ms``.
    """

    test: Sprt
    p99_ratio: float
    p99_floor_ms: float

    def p99_limit(self, reference_ms: float) -> float:
        """The limit of the target's p99 beside this one of the source, in milliseconds."""
        return max(self.p99_floor_ms, self.p99_ratio * reference_ms)

    def health(self, side: Side) -> Health:
        """What the test of errors finds in the answers of a side."""
        return self.test.judge(side.answers, side.errors_at)[0]

    def is_sick(self, side: Side) -> bool:
        """True if too many answers of a side fail."""
        return self.health(side) is Health.SICK

    def is_stuck(self, side: Side) -> bool:
        """True if a round of the test came to no end: it judges none of the answers after it."""
        health, judged = self.test.judge(side.answers, side.errors_at)
        return health is Health.UNDECIDED and judged > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The answers of one side in a window, in the order in which they came.

    ``errors_at`` are the places of the failed ones, from 0; ``errors`` counts them by kind.
    ``p99_ms`` is None for fewer than a hundred answers.
    """

    answers: int = 0
    errors_at: tuple[int, ...] = ()
    errors: Mapping[str, int]
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The requests through the front in one time: all of them, and those of each side.

    An error often names no side; it is in ``front`` alone. ``nameless`` are good answers that name
    no side, ``limited`` the requests with 429, which are in none of the others. ``stalled_s`` is
    the longest time for which the harness itself stood still.
    """

    lasted_s: float
    front: Side
    source: Side
    target: Side
    nameless: int = 0
    limited: int = 0
    stalled_s: float = 0.0

    @property
    def named(self) -> int:
        """The answers that name a side."""
        return self.source.answers + self.target.answers

    @property
    def measured_percent(self) -> float | None:
        """The target's share of the answers that name a side; None without any."""
        return 100 * self.target.answers / self.named if self.named else None


class Quality(StrEnum):
    """What the answers of a step came to."""

    GOOD = "good"
    SICK = "sick"
    SLOW = "slow"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One share, held until it was judged.

    ``reads`` is the share that the front itself reports, ``shown_s`` the time from the command to
    the first of the answers that show the share; None if they never did. ``reference_p99_ms`` is
    the source's p99 in this window, or in the last one with enough of its answers.
    """

    share: int
    reads: int
    shown_s: float | None
    window: Window
    reference_p99_ms: float | None
    quality: Quality
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The way back from one share to a safe one.

    ``first_error_s`` is the time from the step's first error to the decision; None without one.
    ``set_s`` is the time from the decision until the front had the command, ``back_s`` until the
    first of the answers that show the safe share; None: they never did. ``after`` are the answers
    since then, or since the decision; ``left_behind`` the sessions that the target still served,
    ``unserved`` those that got no good answer.
    """

    from_share: int
    to_share: int
    because: str
    first_error_s: float | None
    set_s: float | None
    back_s: float | None
    after: Window | None
    left_behind: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()

    @property
    def is_unseen(self) -> bool:
        """True if no answer told of the share, and that is not the platforms' doing.

        The command did not reach the front either, or the front limits this one address.
        """
        after = self.after
        if self.back_s is not None or after is None or after.named:
            return False
        return self.set_s is None or after.limited > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Visitors who are logged in all the way. ``lost``: who was logged out, and at which share.

    ``silent`` are those without any good answer after the last change. ``renewed``: how often a
    visitor logged in anew, as its session had lasted for as long as the platform lets it.
    ``answers`` has those to their pages, without log-outs.
    """

    visitors: int
    requests: int
    failed: int
    lost: Mapping[str, str]
    silent: tuple[str, ...]
    renewed: int = 0
    answers: Window | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How often something had happened before the first step, and after the last."""

    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReturn:
    """The point of no return: from a share on, what is counted may happen.

    ``needs`` says of each thing that the way back needs why it is not there, or is empty.
    ``counts`` has, of each event that passes the point, its number before and after. ``agreed``
    names the person who agreed to pass it.
    """

    from_share: int
    needs: Mapping[str, str]
    counts: Mapping[str, OrUnknown[Count]]
    agreed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """The steps that were to be taken, and how each went.

    ``rehearsal``: the share was brought back from every step. ``before`` is the share at the
    beginning, judged, or None if the only order was to go back; ``left`` the share at the end, None
    if the front could not be asked.
    ``stopped``: why it ended early. ``sessions`` is None if no visitors are declared. ``ledger``
    has the tally of each kind of writer over the whole time. ``writes`` has the answers to those
    through the front, if they are declared; ``writers_renewed`` is how often one of their writers
    logged in anew, as a visitor does.
    """

    ordered: tuple[int, ...]
    rehearsal: bool
    rules: Rules
    before: Step | None
    steps: tuple[Step, ...]
    returns: tuple[Return, ...]
    sessions: OrUnknown[Sessions] | None
    no_return: NoReturn
    ledger: Mapping[str, TallyFacts]
    left: int | None
    stopped: str | None = None
    by_hand: bool = False
    writes: Window | None = None
    writers_renewed: int = 0

    @property
    def is_back(self) -> bool:
        """True if the only order was to go back."""
        return self.ordered == (0,)

    @property
    def stays(self) -> bool:
        """True if the last share is to stay: every step was taken, on command."""
        return not (self.rehearsal or self.is_back or self.stopped)


SHIFT = Fact("shift", Shift)
