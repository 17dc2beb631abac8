"""The runbook of one cluster: the declared steps, with owners, limits and rehearsed seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeAlias

from harness.core.model import JSON, Decision
from harness.gate import Manifest
from harness.record.history import took_s
from harness.record.records import VerdictDocument
from harness.report.page import template
from harness.report.summary import plain
from harness.report.words import bound, duration
from harness.settings import Gates, Profile
from harness.settings.runbook import Phase, Rehearsal, Runbook, Step, filled, placeholders

Past: TypeAlias = Sequence[tuple[Manifest, VerdictDocument]]
_SUCCEEDED = (Decision.GO, Decision.GO_WITH_WAIVERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The seconds of a step in its newest rehearsals; only those that succeeded are timed."""

    took_s: tuple[float, ...]
    tries: int

    @property
    def words(self) -> str:
        """Median and worst, or that there is neither."""
        if not self.tries:
            return "never rehearsed"
        tries = f"{self.tries} rehearsal{'s' if self.tries > 1 else ''}"
        if not self.took_s:
            return f"unknown: none of {tries} succeeded"
        worst = f", at worst {duration(max(self.took_s))}" if len(self.took_s) > 1 else ""
        return f"{duration(median(self.took_s))}{worst} ({len(self.took_s)} of {tries} succeeded)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookStep:
    """A step as it is printed; ``absent`` is why it does not apply to the cluster."""

    number: int
    title: str
    why: str
    owner: str
    commands: tuple[str, ...]
    go: str
    limits: tuple[str, ...]
    back: str
    back_commands: tuple[str, ...]
    expected: Expected | None
    no_return: bool
    absent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookPhase:
    """A part of the night; ``when`` is when it begins, in words."""

    title: str
    when: str
    steps: tuple[RunbookStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """The runbook of one cluster; ``newest`` is the last of its runs, if there is one."""

    title: str
    cluster: str
    cluster_title: str
    newest: str
    phases: tuple[RunbookPhase, ...]

    @property
    def steps(self) -> tuple[RunbookStep, ...]:
        """The steps that apply, in order."""
        return tuple(it for phase in self.phases for it in phase.steps if not it.absent)

    @property
    def unrehearsed(self) -> tuple[RunbookStep, ...]:
        """The timed steps that no rehearsal of this cluster has brought to their end."""
        return tuple(it for it in self.steps if it.expected and not it.expected.took_s)

    @property
    def account(self) -> str:
        """What the rehearsals tell of the whole, in a sentence."""
        known = [it.expected.took_s for it in self.steps if it.expected and it.expected.took_s]
        timed = len(known) + len(self.unrehearsed)
        if not known:
            return f"None of its {timed} timed steps has been rehearsed on this cluster."
        worst, usual = (duration(sum(map(of, known))) for of in (max, median))
        least = "" if len(known) == timed else "at least "
        return (
            f"{len(known)} of its {timed} timed steps are rehearsed; together these took {least}"
            f"{usual}, at worst {worst}."
        )


def night(runbook: Runbook, profile: Profile, cluster: str, gates: Gates, past: Past) -> Night:
    """The runbook of a cluster, from its profile, the gate files and its earlier runs.

    ``cluster`` is the value of ``--cluster``; ``past`` holds all runs, oldest first.
    """
    own = [pair for pair in past if pair[0].cluster.name == profile.name]
    writer = _Writer(runbook, profile, gates, placeholders(profile, cluster), own)
    return Night(
        title=runbook.title,
        cluster=profile.name,
        cluster_title=profile.title,
        newest=own[-1][1]["run"] if own else "",
        phases=tuple(writer.phase(phase) for phase in runbook.phases),
    )


@dataclass(frozen=True)
class _Writer:
    """Fills the steps of a runbook in for one cluster, and numbers them."""

    runbook: Runbook
    profile: Profile
    gates: Gates
    values: Mapping[str, str]
    past: Past

    def phase(self, phase: Phase) -> RunbookPhase:
        steps = tuple(map(self._line, phase.steps))
        return RunbookPhase(title=phase.title, when=phase.when, steps=steps)

    def _line(self, step: Step) -> RunbookStep:
        cluster = self.profile.cluster()
        absent = {it: why for it, why in cluster.absent.items() if it not in cluster.undeclared}
        return RunbookStep(
            number=self.runbook.steps.index(step) + 1,
            title=self._filled(step.title),
            why=self._filled(step.why),
            owner=self._owner(step),
            commands=tuple(map(self._filled, step.commands)),
            go=self._filled(step.go or ""),
            limits=tuple(it for name in step.requirements for it in self._limits(name)),
            back=self._filled(step.back.words),
            back_commands=tuple(map(self._filled, step.back.commands)),
            expected=self._expected(step.rehearsed) if step.rehearsed else None,
            no_return=step.no_return,
            absent=next((absent[part] for part in step.needs if part in absent), ""),
        )

    def _filled(self, text: str) -> str:
        return filled(text, self.values)

    def _owner(self, step: Step) -> str:
        """The owner, with the person that the profile names for that night."""
        owners = {it.id: it.owner for it in self.gates.requirements}
        owner = step.owner or owners[step.requirements[0]]
        person = self.profile.owners.get(owner)
        return f"{owner}: {person}" if person else owner

    def _limits(self, name: str) -> Sequence[str]:
        """What a requirement is held to on this cluster."""
        (found,) = (it for it in self.gates.requirements if it.id == name)
        if found.planned:
            return [f"{name}: {found.title}. No scenario proves it yet"]
        held = found.of(self.profile.cluster().parts).on(self.profile.changes(name))
        targets = [f"{it.words} {bound(it, key)}" for key, it in held.targets.items()]
        yet = [f"No scenario proves yet: {it}" for it in found.missing]
        return [f"{name}: {it}" for it in [*(targets or [found.title]), *yet]]

    def _expected(self, rehearsed: Rehearsal) -> Expected:
        tried = [_of_run(rehearsed, it[1]) for it in self.past if _is_for(rehearsed, *it)]
        newest = tried[-self.runbook.remembers :]
        return Expected(took_s=tuple(it for it in newest if it is not None), tries=len(newest))


def _is_for(rehearsed: Rehearsal, manifest: Manifest, verdict: VerdictDocument) -> bool:
    """True if the run rehearsed it, with whatever result."""
    if rehearsed.number is not None:
        requirement = rehearsed.number.partition("/")[0]
        return any(it["id"] == requirement for it in verdict["requirements"])
    if rehearsed.gate is not None:
        return manifest.week == rehearsed.gate and not manifest.only
    return set(manifest.only) == set(rehearsed.only) and manifest.drill is None


def _of_run(rehearsed: Rehearsal, verdict: VerdictDocument) -> float | None:
    """The seconds that a run tells of the step; None if it did not prove what it was for."""
    if rehearsed.number is None:
        return took_s(verdict) if verdict["decision"] in _SUCCEEDED else None
    requirement, _, key = rehearsed.number.partition("/")
    (found,) = (it for it in verdict["requirements"] if it["id"] == requirement)
    return found["measured"].get(key) if found["verdict"] == "pass" else None


def document(night: Night) -> JSON:
    """The runbook as data; the times are seconds."""
    return {
        "cluster": night.cluster,
        "newest_run": night.newest,
        "phases": [
            {"title": it.title, "when": it.when, "steps": list(map(_data, it.steps))}
            for it in night.phases
        ],
    }


def _data(step: RunbookStep) -> JSON:
    times = step.expected.took_s if step.expected else ()
    plain_step: dict[str, JSON] = asdict(step)
    return plain_step | {
        "expected": {
            "median_s": median(times) if times else None,
            "worst_s": max(times, default=None),
            "succeeded": len(times),
            "tries": step.expected.tries,
        }
        if step.expected
        else None
    }


def page(night: Night) -> str:
    """The runbook as one HTML page that loads nothing and prints on A4."""
    return template("runbook.html").render(night=night)


def markdown(night: Night) -> str:
    """The runbook as Markdown."""
    lines = [f"# {plain(night.title)}: {plain(night.cluster)}", "", plain(night.account), ""]
    if night.unrehearsed:
        lines += ["Never rehearsed on this cluster:", ""]
        lines += [f"- {it.number}. {plain(it.title)}" for it in night.unrehearsed]
        lines.append("")
    for phase in night.phases:
        lines += [f"## {plain(phase.title)} ({plain(phase.when)})", ""]
        for step in phase.steps:
            lines += [*_step(step), ""]
    return "\n".join(lines)


def _step(step: RunbookStep) -> list[str]:
    lines = [f"### ☐ {step.number}. {plain(step.title)}", ""]
    if step.absent:
        return [*lines, f"Not on this cluster: {plain(step.absent)}"]
    if step.no_return:
        lines += ["**POINT OF NO RETURN.**", ""]
    lines.append(plain(step.why))
    lines += _fenced(step.commands)
    lines += ["", f"- **Owner** {plain(step.owner)}"]
    if step.expected:
        lines.append(f"- **Takes** {plain(step.expected.words)}")
    if step.go:
        lines.append(f"- **Go on if** {plain(step.go)}")
        lines += [f"  - {plain(it)}" for it in step.limits]
    return [*lines, f"- **Way back** {plain(step.back)}", *_fenced(step.back_commands)]


def _fenced(commands: Sequence[str]) -> list[str]:
    return ["", "```sh", *commands, "```"] if commands else []
