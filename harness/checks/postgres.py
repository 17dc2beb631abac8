"""W5-POSTGRES: PostgreSQL's settings, before any drill tries them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.checks.findings import Finding, conclude, look, understood, unknown
from harness.core.model import Case, Verdict
from harness.facts.postgres import POSTGRES, Instance, Setting
from harness.facts.schema import Item, Unknown

# With these a commit is acknowledged before a standby has it (PostgreSQL, "synchronous_commit").
_ALONE = ("off", "local")
# Sources of a setting that hold for the asking session and hide what holds for all.
_OF_SESSION = ("user", "database", "database user", "client", "session")
_WAITS = "expected every commit to be on disk and on a standby before it is confirmed"
_SURVIVES = ("fsync", "full_page_writes")


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
        findings += _of_operator(case.cluster.postgres_operator, seen.only.operator)
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


CHECKS = {"no write is acknowledged by the primary alone": never_alone}
