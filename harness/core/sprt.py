"""A sequential test of errors: Wald's test of Bernoulli samples, one answer after the other.

The hypotheses are an error rate of at most ``p0`` (healthy) and of at least ``p1`` (sick). The sum
of the logarithms of the likelihood ratio ends the test at Wald's bounds, ln((1 - β) / α) and
ln(β / (1 - α)). They keep α / (1 - β) and β / (1 - α), and α + β together (A. Wald, Sequential
Tests of Statistical Hypotheses, Ann. Math. Statist. 16, 1945).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, log


class Health(StrEnum):
    """What a test came to; too few samples leave it undecided."""

    HEALTHY = "healthy"
    SICK = "sick"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprt:
    """A test: ``alpha`` is the risk to call a healthy side sick, ``beta`` to miss a sick one.

    A round that is undecided after ``most`` samples stays so.
    """

    p0: float
    p1: float
    alpha: float
    beta: float
    most: int

    @property
    def least(self) -> int:
        """The samples after which a side without any error is healthy; fewer decide nothing."""
        return ceil(self._healthy / self._by_answer)

    def judge(self, answers: int, errors_at: Collection[int]) -> tuple[Health, int]:
        """The health of a side after so many answers, and how many of them decided it.

        ``errors_at`` are the places of the errors, from 0. The test begins anew after each healthy
        round, for as long as there are samples: one sick round is enough.
        """
        error, answer, sick, healthy = self._by_error, self._by_answer, self._sick, self._healthy
        errors = frozenset(errors_at)
        health, decided, begun, ratio = Health.UNDECIDED, 0, 0, 0.0
        for number in range(answers):
            ratio += error if number in errors else answer
            if ratio >= sick:
                return Health.SICK, number + 1
            if ratio <= healthy:
                health, decided, begun, ratio = Health.HEALTHY, number + 1, number + 1, 0.0
            elif number + 1 - begun >= self.most:
                return Health.UNDECIDED, number + 1
        return health, decided

    @property
    def _by_error(self) -> float:
        return log(self.p1 / self.p0)

    @property
    def _by_answer(self) -> float:
        return log((1 - self.p1) / (1 - self.p0))

    @property
    def _sick(self) -> float:
        return log((1 - self.beta) / self.alpha)

    @property
    def _healthy(self) -> float:
        return log(self.beta / (1 - self.alpha))
