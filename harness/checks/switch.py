"""W5-DURABLE: the databases move to the new platform and back, and nothing saved is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.checks import clients
from harness.checks.findings import Finding, Seen, conclude, look, not_removed, unknown, wanted
from harness.core.model import Case, Outcome, Verdict
from harness.facts.switch import BACK, SWITCH, THERE, Leg, Switched

_FROZEN = "frozen_s"
_WORDS = {THERE: "to the target", BACK: "back to the source"}


def _ended(switched: Switched) -> Iterator[Finding]:
    """The legs that did not come to their end, and why."""
    for name, words in _WORDS.items():
        leg = switched.legs.get(name)
        if leg is None:
            yield unknown(words, "it was not begun: the leg before it has not arrived")
        elif leg.stopped is not None:
            text = f"it ended while {leg.stopped.step}: {leg.stopped.says}"
            yield Finding(words, text) if leg.stopped.at_fault else unknown(words, text)
            for stuck in leg.stopped.stuck:
                yield Finding(words, f"it could not be taken back: {stuck}")


def _legs(seen: Seen[Switched]) -> Iterator[tuple[str, Leg]]:
    for switched in seen.values.values():
        yield from switched.legs.items()


def arrived(case: Case) -> Verdict:
    """Each condition of each step held in time, in both directions."""
    seen = look(case, SWITCH)
    findings = [it for switched in seen.values.values() for it in _ended(switched)]
    steps = sum(len(leg.steps) for _, leg in _legs(seen))
    return conclude(findings, seen, proven=f"the databases moved there and back, in {steps} steps")


def briefly_frozen(case: Case) -> Verdict:
    """Writers were stopped for no longer than is allowed, in each direction."""
    target = wanted(case, _FROZEN)
    seen = look(case, SWITCH)
    findings = []
    longest = []
    for name, leg in _legs(seen):
        if leg.frozen_s is None:
            findings.append(unknown(_WORDS[name], "no write was acknowledged after a freeze"))
            continue
        longest.append(leg.frozen_s)
        if leg.frozen_s > target[_FROZEN]:
            text = f"expected at most {target[_FROZEN]:g} s without writes"
            findings.append(Finding(_WORDS[name], f"{text}, seen {leg.frozen_s:.1f} s"))
    for switched in seen.values.values():
        findings += [
            unknown(words, "it was not begun")
            for name, words in _WORDS.items()
            if name not in switched.legs
        ]
    return conclude(
        findings,
        seen,
        proven=f"writers were stopped for {max(longest, default=0):.1f} s at most",
        measured={_FROZEN: max(longest)} if longest else {},
        target=target,
    )


def nothing_left(case: Case) -> Verdict:
    """The rehearsal's databases, streams and slots are gone: a slot would fill the disk."""
    seen = look(case, SWITCH)
    findings = [
        it for done in seen.values.values() for it in not_removed("the rehearsal", done.left)
    ]
    return conclude(findings, seen, proven="no database, stream or slot of the rehearsal is left")


def _of_ledger(check: Callable[[Case], Verdict]) -> Callable[[Case], Verdict]:
    """A check of the writers that followed the databases, once these have moved."""

    def judge(case: Case) -> Verdict:
        moved = arrived(case)
        verdict = check(case)
        # A loss counts also where the switch broke off.
        if verdict.outcome is Outcome.PASS and moved.outcome is not Outcome.PASS:
            return moved
        return verdict

    return judge


CHECKS = {
    "the databases moved there and back": arrived,
    "writers were stopped only briefly": briefly_frozen,
    "the switch lost no acknowledged write": _of_ledger(clients.nothing_lost),
    "the switch left no write twice or from nowhere": _of_ledger(clients.nothing_invented),
    "the bank kept its total through the switch": _of_ledger(clients.total_constant),
    "the rehearsal leaves nothing behind": nothing_left,
}
