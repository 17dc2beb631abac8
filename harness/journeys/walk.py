"""Walks a journey: each step's requests, what they make, and the removal of all of it.

A write is sent once. The customer is new, and no other customer's data is touched. Whatever ends
the journey, Ctrl-C too, the declared removal follows, and what is still there then is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

from pydantic import JsonValue

from harness.core.errors import ConfigError, HarnessError, TimedOut
from harness.core.interrupts import uninterrupted
from harness.core.names import Names, is_secret
from harness.core.waiting import until
from harness.facts import journeys as facts
from harness.facts.drills import EndReason
from harness.facts.journeys import Act, Made, Step, Stopped, Walk
from harness.facts.schema import Item, Known, OrUnknown, Unknown, attempt
from harness.journeys import Misbehaved, inventory
from harness.journeys.inventory import Thing
from harness.journeys.made import made
from harness.journeys.pages import Browsing, browsing
from harness.journeys.request import Asked, cut
from harness.probes.owned import give_back_volume
from harness.probes.services import pods_of
from harness.settings.journeys import (
    Journey,
    JourneyRequest,
    JourneyStep,
    Leftovers,
    MachineCommand,
    MadeObjects,
    PageVisit,
    PodAnswer,
)
from harness.transport import Reach

_EVERY_S = 2.0
_REFUSED = 400
_GONE = (404, 410)


def walk(
    reach: Reach,
    name: str,
    tell: Callable[[str], object],
    hide: Callable[[str], object],
    confirm: Callable[[], None],
    note: Callable[[Names], object],
) -> Walk:
    """Walk a declared journey to its end, or to the step that fails.

    ``hide`` gets the password and every kept secret. ``note`` records the customer before anything
    is made, and again with each name that is known then. ``confirm`` raises HarnessError when
    nothing more may be written, as another harness may have begun; the removal follows. ConfigError
    if the profile does not declare the journey; HarnessError, with nothing touched, if its places
    cannot be looked at before.
    """
    declared = reach.profile.journeys
    journey = None if declared is None else declared.named().get(name)
    if declared is None or journey is None:
        raise ConfigError(
            f"the profile {reach.profile.name} declares no journey {name}",
            remedy=f"declare `{name}:` as scenarios/journeys/contabo.yaml does",
        )
    names = Names()
    hide(names.password)
    places = declared.leftovers
    before = inventory.look(reach, places)
    with ExitStack() as open_browser:
        browser = open_browser.enter_context(browsing(reach, journey, names))
        way = _Way(reach, journey, places, before, tell, hide, confirm, note, names, browser)
        try:
            way.go()
        except Misbehaved as error:
            way.stop(str(error), at_fault=True)
        except HarnessError as error:
            way.stop(str(error), at_fault=False)
        except KeyboardInterrupt:
            way.stop(EndReason.BY_HAND, at_fault=False)
        finally:
            with uninterrupted():
                shown = None if browser is None else browser.shown()
                try:
                    # First: a page that polls would report that its customer is gone.
                    open_browser.close()
                finally:
                    left = way.remove()
    kept = tuple(sorted(way.kept_volumes))
    return Walk(names.customer, tuple(way.steps), way.stopped, way.leftovers, left, shown, kept)


def remove_customer(
    reach: Reach, name: str, known: Mapping[str, JsonValue], tell: Callable[[str], object]
) -> tuple[str, ...]:
    """Remove what a killed journey made for a customer, by the names in its record; what is left.

    A record has no secret: what the platform removes for the customer alone is named.
    """
    names = Names(known)
    declared = reach.profile.journeys
    journey = None if declared is None else declared.named().get(name)
    if declared is None or journey is None:
        return (f"the profile declares no journey {name}: look for {names.customer}",)
    places = declared.leftovers
    before = inventory.others(inventory.look(reach, places), names)
    way = _Way(reach, journey, places, before, tell, str, lambda: None, str, names, None)
    kept = {it for step in journey.steps for request in step.requests for it in request.keep}
    way.unanswered = dict.fromkeys(kept, "the record")
    left = way.remove()
    return left.value if isinstance(left, Known) else (left.error,)


@dataclass
class _Way:
    """A journey so far."""

    reach: Reach
    journey: Journey
    places: Leftovers
    before: frozenset[Thing]
    tell: Callable[[str], object]
    hide: Callable[[str], object]
    confirm: Callable[[], None]
    note: Callable[[Names], object]
    names: Names
    browser: Browsing | None
    steps: list[Step] = field(default_factory=list)
    requests: list[facts.Request] = field(default_factory=list)
    stopped: Stopped | None = None
    leftovers: Item[tuple[str, ...]] | None = None
    kept_volumes: set[str] = field(default_factory=set)
    done: list[JourneyRequest] = field(default_factory=list)
    # By each name that a write did not give: the write, unless the platform refused it.
    unanswered: dict[str, str] = field(default_factory=dict)

    def go(self) -> None:
        """Walk every step; Misbehaved or HarnessError at the first that fails."""
        self.note(self.names)
        for number, step in enumerate(self.journey.steps):
            self.tell(f"{self.names.customer}: {step.does}")
            self.requests = []
            began = time.monotonic()
            deadline = began + step.within_s
            for visit in step.in_browser:
                self._visit(visit, step, deadline)
            for request in step.requests:
                self._ask(request, deadline)
            if step.in_pod is not None:
                self._ask_pod(step.in_pod, deadline)
            took_s = time.monotonic() - began
            found = None if step.makes is None else self._made(step.makes, deadline)
            self.steps.append(Step(step.does, round(took_s, 3), tuple(self.requests), found))
            if step.does is Act.DELETE and not self._deletes_later(number):
                self.leftovers = attempt(partial(self._leftovers, deadline))

    def _deletes_later(self, number: int) -> bool:
        return any(it.does is Act.DELETE for it in self.journey.steps[number + 1 :])

    def stop(self, says: str, *, at_fault: bool) -> None:
        """Note why the journey ended, at the step that it was at."""
        number = min(len(self.steps), len(self.journey.steps) - 1)
        does = self.journey.steps[number].does
        self.stopped = Stopped(does, says, at_fault, tuple(self.requests))

    def _visit(self, visit: PageVisit, step: JourneyStep, deadline: float) -> None:
        """Visit a page; what it makes is known by later requests of the step."""
        assert self.browser is not None  # a journey with visits has a frontend
        if visit.press is not None:
            self.confirm()
            kept = {name for request in step.requests for name in request.keep}
            self.unanswered |= dict.fromkeys(kept, self.browser.words(visit))
        self.browser.visit(visit, deadline, self.requests.append)

    def _ask(self, request: JourneyRequest, deadline: float) -> None:
        """Send a request, and keep what its answer gives; Misbehaved for another answer."""
        if request.changes_something:
            self.confirm()
        asked = Asked(self.reach, self.journey, self.names, request)
        wait_s = max(0.0, deadline - time.monotonic()) if request.wait else 0.0
        try:
            until(
                lambda: asked.is_answered(deadline),
                within_s=wait_s,
                every_s=_EVERY_S,
                what=asked.words,
            )
        except TimedOut as error:
            raise Misbehaved(f"{asked.words}: {asked.wrong}") from error
        finally:
            self._keep(request, asked)
            self.requests.append(asked.fact())
        self.done.append(request)

    def _keep(self, request: JourneyRequest, asked: Asked) -> None:
        """Know what the answer gives, also a wrong one: what was made can then be removed."""
        for name, value in asked.kept.items():
            self.names.keep(name, value)
            if is_secret(name):
                self.hide(str(value))
        if asked.kept:
            self.note(self.names)
        if request.changes_something and not asked.is_refused:
            missing = request.keep.keys() - asked.kept.keys()
            self.unanswered |= dict.fromkeys(missing, asked.words)

    def _ask_pod(self, asked: PodAnswer, deadline: float) -> None:
        """Have a pod run a command until it prints what it must."""
        command = [self.names.text(word) for word in asked.command]
        selector, says = self.names.text(asked.selector), self.names.text(asked.says)
        last = ""

        def is_said() -> bool:
            nonlocal last
            pods = pods_of(self.reach.kube, asked.namespace, selector)
            ready = sorted(name for name, is_ready in pods.items() if is_ready)
            if not ready:
                last = f"no pod with {selector} is ready"
                return False
            done = self.reach.kube.exec(asked.namespace, ready[0], command)
            last = cut(f"status {done.status}: {done.stdout}{done.stderr}")
            return done.status == 0 and says in done.stdout

        where, began = f"{command[0]} in a pod with {selector}", time.monotonic()
        try:
            left_s = max(0.0, deadline - began)
            until(is_said, within_s=left_s, every_s=_EVERY_S, what=where)
        except TimedOut as error:
            raise Misbehaved(f"{where}: expected “{says}”, seen {last}") from error
        finally:
            took_s = round(time.monotonic() - began, 3)
            sent = cut(" ".join(command))
            self.requests.append(facts.Request(where, sent, None, last, took_s))

    def _made(self, declared: MadeObjects, deadline: float) -> OrUnknown[Made]:
        """What the cluster shows, as soon as its pods are ready, or at the deadline."""
        look = partial(made, self.reach.kube, declared, self.names, self.before)
        found = attempt(look)

        def is_ready() -> bool:
            nonlocal found
            found = attempt(look)
            return isinstance(found, Known) and 0 < found.value.wanted <= found.value.ready

        with suppress(TimedOut):
            left_s = max(0.0, deadline - time.monotonic())
            until(is_ready, within_s=left_s, every_s=_EVERY_S, what="its pods are ready")
        return found.value if isinstance(found, Known) else found

    def _new(self, *, kept: bool) -> tuple[str, ...]:
        """What is new; if ``kept``, also what the platform keeps, and the journey's own server.

        Then its volumes are given back first: they go soon after.
        """
        now = inventory.look(self.reach, self.places)
        if kept:
            for name, volume in inventory.kept_volumes(self.before, now, self.names).items():
                self.kept_volumes.add(volume.words)
                give_back_volume(self.reach.kube, name)
        now = frozenset(it for it in now if kept or not (it.is_kept or self._is_of_server(it)))
        return inventory.new(self.before, now, self.names)

    def _is_of_server(self, thing: Thing) -> bool:
        """True for a part of a database server that a step made: it goes at the end only."""
        done = self.journey.steps[: len(self.steps)]  # only their names are known
        made = [it.makes for it in done if it.does is Act.CREATE_SERVER and it.makes]
        return any(fnmatchcase(thing.name, f"*{self.names.pattern(it.name)}*") for it in made)

    def _leftovers(self, deadline: float, *, kept: bool = False) -> tuple[str, ...]:
        """What is new at the deadline; nothing as soon as all of it is gone."""
        found = self._new(kept=kept)

        def is_gone() -> bool:
            nonlocal found
            found = self._new(kept=kept)
            return not found

        with suppress(TimedOut):
            left_s = max(0.0, deadline - time.monotonic())
            until(is_gone, within_s=left_s, every_s=_EVERY_S, what="it is gone")
        return found

    def remove(self) -> Item[tuple[str, ...]]:
        """Ask the platform to remove what the journey made; what is still there."""
        self.tell(f"{self.names.customer}: removing what it made")
        troubles = tuple(self._removals())
        deadline = time.monotonic() + self.places.gone_within_s
        look = partial(self._leftovers, deadline, kept=True)
        found = attempt(look)
        if isinstance(found, Known):
            return Known((*troubles, *found.value))
        return Unknown("; ".join((*troubles, found.error)))

    def _removals(self) -> Iterator[str]:
        """Do each declared removal whose names are known; the words of each that fails.

        What a step has done already is not asked again: a platform may answer with an error.
        """
        for removal in (it for it in self.journey.removes if it not in self.done):
            if not self.names.knows(removal.names()):
                yield from self._unnamed(removal.names())
                continue
            try:
                if isinstance(removal, MachineCommand):
                    yield from self._run(removal)
                else:
                    yield from self._delete(removal)
            except HarnessError as error:
                yield f"it was not removed: {error}"

    def _unnamed(self, names: Collection[str]) -> Iterator[str]:
        """What a write may have made, whose answer did not give a name to remove it by."""
        for name in sorted(self.unanswered.keys() & set(names)):
            asked, customer = self.unanswered[name], self.names.customer
            yield f"{asked} gave no {name}: look for what it made for {customer}"

    def _delete(self, request: JourneyRequest) -> Iterator[str]:
        asked = Asked(self.reach, self.journey, self.names, request)
        asked.is_answered(time.monotonic() + self.places.gone_within_s)
        if asked.status is None or (asked.status >= _REFUSED and asked.status not in _GONE):
            yield f"{asked.words}: {asked.wrong}"

    def _run(self, removal: MachineCommand) -> Iterator[str]:
        command = [self.names.text(word) for word in removal.command]
        done = self.reach.shell.run(removal.machine, command, within_s=self.places.gone_within_s)
        if done.status != 0:
            yield f"{command[0]} on {removal.machine}: {done.stderr.strip()[-200:]}"
