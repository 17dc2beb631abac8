"""W9-SHIFT, W9-ROLLBACK: traffic moves over in steps, and comes back from each of them.

``shift_answers`` judges one step, while it lasts and again from the journal. A step with too few
answers is undecided: NOT PROVEN. Errors count against the new platform only if the old one answered
well in the same window, and if they ended once the share was back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.checks import clients
from harness.checks.findings import Finding, conclude, look, unknown, wanted
from harness.checks.shift_answers import (
    PAGES,
    WRITES,
    errors_ended,
    failed,
    failing,
    is_limited,
    is_target_sick,
    judge,
    shows,
)
from harness.core.model import Case, Observation, Verdict
from harness.facts.drills import LEDGER
from harness.facts.schema import Unknown, dump
from harness.facts.shift import SHIFT, Quality, Return, Shift, Step

# A harness that stands still for longer takes its own delay for that of an answer.
_STALLED_S = 1.0
_UNSEEN = "no answer came that names a side: this computer has no way to the front, or is limited"
_Judge = Callable[[Shift], Iterator[Finding]]


def _judged(judge: _Judge, proven: str) -> Callable[[Case], Verdict]:
    """A check of the whole move by its findings."""

    def check(case: Case) -> Verdict:
        seen = look(case, SHIFT)
        found = [it for shift in seen.values.values() for it in judge(shift)]
        return conclude(found, seen, proven=proven)

    return check


def _judged_steps(shift: Shift) -> Iterator[Step]:
    if shift.before is not None:
        yield shift.before
    yield from shift.steps


def _at(share: int) -> str:
    return f"{share} %"


def _shares(shift: Shift) -> Iterator[Finding]:
    """Each step's answers had the share that was set; a sick step may go back before they show."""
    for step in _judged_steps(shift):
        where, window = _at(step.share), step.window
        measured = window.measured_percent
        if step.reads != step.share:
            yield Finding(where, f"the front reads {step.reads} % after {step.share} % was set")
        elif step.quality is Quality.SICK and step.shown_s is None:
            continue
        elif measured is None:
            yield unknown(where, "there was no answer")
        elif step.shown_s is None or not shows(step.share, window.target.answers, window.named):
            text = f"expected {step.share} % of the answers, seen {measured:.1f} %"
            # One side may limit alone: what it refused is missing there.
            is_cut = is_limited(window, shift.rules)
            yield unknown(where, f"{text}, without 429") if is_cut else Finding(where, text)
        if window.nameless:
            yield unknown(
                where, f"{window.nameless} good answers name no side: `side:` does not know them"
            )
    if shift.stays:
        yield from _left(shift, shift.ordered[-1])


def _steps(shift: Shift) -> Iterator[Finding]:
    """Each step was judged, and good."""
    for step in _judged_steps(shift):
        where = _at(step.share)
        found = judge(step.share, step.window, shift.rules, step.reference_p99_ms)
        if found.quality is Quality.UNDECIDED:
            yield unknown(where, found.says)
        elif found.quality is not Quality.GOOD:
            yield _blamed(where, found.says, shift, step)
    missing = [it for it in shift.ordered if it not in {step.share for step in shift.steps}]
    if missing:
        because = f": {shift.stopped}" if shift.stopped else ""
        yield unknown(_at(missing[0]), f"it was not reached{because}")
    elif shift.stopped:
        yield unknown("the move", shift.stopped)


def _customers(shift: Shift) -> Iterator[Finding]:
    """The new platform answered writes through the front and visitors, if there were any."""
    sessions = shift.sessions
    of_visitors = None if sessions is None or isinstance(sessions, Unknown) else sessions.answers
    for what, seen in {WRITES: shift.writes, PAGES: of_visitors}.items():
        if seen is None:
            continue
        if why := failing(what, seen, shift.rules):
            at_fault = is_target_sick(seen, shift.rules)
            yield (Finding if at_fault else unknown)("customers", why)
        elif shift.steps and not seen.target.answers:
            others = f"{seen.source.answers} are of the old one, {seen.nameless} name no side"
            yield unknown("customers", f"{what}: no answer of the new platform: {others}")


def _back_from(shift: Shift, step: Step) -> Return | None:
    return next((it for it in shift.returns if it.from_share == step.share), None)


