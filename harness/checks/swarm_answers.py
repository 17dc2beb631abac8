"""W1-SWARM: the answers of the old platform's services and of customers' instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from harness.checks.findings import Finding, conclude, limited, names, unknown, wanted
from harness.checks.swarm import SWARM, declared_of, known_of, odd_of, seen_of, untold
from harness.core.declared import SwarmAnswer, SwarmDeclared
from harness.core.model import Case, Verdict
from harness.facts.edge import TOO_MANY
from harness.facts.schema import Known, Unknown
from harness.facts.swarm import Answer, Reply, Service, Unasked


def instances_answer(case: Case) -> Verdict:
    """Every customer's instance that must run answers for the hosts of its own labels."""
    target = wanted(case, "instance_answer_s")
    seen, declared = seen_of(case), declared_of(case)
    known, answer = known_of(seen), declared.instance_answer
    findings: list[Finding] = []
    took: list[float] = []
    listed = [
        it
        for it in (known.services if known is not None else ())
        if fnmatchcase(it.name, declared.instances)
    ]
    findings += odd_of(listed)
    to_run = [it for it in listed if isinstance(it, Service) and it.replicas > 0]
    asked = {at: it.instances for at, it in seen.values.items() if it.instances is not None}
    for name in (it.name for it in to_run):
        of_it = {at: told[name] for at, told in asked.items() if name in told}
        hosts = sorted({host for told in of_it.values() for host in told})
        if not hosts:
            text = "it must run, but no Traefik label gives a rule Host(`…`) to ask it by"
            findings.append(unknown(name, text))
        for host in hosts:
            told = {at: it[host] for at, it in of_it.items() if host in it}
            took += [it.value.took_s for it in told.values() if isinstance(it, Known)]
            if answer is not None:
                findings += _wrong(f"{name} as {host}", told, answer, target["instance_answer_s"])
    if answer is None:
        findings.append(unknown("the profile", "it declares no customers' instances"))
    elif known is not None and not listed:
        findings.append(unknown(SWARM, f"no service is named {declared.instances}"))
    stopped = len(listed) - len(to_run)
    return conclude(
        [*findings, *untold(seen, known)],
        seen,
        proven=f"{len(to_run)} instances answer as declared; {stopped} are stopped",
        measured={"instance_answer_s": max(took, default=0.0)} if listed else {},
        target=target,
    )


def services_answer(case: Case) -> Verdict:
    """Every declared answer is given by every machine, to every machine."""
    target = wanted(case, "answer_s")
    seen, declared = seen_of(case), declared_of(case)
    findings: list[Finding] = []
    took: list[float] = []
    for service, answer in _answers(declared):
        for machine in answer.machines:
            at = answer.at(machine)
            told = {
                asker: value.answers.get(at, Unasked("the probe did not ask"))
                for asker, value in seen.values.items()
            }
            took += [it.value.took_s for it in told.values() if isinstance(it, Known)]
            where = f"{service} at {at}"
            findings += _wrong(where, told, answer, target["answer_s"])
    if not any(True for _ in _answers(declared)):
        findings.append(unknown("the profile", "it declares no answer of any service"))
    return conclude(
        findings,
        seen,
        proven=f"{len(took)} requests were answered as declared, on and from every machine",
        measured={"answer_s": max(took)} if took else {},
        target=target,
    )


def _answers(declared: SwarmDeclared) -> Iterator[tuple[str, SwarmAnswer]]:
    for name, service in declared.services.items():
        for answer in service.answers:
            yield name, answer


def _wrong(
    where: str, told: Mapping[str, Answer], answer: SwarmAnswer, within_s: float
) -> Iterator[Finding]:
    """What is wrong with an answer, and which machines saw that."""
    says: dict[str, list[str]] = {}
    for asker, it in told.items():
        if isinstance(it, Unasked):
            yield unknown(where, f"it was not asked from {asker}: {it.unasked}")
        elif _is_limited(it, answer):
            yield unknown(where, limited())
        elif (wrong := _flaw(it, answer, within_s)) is not None:
            says.setdefault(wrong, []).append(asker)
    for wrong, askers in says.items():
        everywhere = len(askers) == len(told)
        yield Finding(where, wrong if everywhere else f"{wrong} from {names(askers)}")


def _is_limited(it: Answer, answer: SwarmAnswer) -> bool:
    """True for a 429 that is not declared: the ingress limits the one address that asks."""
    limited_here = isinstance(it, Known) and it.value.status == TOO_MANY
    return limited_here and TOO_MANY not in answer.statuses


def _flaw(it: Known[Reply] | Unknown, answer: SwarmAnswer, within_s: float) -> str | None:
    if isinstance(it, Unknown):
        return f"expected an answer, seen {it.error}"
    reply = it.value
    if reply.status not in answer.statuses:
        wanted_one = " or ".join(map(str, answer.statuses))
        return f"expected status {wanted_one}, seen {reply.status}"
    if answer.location and reply.location != answer.location:
        return f"expected a redirect to {answer.location}, seen {reply.location or 'none'}"
    if not reply.said:
        return f"expected an answer that says {answer.says!r}, seen another"
    if reply.took_s > within_s:
        return f"expected an answer within {within_s:g} s, seen a slower one"
    return None


CHECKS = {
    "Swarm services answer": services_answer,
    "customers' Swarm instances answer": instances_answer,
}
