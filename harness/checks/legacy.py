"""W3-LEGACY: the existing storage is mounted, readable and unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from harness.checks.findings import Finding, conclude, look, looks, unknown
from harness.core.model import Case, Verdict
from harness.facts.ceph_names import is_same_source
from harness.facts.legacy import (
    LEGACY_MANIFEST,
    LEGACY_MOUNT,
    Comparison,
    Kind,
    LegacyMount,
    NoBaseline,
)
from harness.facts.schema import Unknown

_SAID = 5  # differences that a reason names; all are counted
_GB = 1e9
# The kernel's words for EIO and ESHUTDOWN: an evicted client gets them until it mounts again.
_EVICTED = ("Input/output error", "Cannot send after transport endpoint shutdown")
_WORDS: Mapping[Kind, str] = {
    "changed": "expected it unchanged, seen another",
    "removed": "expected it to be there, seen it gone",
    "added": "expected nothing new, seen it",
}


def mounted_and_readable(case: Case) -> Verdict:
    seen = looks(case, LEGACY_MOUNT, [machine.name for machine in case.cluster.machines])
    findings = [
        Finding(name, says)
        for name, value in seen.values.items()
        for says in _wrong_mount(value, case.cluster.legacy)
    ]
    wrote = {name: value.write for name, value in seen.values.items()}
    findings += [
        unknown(name, it.unasked) for name, it in wrote.items() if it is not None and it.unasked
    ]
    path, takes = case.cluster.legacy.get("path"), "reads"
    if wrote and all(it is not None and it.value for it in wrote.values()):
        takes = "takes reads and writes"
    return conclude(findings, seen, proven=f"{path} is mounted and {takes} on every machine")


def _wrong_mount(value: LegacyMount, legacy: Mapping[str, str]) -> Iterator[str]:
    path = legacy["path"]
    mount, wanted = value.mount, f"{legacy['type']} of {legacy['source']}"
    if mount is None:
        yield f"expected {wanted} at {path}, seen nothing mounted there"
    elif mount.type != legacy["type"] or not is_same_source(
        mount.type, mount.source, legacy["source"]
    ):
        yield f"expected {wanted} at {path}, seen {mount.type} of {mount.source}"
    elif mount.root != legacy["root"]:
        yield f"expected the folder {legacy['root']} of it at {path}, seen {mount.root}"
    elif mount.read_only and legacy["access"] == "rw":
        yield f"expected {path} mounted for reading and writing (rw), seen it read-only (ro)"
    elif not mount.read_only and legacy["access"] == "ro":
        yield f"expected {path} mounted read-only (ro), seen it mounted for writing too (rw)"
    elif isinstance(value.read, Unknown):
        yield f"expected {path} to be readable, seen {_told(value.read.error, path)}"
    elif value.write is not None and value.write.error is not None:
        text = f"expected a file written, renamed, read and removed in {value.write.folder}"
        yield f"{text}, seen {_told(value.write.error, path)}"


def _told(error: str, path: str) -> str:
    """The error, and what to do if it is that of a client which Ceph has evicted."""
    if not any(words in error for words in _EVICTED):
        return error
    again = f"restart the services that have files there, `umount -f -l {path}` and mount it again"
    return f"{error} (if Ceph evicted this client: {again})"


def unchanged(case: Case) -> Verdict:
    """Compares with the baseline. A file that could not be read counts as unknown."""
    seen = look(case, LEGACY_MANIFEST)
    value = seen.only
    if value is None:
        return conclude([], seen, proven="")
    if isinstance(value, NoBaseline):
        record = f"./cutover backup baseline --cluster {case.cluster.name}"
        why = f"there is no baseline to compare with; before the work: {record}"
        return conclude([unknown(case.cluster.legacy["path"], why)], seen, proven="")
    before, sums = value.baseline, value.sums
    day = datetime.fromtimestamp(before.started, UTC)
    return conclude(
        _findings(case.cluster.legacy["path"], value),
        seen,
        proven=f"{sums.files} files ({sums.bytes / _GB:.1f} GB) are as they were on "
        f"{day:%d %B %Y, %H:%M} UTC (baseline {before.sha256[:16]}…)",
        measured={
            "files_count": sums.files,
            **{f"{kind}_count": number for kind, number in asdict(value.counts).items()},
        },
    )


def _findings(root: str, value: Comparison) -> Iterator[Finding]:
    before = value.baseline
    if before.root != root:
        yield unknown(root, f"the baseline is of {before.root}")
        return
    if before.more_left_out:
        left = ", ".join(before.more_left_out)
        yield unknown(root, f"the baseline left out {left}, which the profile does not except")
    if not before.sums.files:
        yield unknown(root, "the baseline holds no file, so nothing could have changed")
    counts = value.counts
    yield from _different(root, value, "changed", counts.changed)
    yield from _different(root, value, "removed", counts.removed)
    yield from _different(root, value, "added", counts.added)
    if counts.unread:
        (first, *_) = [it for it in value.first if it.kind == "unread"]
        text = f"{counts.unread} could not be compared, the first because of"
        yield unknown(f"{root}/{first.path}", f"{text} {', '.join(first.what)}")


def _different(root: str, value: Comparison, kind: Kind, count: int) -> Iterator[Finding]:
    words = _WORDS[kind]
    named = [it for it in value.first if it.kind == kind][:_SAID]
    for it in named:
        text = f"{words} {', '.join(it.what)}" if it.what else words
        yield Finding(f"{root}/{it.path}", text)
    if count > len(named):
        yield Finding(root, f"{count - len(named)} more {kind}")


CHECKS = {
    "the existing storage is mounted and readable everywhere": mounted_and_readable,
    "the existing storage is unchanged": unchanged,
}