def _blamed(where: str, words: str, shift: Shift, step: Step) -> Finding:
    """The finding on a bad step.

    NOT PROVEN if the errors went on after the share was back, or did not become fewer by more than
    chance, the harness was too slow itself, it had no way to the front, or an operator ended it
    before the way back was measured.
    """
    back, stalled_s = _back_from(shift, step), step.window.stalled_s
    if back is None and shift.by_hand:
        return unknown(where, f"{words}; {shift.stopped}, and the way back was not measured")
    if back is None:
        return Finding(where, f"{words}; the share did not go back")
    took = "never" if back.back_s is None else f"after {back.back_s:.1f} s"
    text = f"{words}; {back.to_share} % was back {took}"
    if stalled_s > _STALLED_S:
        return unknown(where, f"{text}; the harness itself stood still for {stalled_s:.1f} s")
    if back.is_unseen:
        return unknown(where, f"{text}: {_UNSEEN}")
    if back.back_s is not None and back.after:
        if shift.rules.is_sick(back.after.front):
            return unknown(where, f"{text}, and errors went on: they are not the new platform's")
        if not errors_ended(step.window, back.after, shift.rules):
            after = f"then {failed(back.after.front)}"
            return unknown(
                where, f"{text}, {after}: by chance, the old platform may fail as rarely"
            )
    return Finding(where, text)


def _sessions(shift: Shift) -> Iterator[Finding]:
    """No visitor was logged out, and each was served to the end."""
    sessions = shift.sessions
    if sessions is None:
        yield unknown("the visitors", "the profile declares none (shift.visitors)")
    elif isinstance(sessions, Unknown):
        yield unknown("the visitors", sessions.error)
    else:
        for who, why in sessions.lost.items():
            yield Finding(who, f"logged out {why}")
        for who in sessions.silent:
            yield unknown(who, "no good answer after the last change")


def steps_were_good(case: Case) -> Verdict:
    """The new platform answered as well as the old one at every step, in the same time."""
    seen = look(case, SHIFT)
    found = [it for shift in seen.values.values() for it in (*_steps(shift), *_customers(shift))]
    steps = [step for shift in seen.values.values() for step in shift.steps]
    answers = sum(step.window.target.answers for step in steps)
    errors = sum(len(step.window.target.errors_at) for step in steps)
    measured = {"failed_count": float(errors), "answers_count": float(answers)} if steps else {}
    shares = ", ".join(_at(step.share) for step in steps)
    proven = f"{answers} answers of the new platform at {shares}: as good as the old one's"
    return conclude(found, seen, proven=proven, measured=measured)


def sessions_kept(case: Case) -> Verdict:
    """Visitors who were logged in before the first step stay so.

    A session that the platform itself ends after a declared time is no lost one.
    """
    key = "sessions_lost_count"
    seen = look(case, SHIFT)
    found = [it for shift in seen.values.values() for it in _sessions(shift)]
    known = [it for shift in seen.values.values() if (it := shift.sessions) is not None]
    told = [it for it in known if not isinstance(it, Unknown)]
    renewed = sum(it.renewed for it in told)
    ended = f"; {renewed} times a session ended of age, as declared" if renewed else ""
    if writers := sum(it.writers_renewed for it in seen.values.values()):
        ended += f"; {writers} times a writer's did"
    return conclude(
        found,
        seen,
        proven=f"{sum(it.visitors for it in told)} visitors stayed logged in{ended}",
        measured={key: float(sum(len(it.lost) for it in told))} if told else {},
        target=wanted(case, key),
    )


def came_back(case: Case) -> Verdict:
    """From every step the measured share came back in time, with every visitor."""
    key = "back_s"
    target = wanted(case, key)
    seen = look(case, SHIFT)
    found = [it for shift in seen.values.values() for it in _ways_back(shift, target[key])]
    returns = [it for shift in seen.values.values() for it in shift.returns]
    times = [it.back_s for it in returns if it.back_s is not None]
    return conclude(
        found,
        seen,
        proven=f"back from {', '.join(_at(it.from_share) for it in returns)}",
        measured={key: round(max(times), 2)} if times else {},
        target=target,
    )


