"""What the answers of a window say of a share: whether it shows, and how the platforms answered.

The move asks it while a step lasts, and the checks ask again from the journal.
"""

from __future__ import annotations

from math import ceil, exp, inf, lgamma, log, sqrt
from typing import NamedTuple

from harness.core.sprt import Health
from harness.facts.shift import Quality, Rules, Side, Window

# A measured share may differ from the one that was set by so many standard deviations, and by half
# a percent: fronts that count weights in whole rounds are more exact than chance.
_DEVIATIONS = 4.0
_ROUNDING_PERCENT = 0.5
# Errors became fewer when the share was back, if chance alone has it so in one of twenty moves.
_BY_CHANCE = 0.05
# What customers do beside the sampled requests.
WRITES, PAGES = "writes through the front", "pages of visitors"


def shows(share: int, target: int, answers: int) -> bool:
    """True if so many of the target among all answers show a share, as far as chance allows.

    The measured part differs from the share p by at most 4 √(p (1 - p) / answers) and half a
    percent; 0 and 100 % allow no answer of the other side.
    """
    if not answers or (share == 0 and target) or (share == 100 and target < answers):
        return False
    if 0 < share < 100 and target in (0, answers):
        return False
    part = share / 100
    allowed = _DEVIATIONS * sqrt(part * (1 - part) / answers) + _ROUNDING_PERCENT / 100
    return abs(target / answers - part) <= allowed


def tells_apart(share: int, former: int) -> float:
    """How many answers n show a share p, and not the former one q, as far as chance allows.

    The bounds of ``shows`` for both do not meet: 4 (√(p (1 - p)) + √(q (1 - q))) / √n = |p - q|,
    less half a percent.
    """
    spread = sum(sqrt(it / 100 * (1 - it / 100)) for it in (share, former))
    between = (abs(share - former) - _ROUNDING_PERCENT) / 100
    return (_DEVIATIONS * spread / between) ** 2 if between > 0 else inf


def is_limited(window: Window, rules: Rules) -> bool:
    """True if more requests got 429 than may fail.

    The limit may be for this computer's address alone, or for all customers: a new ingress behind
    the front sees all of them at the front's address.
    """
    return window.limited > rules.test.p0 * (window.front.answers + window.limited)


def is_target_sick(window: Window, rules: Rules) -> bool:
    """True if the new platform's answers fail, and the old one's do not."""
    return rules.is_sick(window.target) and not rules.is_sick(window.source)


def errors_ended(step: Window, after: Window, rules: Rules) -> bool:
    """True if a step's errors became fewer once the share was back, by more than chance.

    Those that name the new platform are its own. Those that name no side may be the front's: a
    small step has a hundred rounds of the test, and by chance one of them is sick. Given their sum,
    the errors of two periods with the same rate are binomial (J. Przyborowski and H. Wilenski,
    Homogeneity of Results in Testing Samples from Poisson Series, Biometrika 31, 1940).
    """
    if is_target_sick(step, rules) or not rules.is_sick(step.front):
        return True
    before, now = len(step.front.errors_at), len(after.front.errors_at)
    asked = step.front.answers + after.front.answers
    return _at_least(before, before + now, step.front.answers / asked) <= _BY_CHANCE


def _at_least(least: int, of: int, part: float) -> float:
    """How likely so many of all errors, or more, fall into this part of the requests by chance.

    That is P(X ≥ least) of X ~ Binomial(of, part).
    """
    if part == 1:
        return 1.0
    errors = range(least, of + 1)
    ways = (lgamma(of + 1) - lgamma(it + 1) - lgamma(of - it + 1) for it in errors)
    chances = (it * log(part) + (of - it) * log(1 - part) for it in errors)
    return sum(exp(way + chance) for way, chance in zip(ways, chances, strict=True))


