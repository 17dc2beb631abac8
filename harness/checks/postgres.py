"""W5-POSTGRES: PostgreSQL's pods, settings and answers, before any drill tries them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from harness.checks.findings import Finding, conclude, look, names, understood, unknown
from harness.core.model import Case, Verdict
from harness.facts.postgres import POSTGRES, Answer, Instance, Pod, Running, Setting, Workload
from harness.facts.schema import Item, Unknown

# With these a commit is acknowledged before a standby has it (PostgreSQL, "synchronous_commit").
_ALONE = ("off", "local")
# Sources of a setting that hold for the asking session and hide what holds for all.
_OF_SESSION = ("user", "database", "database user", "client", "session")
_WAITS = "expected every commit to be on disk and on a standby before it is confirmed"
_SURVIVES = ("fsync", "full_page_writes")
_NOT_ASKED = Unknown("it was not asked for")
# A shell's exit statuses for a program that cannot be run, or is not there.
_NO_PSQL = (126, 127)
# The declared password may be the wrong one: that tells nothing about the database.
_WRONG_PASSWORD = "password authentication failed"


def never_alone(case: Case) -> Verdict:
    """The primary acknowledges no write that only it has, whatever becomes of the standbys.

    Its own settings decide it now, an operator's settings later: an operator may lower the number
    of standbys to wait for when they are away. ``remote_write`` counts as had by the standby.
    Sources: CloudNativePG's "Replication" (``dataDurability``; ``minSyncReplicas`` yields to
    self-healing) and Patroni's "Replication modes" (``synchronous_mode_strict``).
    """
    seen = look(case, POSTGRES)
    findings: list[Finding] = []
    if seen.only is not None:
        instances, gaps = understood(seen.only.instances)
        findings += gaps
        primaries = {name: it for name, it in instances.items() if not it.in_recovery}
        if len(primaries) > 1:
            for name in primaries:
                findings.append(Finding(name, f"expected one primary, seen {len(primaries)}"))
        elif not primaries:
            findings.append(unknown(case.cluster.name, "no PostgreSQL answered as the primary"))
        for name, it in primaries.items():
            findings += _of_instance(name, it)
        findings += _of_operator(case.cluster.postgres.operator, seen.only.operator)
    return conclude(
        findings, seen, proven="every commit waits for a standby, also when standbys are away"
    )


def _of_instance(name: str, primary: Instance) -> Iterator[Finding]:
    settings = primary.settings
    yield from _setting(name, settings, "synchronous_standby_names", bad=("",))
    yield from _setting(name, settings, "synchronous_commit", bad=_ALONE)
    for key in _SURVIVES:
        yield from _setting(name, settings, key, bad=("off",))
    for it in primary.overrides:
        if it.setting.partition("=")[2] in _ALONE:
            role = f"role {it.role}" if it.role else "every role"
            whose = f"{role} in database {it.database}" if it.database else role
            yield Finding(name, f"{_WAITS}, seen {it.setting} for {whose}")


def _setting(
    name: str, settings: Mapping[str, Setting], key: str, *, bad: tuple[str, ...]
) -> Iterator[Finding]:
    found = settings.get(key)
    if found is None:
        yield unknown(name, f"{key} was not told")
    elif found.source in _OF_SESSION:
        yield unknown(name, f"{key} is known for the asking {found.source} alone, not for all")
    elif found.setting in bad:
        seen = f"{key} = {found.setting}" if found.setting else f"{key} is empty"
        yield Finding(name, f"{_WAITS}, seen {seen}")


def _of_operator(kind: str, told: Item[Mapping[str, str] | None]) -> Iterator[Finding]:
    if not kind:
        return
    if isinstance(told, Unknown) or told.value is None:
        why = told.error if isinstance(told, Unknown) else "its settings were not told"
        yield unknown(kind, why)
        return
    says = told.value
    if kind == "cloudnative-pg":
        if "method" not in says:
            seen = _written({k: v for k, v in says.items() if k.endswith("SyncReplicas")})
            text = "expected spec.postgresql.synchronous, which waits for standbys that are away"
            yield Finding(kind, f"{text}, seen {seen or 'no synchronous standby'}")
        elif says.get("dataDurability", "required") != "required":
            text = "expected dataDurability: required, because another value writes alone when"
            yield Finding(kind, f"{text} standbys are away, seen {says['dataDurability']}")
    else:
        mode = says.get("synchronous_mode", "off")
        if mode in ("off", "false") or says.get("synchronous_mode_strict") not in ("true", "on"):
            text = "expected synchronous_mode and synchronous_mode_strict, seen"
            yield Finding(kind, f"{text} {_written(says) or 'neither'}")


def _written(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in sorted(settings.items()))


def on_its_own_claims(case: Case) -> Verdict:
    """Each pod is ready and has its data on a claim that no other pod mounts.

    A StatefulSet or CloudNativePG's cluster runs it, and has all the pods that it wants.
    """
    seen = look(case, POSTGRES)
    findings: list[Finding] = []
    folders = 0
    if seen.only is not None:
        running = seen.only.running
        if isinstance(running, Unknown):
            findings.append(unknown(case.cluster.name, running.error))
        elif not running.value.pods:
            findings.append(unknown(case.cluster.name, "no pod of PostgreSQL was found"))
        else:
            workloads = running.value.workloads
            findings += _of_workloads(workloads)
            for name, pod in running.value.pods.items():
                findings += _of_pod(name, pod, workloads.keys())
                folders += 0 if isinstance(pod.folders, Unknown) else len(pod.folders.value)
    return conclude(
        findings, seen, proven=f"{folders} folders of data are on claims of their own pods"
    )


def _of_workloads(workloads: Mapping[str, Workload | Unknown]) -> Iterator[Finding]:
    found, gaps = understood(workloads)
    yield from gaps
    for name, it in found.items():
        if it.ready != it.wanted or not it.wanted:
            yield Finding(name, f"expected {it.wanted or 'some'} ready pods, seen {it.ready}")


def _of_pod(name: str, pod: Pod, workloads: Collection[str]) -> Iterator[Finding]:
    if not pod.ready:
        yield Finding(name, "expected a ready pod, seen one that is not")
    if pod.owner not in workloads:
        text = "expected a pod of a StatefulSet or of CloudNativePG's cluster, seen one of"
        yield Finding(name, f"{text} {pod.owner or 'nothing'}")
    if isinstance(pod.folders, Unknown):
        yield unknown(name, pod.folders.error)
        return
    if not pod.folders.value:
        yield unknown(name, "no folder of data was looked at")
    for path, folder in pod.folders.value.items():
        if folder.volume != "persistentVolumeClaim":
            kind = folder.volume or "the container's own file system"
            yield Finding(name, f"expected {path} on a claim, seen {kind}")
        elif folder.others:
            text = f"expected {path} on a claim of its own, seen {folder.claim}"
            yield Finding(name, f"{text}, which {names(folder.others)} mounts too")


def answers_by_name(case: Case) -> Verdict:
    """Each declared database answers a read from a pod, by the name that services use.

    Who answers must be the PostgreSQL whose pods are declared: a name may still lead elsewhere.
    """
    declared = case.cluster.postgres
    seen = look(case, POSTGRES)
    findings: list[Finding] = []
    if not declared.databases:
        findings.append(unknown("the profile", "it declares no database (postgres.answers)"))
    if seen.only is not None:
        instances, gaps = understood(seen.only.instances)
        findings += gaps
        systems = {it.system for it in instances.values()}
        answers = seen.only.answers
        for database in declared.databases:
            where = f"{database} at {declared.name}"
            if isinstance(answers, Unknown):
                findings.append(unknown(where, answers.error))
            else:
                findings += _of_answer(where, answers.value.get(database, _NOT_ASKED), systems)
    return conclude(
        findings, seen, proven=f"{names(declared.databases or ('nothing',))} answer by name"
    )


def _of_answer(where: str, answer: Answer | Unknown, systems: Collection[str]) -> Iterator[Finding]:
    if isinstance(answer, Unknown):
        yield unknown(where, answer.error)
    elif answer.status in _NO_PSQL or _WRONG_PASSWORD in answer.says:
        yield unknown(where, answer.says or f"psql ended with status {answer.status}")
    elif answer.status != 0:
        yield Finding(where, f"expected an answer, seen: {answer.says}")
    elif answer.system not in systems:
        text = "expected the answer of the declared pods, seen that of another PostgreSQL"
        yield Finding(where, f"{text} ({answer.system})")


def set_as_declared(case: Case) -> Verdict:
    """Each instance has the declared settings, and each pod the declared limits."""
    declared = case.cluster.postgres
    seen = look(case, POSTGRES)
    findings: list[Finding] = []
    if not declared.settings or not declared.limits:
        text = "it declares no settings or no limits (postgres.settings, postgres.limits)"
        findings.append(unknown("the profile", text))
    if seen.only is not None:
        instances, gaps = understood(seen.only.instances)
        findings += gaps
        if not instances:
            findings.append(unknown(case.cluster.name, "no PostgreSQL answered"))
        for name, instance in instances.items():
            for key, value in declared.settings.items():
                findings += _of_setting(name, key, value, instance.declared.get(key))
        findings += _of_limits(case.cluster.name, declared.limits, seen.only.running)
    count = len(declared.settings) + len(declared.limits)
    return conclude(findings, seen, proven=f"{count} settings and limits are as declared")


def _of_setting(name: str, key: str, value: str, found: Setting | None) -> Iterator[Finding]:
    if found is None:
        yield unknown(name, f"PostgreSQL has no setting {key}")
    elif found.source in _OF_SESSION:
        yield unknown(name, f"{key} is known for the asking {found.source} alone, not for all")
    elif found.setting != value:
        yield Finding(name, f"expected {key} = {value}, seen {found.setting}")


def _of_limits(where: str, limits: Mapping[str, str], running: Item[Running]) -> Iterator[Finding]:
    if isinstance(running, Unknown):
        yield unknown(where, running.error)
        return
    for name, pod in running.value.pods.items():
        for key, value in limits.items():
            has = pod.limits.get(key, "none")
            if has != value:
                yield Finding(name, f"expected the limit {key}: {value}, seen {has}")


CHECKS = {
    "no write is acknowledged by the primary alone": never_alone,
    "PostgreSQL is ready on claims of its own": on_its_own_claims,
    "PostgreSQL has its declared settings and limits": set_as_declared,
    "each database answers from a pod by its name": answers_by_name,
}