def _ways_back(shift: Shift, within_s: float) -> Iterator[Finding]:
    for back in shift.returns:
        where = _at(back.from_share)
        if back.is_unseen:
            yield unknown(where, _UNSEEN)
        elif back.back_s is None:
            yield Finding(where, f"{back.to_share} % was never measured again")
        elif back.back_s > within_s:
            text = (
                f"expected {back.to_share} % back within {within_s:g} s, seen {back.back_s:.1f} s"
            )
            yield Finding(where, text)
        for who in back.left_behind:
            yield Finding(where, f"{who} is still served by the new platform")
        for who in back.unserved:
            yield unknown(where, f"{who} got no good answer once {back.to_share} % was back")
    yield from _not_followed(shift)
    yield from _at_the_end(shift)
    rehearsed = {it.from_share for it in shift.returns}
    missing = [it for it in shift.ordered if it and it not in rehearsed]
    if shift.rehearsal and missing:
        because = f": {shift.stopped}" if shift.stopped else ""
        yield unknown(_at(missing[0]), f"the way back from there was not rehearsed{because}")
    elif not shift.returns:
        yield unknown("the way back", "it was not taken")


def _not_followed(shift: Shift) -> Iterator[Finding]:
    """The visitors of whom is not known that they came back."""
    if isinstance(shift.sessions, Unknown):
        yield unknown("the visitors", shift.sessions.error)
    elif shift.sessions is not None:
        for who, why in shift.sessions.lost.items():
            yield unknown(who, f"logged out {why}, and not followed back")


def _at_the_end(shift: Shift) -> Iterator[Finding]:
    """A rehearsal leaves the share as it was, and going back leaves 0 %."""
    if shift.is_back:
        yield from _left(shift, 0)
    elif shift.rehearsal and shift.before is not None:
        yield from _left(shift, shift.before.share, ", as before")


def _left(shift: Shift, expected: int, why: str = "") -> Iterator[Finding]:
    """The front reads this share at the end."""
    text = f"expected {expected} % at the end{why}"
    if shift.left is None:
        yield unknown("the front", f"{text}: it could not be asked")
    elif shift.left != expected:
        yield Finding("the front", f"{text}, seen {shift.left} %")


def _needed(shift: Shift) -> Iterator[Finding]:
    """What the way back needs is there; without a declared need, that is not known."""
    for what, why in shift.no_return.needs.items():
        if why:
            yield Finding(what, why)
    if not shift.no_return.needs:
        yield unknown("the way back", "the profile declares no needs (shift.no_return.needs)")


def _not_passed(shift: Shift) -> Iterator[Finding]:
    """Nothing that passes the point of no return happened, unless an operator agreed to it."""
    declared = shift.no_return
    if not declared.counts:
        yield unknown("the point of no return", "the profile counts nothing that passes it")
    for event, count in declared.counts.items():
        if isinstance(count, Unknown):
            yield unknown(event, count.error)
        elif count.after != count.before and declared.agreed is None:
            new = count.after - count.before
            text = f"expected none on the way, seen {new}: no operator agreed to it"
            yield Finding(event, text)


def _of_ledger(check: Callable[[Case], Verdict]) -> Callable[[Case], Verdict]:
    """The check on the ledger of the move; without one, nothing is proven."""

    def judge(case: Case) -> Verdict:
        seen = look(case, SHIFT)
        if not seen.values:
            return conclude([], seen, proven="")
        observed = case.of(SHIFT.name)
        told = [
            Observation(LEDGER.name, who, it.at, it.took_s, dump(tally))
            for place, it in observed.items()
            if place in seen.values
            for who, tally in seen.values[place].ledger.items()
        ]
        return check(replace(case, observations=told))

    return judge


CHECKS = {
    "every step has the share that was set": _judged(_shares, "each share was measured"),
    "the new platform answers as well as the old one at every step": steps_were_good,
    "no one is logged out on the way": sessions_kept,
    "the move loses no acknowledged write": _of_ledger(clients.nothing_lost),
    "the move makes no write twice": _of_ledger(clients.nothing_invented),
    "the share comes back in time from every step": came_back,
    "what the way back needs is there": _judged(_needed, "all of it is there"),
    "the point of no return is not passed unasked": _judged(_not_passed, "it was not passed"),
}
