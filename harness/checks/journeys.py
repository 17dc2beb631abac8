"""W7-INSTANCE, W7-DATABASE, W9-JOURNEY: a new customer's way, what it makes, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from harness.checks.findings import Finding, Seen, conclude, look, names, unknown, wanted
from harness.core.declared_platform import MadeDeclared
from harness.core.model import Case, Verdict
from harness.facts.journeys import JOURNEYS, Act, Claim, Made, Step, Walk
from harness.facts.schema import Item, Unknown

# What a journey must do, in this order; more steps may lie between. A restore proves something only
# if the data were changed since the backup, and are asked for afterwards.
_NEEDED: Mapping[str, Sequence[Act]] = {
    "instance": (
        *(Act.CREATE, Act.CHANGE, Act.BACK_UP, Act.CHANGE, Act.RESTORE, Act.USE),
        *(Act.STOP, Act.START, Act.USE, Act.DELETE),
    ),
    "database": (Act.CREATE, Act.CHANGE, Act.CREATE_SERVER, Act.MOVE, Act.USE),
    "customer": (
        *(Act.SIGN_UP, Act.SUBSCRIBE, Act.CREATE, Act.CHANGE, Act.BACK_UP, Act.CHANGE),
        *(Act.RESTORE, Act.USE, Act.DELETE),
    ),
    "browser": (Act.SIGN_UP, Act.SUBSCRIBE, Act.CREATE, Act.USE, Act.DELETE),
}
_MADE = (Act.CREATE, Act.CREATE_SERVER)
# A file system with a block device under it keeps some of the device for itself.
_LEAST_ROOM = 0.9


def every_step_done(case: Case) -> Verdict:
    """Each step came to its end, and the journey has every step that its requirement is about."""
    seen = _walks(case)
    findings: list[Finding] = []
    for name, walk in seen.values.items():
        findings += _undeclared(name, case.cluster.journeys[name].acts)
        findings += _ended(walk)
    proven = "; ".join(
        f"{walk.customer}: {len(walk.steps)} steps in {sum(it.took_s for it in walk.steps):.0f} s"
        for walk in seen.values.values()
    )
    return conclude(findings, seen, proven=proven)


def _walks(case: Case) -> Seen[Walk]:
    """The journeys that the scenario walked, by name."""
    asked = {name: fact for name, fact in JOURNEYS.items() if case.of(fact.name)}
    each = {name: look(case, fact) for name, fact in asked.items()}
    return Seen(
        {name: walk for name, it in each.items() for walk in it.values.values()},
        tuple(gap for it in each.values() for gap in it.unseen),
    )


def _undeclared(name: str, acts: Sequence[str]) -> Iterator[Finding]:
    """The first step that the journey lacks of those that it needs, in their order."""
    left = iter(acts)
    for needed in _NEEDED[name]:
        if needed not in left:
            yield unknown(
                f"journey {name}",
                f"the profile declares no step “{needed}” where it is needed: "
                f"{', '.join(_NEEDED[name])}",
            )
            return


def _ended(walk: Walk, acts: Sequence[Act] = tuple(Act)) -> Iterator[Finding]:
    """Why a journey ended early; a failure counts at its own step alone."""
    stopped = walk.stopped
    if stopped is None:
        return
    says = f"{stopped.does}: {stopped.says}"
    if stopped.at_fault and stopped.does in acts:
        yield Finding(walk.customer, says)
    else:
        yield unknown(walk.customer, f"it ended there: {says}")


def _not_there(walk: Walk, says: str, *acts: Act) -> list[Finding]:
    """Why there is nothing to judge: the journey ended before, or the profile has no such step."""
    return list(_ended(walk, acts)) or [unknown(walk.customer, says)]


def there_in_time(case: Case) -> Verdict:
    """A new instance is there in time: from the order to its first answer."""
    key = "provision_minutes"
    target = wanted(case, key)
    seen = _walks(case)
    findings: list[Finding] = []
    took: list[float] = []
    for walk in seen.values.values():
        mine = [it.took_s / 60 for it in walk.steps if it.does is Act.CREATE]
        took += mine
        if not mine:
            findings += _not_there(walk, "no instance was created", Act.CREATE)
        findings += [
            Finding(walk.customer, f"expected within {target[key]:g} min, seen {it:.1f} min")
            for it in mine
            if it > target[key]
        ]
    return conclude(
        findings,
        seen,
        proven=f"the new instance was there after {max(took, default=0) * 60:.0f} s",
        measured={key: max(took)} if took else {},
        target=target,
    )


def pages_without_errors(case: Case) -> Verdict:
    """The pages that a customer visits report no error of a script, and no request that failed.

    What they report though they work is the profile's (`frontend.known_errors`), with its reason.
    """
    seen = _walks(case)
    findings: list[Finding] = []
    visits = 0
    for name, walk in seen.values.items():
        if walk.shown is None or not walk.shown.visits:
            findings += list(_ended(walk, ())) or [unknown(walk.customer, "no page was visited")]
        if walk.shown is not None:
            visits += walk.shown.visits
            known = case.cluster.journeys[name].known_errors
            findings += [
                Finding(walk.shown.browser, f"expected no error on a page, seen {it}")
                for it in walk.shown.troubles
                if not any(fnmatchcase(it, pattern) for pattern in known)
            ]
    return conclude(findings, seen, proven=f"{visits} visits of pages, and no error on any")


def made_as_asked(case: Case) -> Verdict:
    """The cluster itself shows the new workload: ready, on a claim of the size that was asked for.

    A pod sees the claim's size as that of its file system: that is the quota. What the platform's
    API says of it is not asked here.
    """
    seen = _walks(case)
    findings: list[Finding] = []
    claims = 0
    for name, walk in seen.values.items():
        declared = case.cluster.journeys[name]
        if not declared.makes:
            findings.append(unknown(f"journey {name}", "the profile says of no step what it makes"))
        for number, expected in declared.makes.items():
            if number >= len(walk.steps):
                findings += _not_there(walk, f"it did not come to step {number + 1}", *_MADE)
            else:
                findings += _of_step(walk.steps[number], expected)
                claims += 1
    return conclude(findings, seen, proven=f"{claims} new workloads are as they were asked for")


def _of_step(step: Step, expected: MadeDeclared) -> Iterator[Finding]:
    made = step.made
    if made is None or isinstance(made, Unknown):
        yield unknown(step.does, "it was not looked at" if made is None else made.error)
    elif len(made.workloads) != 1:
        seen = names(made.workloads) if made.workloads else "none"
        yield Finding(step.does, f"expected one new workload of the declared name, seen {seen}")
    else:
        yield from _of_workload(made.workloads[0], made, expected)


def _of_workload(name: str, made: Made, expected: MadeDeclared) -> Iterator[Finding]:
    if made.wanted == 0 or made.ready < made.wanted:
        yield Finding(name, f"expected ready replicas, seen {made.ready} of {made.wanted}")
    if not made.services:
        yield Finding(name, "expected a Service that selects its pods, seen none")
    if made.host is not None and made.host not in made.hosts:
        seen = names(made.hosts) if made.hosts else "none"
        yield Finding(name, f"expected an Ingress for {made.host} that leads to it, seen {seen}")
    if not made.claims:
        yield Finding(name, "expected a claim, seen none in its pod")
    for claim, item in (made.claims or {}).items():
        yield from _of_claim(claim, item, expected)


def _of_claim(name: str, item: Item[Claim], expected: MadeDeclared) -> Iterator[Finding]:
    if isinstance(item, Unknown):
        yield unknown(name, item.error)
        return
    claim, size = item.value, expected.size_bytes
    facts = {
        "access mode": (expected.access_mode, ", ".join(claim.access_modes)),
        "class": (expected.storage_class, claim.storage_class),
        "phase": ("Bound", claim.phase),
        "phase of its volume": ("Bound", claim.volume_phase or "no volume"),
        "size": (_gib(size), _gib(claim.requested_bytes)),
    }
    for what, (wished, seen) in facts.items():
        if wished != seen:
            yield Finding(name, f"expected {what} {wished}, seen {seen}")
    if isinstance(claim.room_bytes, Unknown):
        yield unknown(name, f"its quota: {claim.room_bytes.error}")
    elif not size * _LEAST_ROOM <= claim.room_bytes.value <= size:
        room = _gib(claim.room_bytes.value)
        yield Finding(name, f"expected a quota of {_gib(size)}, a pod sees {room}")


def _gib(size: int) -> str:
    return f"{size / 1024**3:.6g} GiB"


def nothing_left_behind(case: Case) -> Verdict:
    """After the deletion nothing is there that was not before: objects, volumes, files, databases.

    Places and patterns for names are the profile's (`journeys.leftovers`). Volumes of a class that
    keeps them (Retain) are leftovers too, unless `keeps_volumes:` says why they stay.
    """
    key = "leftovers_count"
    target = {name: it for name, it in case.targets.items() if name == key}
    seen = _walks(case)
    findings: list[Finding] = []
    found: list[tuple[str, ...]] = []
    for walk in seen.values.values():
        if isinstance(walk.leftovers, Unknown):
            findings.append(unknown(walk.customer, walk.leftovers.error))
        elif walk.leftovers is None:
            findings += _not_there(walk, "the platform was not asked to delete it", Act.DELETE)
        else:
            found.append(walk.leftovers.value)
    left = [it for one in found for it in one]
    says = "expected it to go with the instance, seen that it stays"
    findings += [Finding(it, says) for it in left]
    kept = [it for walk in seen.values.values() for it in walk.kept_volumes]
    but = f", but for volumes that are kept as declared: {names(kept)}" if kept else ""
    return conclude(
        findings,
        seen,
        proven=f"nothing is left of what was made{but}",
        measured={key: float(len(left))} if found else {},
        target=target,
    )


def harness_leaves_nothing(case: Case) -> Verdict:
    """Each declared removal was done, and nothing new is left in the places of leftovers.

    A row in the platform's own databases is in no such place: only a removal can undo it.
    """
    seen = _walks(case)
    findings: list[Finding] = []
    for walk in seen.values.values():
        if isinstance(walk.left, Unknown):
            findings.append(unknown(walk.customer, f"what is left is not known: {walk.left.error}"))
        else:
            by_hand = [f"remove it by hand: {it}" for it in walk.left.value]
            findings += [unknown(walk.customer, it) for it in by_hand]
    return conclude(findings, seen, proven="every removal was done, and nothing new is left")


CHECKS = {
    "every step of the journey is done": every_step_done,
    "the instance is there in time": there_in_time,
    "the pages report no error": pages_without_errors,
    "what it made is as it was asked for": made_as_asked,
    "the deletion leaves nothing behind": nothing_left_behind,
    "the customer is removed again": harness_leaves_nothing,
}
