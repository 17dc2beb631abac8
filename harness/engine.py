"""The engine: runs probes, writes what they saw, and asks checks about what was written.

``Run`` is all that a step needs: ``run.observe("probe")`` and ``run.require("check")``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.drill.service import DRILLS, LEDGER, SOAK, Drilling, DrillOutcome
from harness.errors import HarnessError, NotProven, Refused, Unhealed
from harness.gate import Completed, Ruling, Trail
from harness.model import JSON, Observation, Outcome
from harness.notices import collecting
from harness.probes import Probe, owned
from harness.pytest_gate.catalogue import Scenario
from harness.record.journal import Journal, Record
from harness.transport import Reach

NOWHERE = "*"  # the target of an observation that says why no target could be looked at


class Run:
    """One run: a journal, what it says so far, and the scenario that is under way.

    Every record goes to the disk first and into the trail second, so that what is judged now is
    what a report will judge later.
    """

    def __init__(
        self,
        journal: Journal,
        trail: Trail,
        *,
        reach: Reach,
        probes: Mapping[str, Probe],
        drilling: Drilling | None = None,
    ) -> None:
        self.trail = trail
        self.reach = reach
        self._journal = journal
        self._probes = probes
        self._drilling = drilling
        self._scenario: Scenario | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.trail.manifest.run

    def write(self, kind: str, subject: str, data: Any) -> Record:
        """Journal a record and take it into the trail."""
        record = self._journal.append(kind, subject, data)
        self.trail.feed(record)
        return record

    def identify(self, declared: str | None) -> None:
        """Ask the cluster who it is; Refused when it is not the one that was declared.

        The UID of the namespace kube-system is a cluster's own name. A cluster that does not
        answer stays nameless: what cannot be looked at there will say so itself.
        """
        cluster = self.trail.manifest.cluster.name
        try:
            found = self.reach.kube.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        except (HarnessError, KeyError, TypeError) as error:
            self.write("cluster", cluster, {"uid": None, "error": str(error)})
            return
        self.write("cluster", cluster, {"uid": found, "error": None})
        if declared is not None and found != declared:
            reason = f"this cluster is {found}, and the profile declares {declared}"
            self.write("refused", "cluster", {"reason": reason})
            raise Refused(reason, remedy="pick the right profile, or correct its uid")
        owned.sweep_beside(self.reach.kube, keep=self.name)

    def begin(self, scenario: Scenario) -> None:
        """A scenario starts; what follows belongs to it."""
        self._scenario = scenario
        self.write("scenario", scenario.id, {})

    def end(self, state: str, reason: str, took_s: float) -> None:
        """The scenario is over: ``state`` is passed, failed, skipped or xfailed."""
        scenario = self._current()
        self.write(
            "scenario-end",
            scenario.id,
            {"state": state, "reason": reason, "took_s": round(took_s, 3)},
        )
        self._scenario = None

    def step(self, keyword: str, text: str, took_s: float, error: str | None = None) -> None:
        """A step of the scenario is over; without an error it passed."""
        state = "passed" if error is None else "failed"
        data = {"keyword": keyword, "text": text, "state": state, "took_s": round(took_s, 3)}
        self.write("step", self._current().id, data | {"error": error})

    def observe(self, probe: str, *, again: bool = False) -> Mapping[str, Observation]:
        """What a probe sees on all its targets, looked at side by side, by target.

        A run looks once: later calls return the same look, unless ``again``. A target that could
        not be looked at has an observation with an error. NotProven for an unknown probe.
        """
        if probe not in self._probes:
            raise NotProven(f"there is no probe named “{probe}”")
        self.write("ask", probe, {"scenario": self._current().id})
        if again or not self.trail.has_looked(probe):
            self._look(self._probes[probe])
        return self.trail.observations(probe)

    def drill(self, name: str) -> None:
        """Carry a drill out, and observe what came of it; one that an earlier session of this run
        completed is not carried out again.

        However it ended, what is known by then is observed. After Ctrl-C, or when a fault could not
        be taken back, the scenario's checks judge that at once, and KeyboardInterrupt or Unhealed
        is raised.

        Refused before anything was touched, Unhealed when a fault could not be taken back,
        NotProven when disruption is not allowed, or when it has broken something in this run
        already and was not completed: a run breaks nothing twice.
        """
        self._ask_for(DRILLS, LEDGER)
        before = self.trail.completed.get((DRILLS, name))
        if before is None:
            drilling = self._allowed(name)
            self._refuse_twice(name)
            before = self._carried_out(DRILLS, name, lambda: drilling.carry_out(name, self))
            if before is not None:
                self._tell(DRILLS, {name: before})
                self._raise_if_ended_early(before.outcome)
            return
        self._tell(DRILLS, {name: before})

    def soak(self) -> None:
        """Soak for as long as was asked for, less what earlier sessions of this run did of it.

        A part whose harness was killed counts up to then: what was journalled of it, and its book.

        Errors as of ``drill``.
        """
        self._ask_for(SOAK, LEDGER)
        parts = {
            name: done for (probe, name), done in self.trail.completed.items() if probe == SOAK
        }
        drilling = self._allowed("soak")
        for name, events in self.trail.broken_off.items():
            if name in parts:
                continue
            recover = partial(drilling.recover, name, events, self.trail.left, self)
            done = self._carried_out(SOAK, name, recover)
            if done is None:
                return
            parts[name] = done
            self._tell(SOAK, parts)  # at once: what it wrote to is gone now
        if not drilling.is_soaked([done.outcome for done in parts.values()]):
            name = f"part {len(parts) + 1}"
            before = [done.outcome for done in parts.values()]
            done = self._carried_out(SOAK, name, lambda: drilling.soak(name, before, self))
            if done is None:
                return
            parts[name] = done
        self._tell(SOAK, parts)
        self._raise_if_ended_early(list(parts.values())[-1].outcome)

    def _ask_for(self, *probes: str) -> None:
        for probe in probes:
            self.write("ask", probe, {"scenario": self._current().id})

    def _allowed(self, name: str) -> Drilling:
        if self._drilling is None or not self._drilling.options.allowed:
            raise NotProven(
                f"{name} injects faults: it needs --allow-disruption",
                remedy="./cutover plan shows what it would do; then add --allow-disruption",
            )
        return self._drilling

    def _refuse_twice(self, drill: str) -> None:
        for fault in self.trail.faults.values():
            if fault.drill == drill:
                raise NotProven(
                    f"{drill} broke off before: {fault.fault} of {fault.target} was injected at "
                    f"{fault.injected}, and a run breaks nothing twice",
                    remedy="./cutover heal if anything is left of it; then start a new run",
                )

    def _carried_out(
        self, probe: str, name: str, work: Callable[[], DrillOutcome]
    ) -> Completed | None:
        """What came of the work; None when it broke off, which is observed."""
        self.write("look", probe, {"targets": [name]})
        at, began = time.time(), time.monotonic()
        try:
            with collecting() as notices:
                outcome = work()
        except Refused as no:
            self.write("refused", name, {"reason": str(no)})
            raise
        except Exception as error:  # a defect of the harness too
            took_s = time.monotonic() - began
            self.write("observation", probe, _observed(name, at, took_s, error=_in_words(error)))
            if isinstance(error, Unhealed):
                raise
            return None
        finally:
            self._notice(probe, notices)
        return Completed(outcome, at, time.monotonic() - began)

    def _raise_if_ended_early(self, outcome: DrillOutcome) -> None:
        """Nothing of the scenario runs after this: its checks judge what is known."""
        if not (outcome.by_hand or outcome.unhealed):
            return
        for step in self._current().steps:
            if self.trail.is_check(step.text):
                with suppress(AssertionError, NotProven):  # the ruling is in the journal
                    self.require(step.text)
        if outcome.unhealed:
            raise Unhealed(outcome.unhealed)
        raise KeyboardInterrupt

    def _tell(self, probe: str, done: Mapping[str, Completed]) -> None:
        """Observe what came of it, and the tallies of its ledger."""
        self.write("look", probe, {"targets": list(done)})
        for name, it in done.items():
            data = _observed(name, it.at, it.took_s, it.outcome.value)
            self.write("observation", probe, data)
        tallies = [(who, it) for it in done.values() for who in it.outcome.tallies]
        self.write("look", LEDGER, {"targets": [who for who, _ in tallies]})
        for who, it in tallies:
            data = _observed(who, it.at, it.took_s, it.outcome.tallies[who])
            self.write("observation", LEDGER, data)

    def require(self, check: str) -> None:
        """Judge, for each requirement of the scenario, what the scenario has observed so far.

        AssertionError when the system misbehaved, NotProven when that cannot be told; both say
        what was expected, what was seen, where, and what to do about it.
        """
        scenario = self._current()
        proving = {it.id for it in self.trail.manifest.requirements} & set(scenario.requirements)
        if not proving:
            raise NotProven(f"“{check}” was asked, and no requirement of this run depends on it")
        for requirement in sorted(proving):
            data = {"scenario": scenario.id, "requirement": requirement}
            self.write("require", check, data)
        rulings = self.trail.scenarios[scenario.id].rulings[-len(proving) :]
        texts = {
            outcome: [self._explain(it) for it in rulings if it.verdict.outcome is outcome]
            for outcome in (Outcome.FAIL, Outcome.NOT_PROVEN)
        }
        if texts[Outcome.FAIL]:
            raise AssertionError("\n".join(texts[Outcome.FAIL]))
        if texts[Outcome.NOT_PROVEN]:
            raise NotProven("\n".join(texts[Outcome.NOT_PROVEN]))

    def collecting(self, why: str) -> None:
        """Say that evidence is being collected from here on, and why."""
        self.write("collect", why, {})

    def keep(self, target: str, what: str, text: str, error: str | None) -> str | None:
        """Keep a piece of evidence, or why it could not be had; it is never judged.

        Returns the name of its file in the run, if there is one.
        """
        file = self._journal.keep(text) if text else None
        data = {"what": what, "file": file, "bytes": len(text.encode()), "error": error}
        self.write("collected", target, data)
        return file

    def _current(self) -> Scenario:
        if self._scenario is None:
            raise NotProven("there is no scenario under way")
        return self._scenario

    def _explain(self, ruling: Ruling) -> str:
        requirement = self.trail.manifest.requirement(ruling.requirement)
        verdict = ruling.verdict
        lines = [f"{requirement.id} “{ruling.check}”: {verdict.reason}"]
        expected = [f"{key} {t.sign} {t.number:g}" for key, t in requirement.targets.items()]
        seen = [f"{key} {number:g}" for key, number in verdict.measured.items()]
        for word, values in (("expected", expected), ("seen", seen), ("where", verdict.where)):
            if values:
                lines.append(f"  {word:<11}{', '.join(values)}")
        return "\n".join([*lines, f"  {'what to do':<11}{requirement.remedy}"])

    def _look(self, probe: Probe) -> None:
        listing_call = {NOWHERE: lambda: probe.targets(self.reach)}
        (listing,) = side_by_side(listing_call, within_s=probe.within_s)
        if not listing.error and not listing.value:
            listing = Answer(NOWHERE, None, "there is nothing to look at", listing.at, 0.0)
        if listing.error:
            self.write("look", probe.name, {"targets": [NOWHERE]})
            self._record(probe, listing)
            return
        targets: Sequence[str] = listing.value
        self.write("look", probe.name, {"targets": list(targets)})
        looks = {target: _looking(probe, self.reach, target) for target in targets}
        for answer in side_by_side(looks, within_s=probe.within_s):
            self._record(probe, answer)

    def _record(self, probe: Probe, answer: Answer) -> None:
        data = {"target": answer.key, "at": round(answer.at, 6), "took_s": round(answer.took_s, 3)}
        try:
            self.write("observation", probe.name, data | _said(answer.value, answer.error))
        except (TypeError, ValueError) as error:
            text = f"the probe's answer is not JSON: {error}"
            self.write("observation", probe.name, data | _said(None, text))
        self._notice(probe.name, answer.notices)

    def _notice(self, probe: str, texts: Sequence[str]) -> None:
        for text in texts:
            self.write("notice", probe, {"text": text})


def _said(value: Any, error: str | None) -> dict[str, Any]:
    return {"value": None, "error": error} if error else {"value": value, "error": None}


def _looking(probe: Probe, reach: Reach, target: str) -> Callable[[], JSON]:
    return lambda: probe.observe(reach, target)


def _observed(
    target: str, at: float, took_s: float, value: JSON = None, error: str | None = None
) -> dict[str, Any]:
    """An observation as its record holds it."""
    times = {"at": round(at, 6), "took_s": round(took_s, 3)}
    return {"target": target, **times, "value": value, "error": error}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one of several calls gave back; ``at`` is UTC seconds, ``took_s`` its duration.

    ``notices`` are what else the report must say, such as what the call could not remove.
    """

    key: str
    value: Any
    error: str | None
    at: float
    took_s: float
    notices: Sequence[str] = ()


