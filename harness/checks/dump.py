"""W5-DURABLE: a database that is dumped and restored on the new server loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.checks import equality
from harness.checks.findings import Finding, conclude, look, not_removed, unknown
from harness.core.model import Case, Observation, Verdict
from harness.facts.databases import DATABASES
from harness.facts.dump import DUMP, Dumped, Step
from harness.facts.schema import dump

_KEYS = {Step.DUMP: "dump_s", Step.RESTORE: "restore_s", Step.COMPARE: "compare_s"}


def came_through(case: Case) -> Verdict:
    """The dump was made, and restored without an error; each step is timed."""
    seen = look(case, DUMP)
    findings: list[Finding] = []
    measured: dict[str, float] = {}
    for it in seen.values.values():
        findings += _ended(it)
        measured |= {_KEYS[Step(step)]: took_s for step, took_s in it.took_s.items()}
        if it.bytes is not None:
            measured["dump_gb"] = it.bytes / 1e9
    size_mb = measured.get("dump_gb", 0) * 1000
    proven = f"a dump of {size_mb:.1f} MB was restored and compared"
    return conclude(findings, seen, proven=proven, measured=measured)


def _ended(it: Dumped) -> Iterator[Finding]:
    """Why the move ended early, if it did."""
    if it.stopped is not None:
        text = f"it ended while {it.stopped.step}: {it.stopped.says}"
        yield Finding(it.database, text) if it.stopped.at_fault else unknown(it.database, text)


def nothing_left(case: Case) -> Verdict:
    """The dump and the restored database are gone."""
    seen = look(case, DUMP)
    findings = [it for done in seen.values.values() for it in not_removed(done.database, done.left)]
    return conclude(findings, seen, proven="no dump and no restored database is left")


def _restored(check: Callable[[Case], Verdict]) -> Callable[[Case], Verdict]:
    """A check of W5-EQUAL, on the dumped moment and what was restored from it."""

    def judge(case: Case) -> Verdict:
        seen = look(case, DUMP)
        if seen.only is None or seen.only.compared is None:
            ended = list(_ended(seen.only)) if seen.only is not None else []
            gap = unknown(case.cluster.name, "nothing was compared")
            return conclude(ended or [gap], seen, proven="")
        compared = Observation(
            probe=DATABASES.name,
            target=case.cluster.name,
            at=0.0,
            took_s=0.0,
            value=dump({seen.only.database: seen.only.compared}),
        )
        declared = replace(case.cluster, equality_different={"": case.cluster.dump_different})
        return check(replace(case, cluster=declared, observations=[compared]))

    return judge


CHECKS = {
    "the dump was restored": came_through,
    "every restored table holds the dumped rows": _restored(equality.same_rows),
    "everything beside the rows was restored": _restored(equality.same_catalogue),
    "no restored sequence is behind": _restored(equality.sequences_ahead),
    "every restored index fits its table": _restored(equality.indexes_sound),
    "the dump leaves nothing behind": nothing_left,
}
