"""Runs a soak: hours of writing with one fault after the other, each from the steady state.

This module does not judge: it returns ``SoakFacts``, which checks judge. Each piece of them is
journalled as it happens (records of the kind ``soaked``), so that ``rebuilt`` can restore the facts
of a soak whose harness was killed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote

from harness.core.errors import HarnessError, Refused, TimedOut, Unhealed, in_words
from harness.core.model import JSON
from harness.core.parallel import in_each
from harness.core.waiting import until
from harness.drill.context import DrillContext
from harness.drill.injection import Injector
from harness.drill.planning import fault_of
from harness.drill.safety_monitor import monitoring
from harness.drill.schedule import Turn
from harness.drill.traffic import Books, Load, Mark, marking, writing_again
from harness.facts.drills import EndReason, Footprint, LoadFacts, SoakFacts, TurnFacts
from harness.probes.scripts import footprint_script
from harness.record.records import Kind, SoakEvent
from harness.settings.drills import Soak
from harness.transport import Reach
from harness.transport.objects import count, listed, part, text
from harness.transport.remote_script import RemoteScript

EVERYTHING = "everything"  # the target's name for the ledger: no single machine
_LOAD_UNKNOWN = f"{EndReason.HARNESS_KILLED}: how its visitors fared is not known"
_FOOTPRINT = RemoteScript(footprint_script)
# Kinds of objects that programs create temporarily and may fail to delete.
_LEAKING_KINDS: Mapping[str, str] = {
    "pods": "/api/v1/pods",
    "claims": "/api/v1/persistentvolumeclaims",
    "volumes": "/api/v1/persistentvolumes",
    "services": "/api/v1/services",
    "secrets": "/api/v1/secrets",
    "configmaps": "/api/v1/configmaps",
    "namespaces": "/api/v1/namespaces",
    "jobs": "/apis/batch/v1/jobs",
}
_NOT_OURS = quote("app.kubernetes.io/managed-by!=cutover", safe="")


def soak(
    rules: Soak, turns: Iterable[Turn], wanted_s: float, context: DrillContext
) -> tuple[SoakFacts, Mapping[str, JSON]]:
    """Run one turn after the other until the time is over or no turn is left.

    At every end, also an early one, the ledger is read back, and the facts so far are returned with
    the ledger's results. ``ended`` says why the soak ended early.
    """
    rate = rules.writes_per_s
    with (
        context.ledger(rules.ledger, machine=EVERYTHING, writes_per_s=rate) as books,
        context.offered_load(EVERYTHING) as load,
    ):
        part = _Part(rules, context, books, marking(books, load), _facts(rules, wanted_s))
        begun = SoakEvent(event="begun", wanted_s=wanted_s, space=books.space)
        part.note(SoakEvent(**begun, load=load.is_offered))
        with part.ending_well():
            part.take_footprint()
            part.take(turns)
            part.take_footprint()
        facts = part.facts
        facts["lasted_s"], facts["load"] = part.lasted_s, _fared(load)
        part.note(SoakEvent(event="over", load=facts["load"]))
        context.progress("reading back what was written")
        tallies = dict(books.tally())
        facts["latency_ms"] = books.latency_ms()
    return facts, tallies


def rebuilt(rules: Soak, events: Iterable[SoakEvent]) -> SoakFacts:
    """The facts of an interrupted part, from its journal.

    Without ``latency_ms``, which is in the ledger's history. The results of a load are known only
    once the part is over.
    """
    facts = _facts(rules, 0.0)
    facts["ended"], facts["load"] = EndReason.HARNESS_KILLED, None
    turns: dict[int, TurnFacts] = {}
    over = False
    for it in events:
        facts["lasted_s"] = it["lasted_s"]
        if it["event"] == "begun":
            facts["wanted_s"] = it["wanted_s"]
            if it.get("load"):
                facts["load"] = LoadFacts(phases={}, troubles=[_LOAD_UNKNOWN])
        elif it["event"] == "footprint":
            facts["footprints"].append(it["footprint"])
        elif it["event"] == "turn begun":
            turns[it["turn"]["number"]] = {**it["turn"], "broken_off": EndReason.HARNESS_KILLED}
        elif it["event"] == "turn over":
            turns[it["turn"]["number"]] = it["turn"]
        else:
            load = it.get("load")
            over, facts["load"] = True, None if isinstance(load, bool) else load
        # A part with an end reason is over, even if its harness was killed before it recorded that.
        if over or it["ended"]:
            facts["ended"] = it["ended"]
    facts["turns"] = list(turns.values())
    return facts


def _facts(rules: Soak, wanted_s: float) -> SoakFacts:
    """The facts of a new part, with the limits by which a check judges it."""
    return SoakFacts(
        wanted_s=wanted_s,
        lasted_s=0.0,
        ended=None,
        turns=[],
        footprints=[],
        latency_ms=[],
        grows_percent=rules.grows_percent,
        refused_percent=rules.refused_percent,
        slower_ratio=rules.slower_ratio,
    )


def _fared(load: Load) -> LoadFacts | None:
    """The results of the load; an error of the load becomes a trouble in them."""
    try:
        return load.outcome(whole=True)
    except Exception as error:
        return LoadFacts(phases={}, troubles=[in_words(error)])


@dataclass
class _Part:
    """A running part: its facts so far, each piece journalled at once."""

    rules: Soak
    context: DrillContext
    books: Books
    mark: Mark
    facts: SoakFacts
    began: float = field(default_factory=time.monotonic)

    @property
    def lasted_s(self) -> float:
        return round(time.monotonic() - self.began, 1)

    def note(self, event: SoakEvent) -> None:
        """Journal the event, its time, and why the part ends, once that is known."""
        event["lasted_s"], event["ended"] = self.lasted_s, self.facts["ended"]
        self.context.record(Kind.SOAKED, self.context.name, event)

    @contextmanager
    def ending_well(self) -> Iterator[None]:
        """Turn an error in the body into an early end; the facts say why."""
        try:
            yield
        except KeyboardInterrupt:
            self.facts["ended"] = EndReason.BY_HAND
        except Exception as error:
            broke_off = EndReason.BROKE_OFF.because(in_words(error))
            self.facts["ended"] = self.facts["ended"] or broke_off
            if isinstance(error, Unhealed):
                self.facts["unhealed"] = str(error)

    def take(self, turns: Iterable[Turn]) -> None:
        """Run the turns until the time is over, or the part cannot go on."""
        for turn in turns:
            left_s = self.facts["wanted_s"] - (time.monotonic() - self.began)
            if left_s <= turn.pause_s:
                self.context.progress(f"no more turns: {left_s:.0f} s are left, without faults")
                self._rest(left_s)
                return
            self.context.progress(
                f"turn {turn.number}: {turn.fault} on {turn.machine} in {turn.pause_s:.0f} s, "
                f"{left_s / 60:.0f} min are left"
            )
            self._rest(turn.pause_s)
            self._take(turn)
            if self.facts["ended"]:
                return

    def _take(self, turn: Turn) -> None:
        """Run one turn; sets ``ended`` when the soak cannot go on after it."""
        self.context.record(Kind.TURN, f"turn {turn.number}", turn.model_dump(mode="json"))
        told = TurnFacts(
            number=turn.number, at_s=self.lasted_s, machine=turn.machine, before=[], faults=[]
        )
        self.note(SoakEvent(event="turn begun", turn=told))
        self.facts["turns"].append(told)
        try:
            self._break(turn, told)
        except Unhealed as stays:
            told["error"] = str(stays)
            self.facts["ended"] = EndReason.FAULT_STAYED.because(str(stays))
            raise
        except Refused as no:
            told["refused"] = str(no).partition("\n")[0]
        except Exception as error:  # a defect of the harness ends this turn, not the soak
            told["error"] = in_words(error)
        finally:
            if told["before"]:
                self.facts["ended"] = EndReason.NOT_STEADY.because(told["before"][0])
            if told.get("after"):
                self.facts["ended"] = EndReason.NOT_STEADY_AGAIN.because(told["after"][0])
            self.note(SoakEvent(event="turn over", turn=told))

    def _break(self, turn: Turn, told: TurnFacts) -> None:
        """Run a turn's fault, from steady state to steady state; adds the facts to ``told``."""
        context, rules = self.context, self.rules
        _, before = context.wait_steady(rules.calm_within_s)
        told["before"] = list(before)
        if before:
            return
        draw = Random(turn.seed)
        fault = fault_of(turn.planned, turn.machine, context.reach, draw, self.books.space)
        with (
            monitoring(context.reach, turn.machine, context.abort_conditions) as monitor,
            context.on_lock_lost(monitor.give_up),
        ):
            injector = Injector(context, monitor, self.mark)
            injector.inject(turn.planned, fault, told["faults"])
        context.progress(f"turn {turn.number}: waiting for the steady state again")
        took_s, after = context.wait_steady(rules.calm_within_s)
        told["after"], told["steady_s"] = list(after), round(took_s, 2)
        if not after:
            writing_again(self.books, rules.calm_within_s)

    def _rest(self, seconds: float) -> None:
        """Wait without a fault, and count the resource usage when that is due."""
        deadline = time.monotonic() + seconds
        tried = [self.facts["footprints"][-1]["at_s"]]

        def over() -> bool:
            if self.lasted_s - tried[-1] >= self.rules.look_every_s:
                tried.append(self.lasted_s)
                try:
                    self.take_footprint()
                except Exception as error:  # a later count may succeed
                    self.context.progress(f"resource usage not counted: {in_words(error)}")
            return time.monotonic() >= deadline

        try:
            until(over, within_s=max(0.0, seconds), what="the next turn", every_s=1.0)
        except TimedOut:
            return  # the pause is over

    def take_footprint(self) -> None:
        """Count the resources that may leak."""
        usage = resource_usage(self.context.reach)
        found = Footprint(at_s=self.lasted_s, seen=usage)
        self.facts["footprints"].append(found)
        self.note(SoakEvent(event="footprint", footprint=found))