def needed_after(step: Window, rules: Rules) -> int:
    """How many answers show that a step's errors have ended, even with a stray one among them.

    Without any error, m answers do after n with k errors if (n / (n + m))^k is 5 %; twice as many
    allow for a stray one.
    """
    errors = len(step.front.errors_at)
    few = step.front.answers * (_BY_CHANCE ** (-1 / errors) - 1) if errors else 0.0
    return max(rules.test.least, 2 * ceil(few))


def failing(what: str, window: Window, rules: Rules) -> str:
    """Why requests of this kind fail by the test of errors, in words; nothing if they do not."""
    if is_target_sick(window, rules):
        seen, old = failed(window.target), failed(window.source)
        return f"{what} fail at the new platform: {seen}; at the old one {old}"
    if rules.is_sick(window.source):
        return f"{what} fail at the old platform: {failed(window.source)}"
    if rules.is_sick(window.front):
        return f"{what} fail, and their answers name no side: {failed(window.front)}"
    if rules.is_stuck(window.front) or rules.is_stuck(window.target):
        seen = f"{failed(window.front)}, of the new platform {failed(window.target)}"
        return f"{what} are neither healthy nor sick after {rules.test.most} answers: {seen}"
    asked = window.front.answers + window.limited
    if asked >= rules.test.least and is_limited(window, rules):
        return f"{what} are limited: {window.limited} of {asked} got 429"
    return ""


class Judged(NamedTuple):
    """How the answers of a share were, and in words: expected and seen."""

    quality: Quality
    says: str


def judge(share: int, window: Window, rules: Rules, reference_p99_ms: float | None) -> Judged:
    """How a share went by the answers of its window; undecided until there are enough.

    Two tests have to find health: that of the new platform's answers, and that of all requests,
    as an error often names no side.
    """
    front, source, target = window.front, window.source, window.target
    tested = {"all requests": front} | ({"the new platform": target} if share else {})
    healths = {name: rules.health(side) for name, side in tested.items()}
    if rules.is_sick(source):
        return Judged(Quality.UNDECIDED, f"the old platform failed itself: {failed(source)}")
    for name, side in tested.items():
        if healths[name] is Health.SICK:
            expected = f"expected at most {rules.test.p0:.2%} failures of {name}"
            says = f"{expected}, seen {failed(side)}; of the old platform {failed(source)}"
            return Judged(Quality.SICK if share else Quality.UNDECIDED, says)
    if is_limited(window, rules):
        return Judged(Quality.UNDECIDED, _limited(window, rules))
    is_healthy = Health.UNDECIDED not in healths.values()
    if share == 0:
        least = rules.test.least
        says = f"before the first step {failed(front)}; it takes {least} good answers"
        return Judged(Quality.GOOD if is_healthy else Quality.UNDECIDED, says)
    if not is_healthy:
        says = f"{failed(target)}; without a failure it takes {rules.test.least}"
        return Judged(Quality.UNDECIDED, f"too few answers of the new platform: {says}")
    if target.p99_ms is None or reference_p99_ms is None:
        return Judged(Quality.UNDECIDED, "too few answers for a p99")
    limit = rules.p99_limit(reference_p99_ms)
    says = (
        f"expected 99 % of the new platform's answers within {limit:g} ms, seen "
        f"{target.p99_ms:g} ms (the old platform: {reference_p99_ms:g} ms), {failed(target)}"
    )
    return Judged(Quality.SLOW if target.p99_ms > limit else Quality.GOOD, says)


def _limited(window: Window, rules: Rules) -> str:
    asked = window.front.answers + window.limited
    return (
        f"{window.limited} of {asked} requests got 429: expected at most {rules.test.p0:.2%}. "
        "Sample pages that no limit counts; a new ingress that limits by address must trust the "
        "front's X-Forwarded-For, or it limits all customers as one"
    )


def failed(side: Side) -> str:
    """How many answers of a side failed, and how."""
    told = ", ".join(f"{kind}: {number}" for kind, number in sorted(side.errors.items()))
    return f"{len(side.errors_at)} of {side.answers} failed{f' ({told})' if told else ''}"