def side_by_side(calls: Mapping[str, Callable[[], Any]], *, within_s: float) -> Iterator[Answer]:
    """Make all calls at once, each in a thread; yield each answer as it comes.

    A call that raises, or that has not come back after ``within_s`` seconds, is an answer with an
    error. The thread of the latter is abandoned, and whatever it still says is ignored.
    """
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    at, began = time.time(), time.monotonic()

    def call(key: str, work: Callable[[], Any]) -> None:
        value, error = None, None
        with collecting() as told:
            try:
                value = work()
            except Exception as problem:
                error = _in_words(problem)
        answers.put(Answer(key, value, error, at, time.monotonic() - began, told))

    for key, work in calls.items():
        threading.Thread(target=call, args=(key, work), name=f"look:{key}", daemon=True).start()
    missing = dict.fromkeys(calls)
    while missing:
        try:
            answer = answers.get(timeout=max(0.0, began + within_s - time.monotonic()))
        except queue.Empty:
            break
        del missing[answer.key]
        yield answer
    for key in missing:
        yield Answer(key, None, f"no answer within {within_s:g} s", at, time.monotonic() - began)


def _in_words(problem: Exception) -> str:
    text = str(problem)
    return text if isinstance(problem, HarnessError) else f"{type(problem).__name__}: {text}"