def resource_usage(reach: Reach) -> dict[str, dict[str, int] | str]:
    """The counts by kind, for each machine and for the ``API``; or why they are not known."""
    machines = [machine.name for machine in reach.profile.machines]
    found = in_each(machines, lambda name: _of_machine(reach, name))
    seen: dict[str, dict[str, int] | str] = {
        name: str(it).partition("\n")[0] if isinstance(it, HarnessError) else it
        for name, it in found.items()
    }
    try:
        seen["API"] = {kind: _count(reach, path) for kind, path in _LEAKING_KINDS.items()}
    except HarnessError as error:
        seen["API"] = str(error).partition("\n")[0]
    return seen


def _of_machine(reach: Reach, machine: str) -> dict[str, int]:
    return _FOOTPRINT.on(reach.shell, machine, within_s=20.0, read=dict[str, int]).value


def _count(reach: Reach, path: str) -> int:
    """The number of objects beside the harness's own; the API counts those that it did not list."""
    first = reach.kube.get(f"{path}?limit=1&labelSelector={_NOT_OURS}")
    rest = part(first, "metadata").get("remainingItemCount")
    if rest is None and text(first, "metadata", "continue"):
        return len(listed(reach.kube.get(f"{path}?labelSelector={_NOT_OURS}"), "items"))
    return len(listed(first, "items")) + count(first, "metadata", "remainingItemCount")
