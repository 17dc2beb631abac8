"""Checks of what must be kept: the existing storage and the backups; each defect on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from harness.checks import CHECKS
from harness.core.model import Outcome
from harness.tests.clean_case import Seen, case, clean
from harness.tests.clean_cluster import NAMES

Defect: TypeAlias = Callable[[Seen], None]
MOUNT = {"type": "fuse.ceph-fuse", "source": "ceph-fuse", "root": "/", "read_only": False}
ANOTHER = {**MOUNT, "type": "ext4", "source": "/dev/sda1"}
EMPTY = dict.fromkeys(("entries", "files", "bytes", "errors", "unstable"), 0)
MOUNTED = "the existing storage is mounted and readable everywhere"
UNCHANGED = "the existing storage is unchanged"
SHARED, ALONE = "one shared claim holds the backups", "no instance has a backup claim of its own"
LAYOUT = "backups lie as declared"
ROOT = "/mnt/cephfs"


def _mount(**changes: Any) -> Defect:
    return lambda seen: seen["legacy-mount"][NAMES[1]].update(changes)


def _manifest(seen: Seen) -> Any:
    return seen["legacy-manifest"]["test"]


def _differs(kind: str, *what: str, count: int = 1) -> Defect:
    def defect(seen: Seen) -> None:
        _manifest(seen)["counts"][kind] = count
        _manifest(seen)["first"].append({"path": "a/b", "kind": kind, "what": list(what)})

    return defect


def _baseline(**changes: Any) -> Defect:
    return lambda seen: _manifest(seen)["baseline"].update(changes)


def _claims(seen: Seen) -> Any:
    return seen["backup-claims"]["test"]


def _claim(**changes: Any) -> Defect:
    return lambda seen: _claims(seen)["claims"][0].update(changes)


def _another(seen: Seen) -> None:
    ours = _claims(seen)["claims"][0]
    _claims(seen)["claims"].append(ours | {"name": "acme", "why": "role=backup"})


def _no_claim(seen: Seen) -> None:
    _claims(seen).update(claims=[], layout=None)


def _placed(place: str, name: str, kind: str) -> Defect:
    def defect(seen: Seen) -> None:
        _claims(seen)["layout"]["value"][place].append({"name": name, "kind": kind})

    return defect


def _without(name: str) -> Defect:
    def defect(seen: Seen) -> None:
        found = _claims(seen)["layout"]["value"]
        found["top"] = [it for it in found["top"] if it["name"] != name]

    return defect


DEFECTS: list[tuple[str, Defect, str]] = [
    (MOUNTED, _mount(mount=None, read=None), f"{NAMES[1]}: expected fuse.ceph-fuse of ceph-fuse"),
    (
        MOUNTED,
        _mount(mount=ANOTHER),
        "seen ext4 of /dev/sda1",
    ),
    (
        MOUNTED,
        _mount(mount={**MOUNT, "root": "/old"}),
        "expected the folder / of it at /mnt/cephfs",
    ),
    (MOUNTED, _mount(mount={**MOUNT, "read_only": True}), "seen it read-only (ro)"),
    (MOUNTED, _mount(read={"error": "no answer within 20 s"}), "seen no answer within 20 s"),
    (
        MOUNTED,
        _mount(read={"error": "OSError: [Errno 5] Input/output error: '/mnt/cephfs'"}),
        f"if Ceph evicted this client: restart the services that have files there, `umount -f -l "
        f"{ROOT}` and mount it again",
    ),
    (
        MOUNTED,
        _mount(write={"folder": ROOT, "error": "Cannot send after transport endpoint shutdown"}),
        "endpoint shutdown (if Ceph evicted this client: restart the services",
    ),
    (
        MOUNTED,
        _mount(write={"folder": f"{ROOT}/own", "error": "Read-only file system"}),
        f"{NAMES[1]}: expected a file written, renamed, read and removed in {ROOT}/own, seen "
        "Read-only file system",
    ),
    (UNCHANGED, _differs("changed", "content", "mode"), f"{ROOT}/a/b: expected it unchanged, seen"),
    (UNCHANGED, _differs("changed", "content", "mode"), "another content, mode"),
    (UNCHANGED, _differs("removed"), f"{ROOT}/a/b: expected it to be there, seen it gone"),
    (UNCHANGED, _differs("added", count=900), f"{ROOT}: 899 more added"),
    (SHARED, _claim(name="backups"), "odoo/odoo-backups-storage: expected this claim, seen none"),
    (SHARED, _no_claim, "expected this claim, seen none"),
    (SHARED, _claim(namespace="default"), "expected this claim, seen none"),
    (SHARED, _claim(phase="Pending"), "expected it to be bound, seen Pending"),
    (SHARED, _claim(phase="Terminating"), "expected it to be bound, seen Terminating"),
    (SHARED, _claim(modes=["ReadWriteOnce"]), "to be ReadWriteMany, seen ReadWriteOnce"),
    (SHARED, _claim(bytes=400 << 30), "expected 500 GiB, seen 400"),
    (ALONE, _another, "odoo/acme: expected no backup claim beside the shared one"),
    (LAYOUT, _without("staging"), "expected a folder staging/, seen none"),
    (LAYOUT, _placed("top", "acme", "folder"), "seen the folder acme"),
    (LAYOUT, _placed("active", "acme", "folder"), "files alone in active/, seen the folder acme"),
]
GAPS: list[tuple[str, Defect, str]] = [
    (
        MOUNTED,
        _mount(write={"folder": f"{ROOT}/own", "unasked": f"{ROOT}/own: No such file"}),
        f"{NAMES[1]}: {ROOT}/own: No such file",
    ),
    (UNCHANGED, lambda seen: _manifest(seen).update(baseline=None), "./cutover backup baseline"),
    (UNCHANGED, _baseline(root="/srv"), "the baseline is of /srv"),
    (UNCHANGED, _baseline(more_left_out=["odoo"]), "left out odoo"),
    (UNCHANGED, _baseline(sums=EMPTY), "holds no file"),
    (UNCHANGED, _differs("unread", "error: EIO"), f"{ROOT}/a/b: 1 could not be compared"),
    (ALONE, _no_claim, "no claim that holds backups at all"),
    (LAYOUT, _no_claim, "no claim to look into"),
    (LAYOUT, lambda seen: _claims(seen).update(layout={"error": "Pending"}), "Pending"),
    (LAYOUT, lambda seen: _claims(seen)["layout"]["value"].update(active=[]), "active/ is empty"),
]


@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_and_is_explained(check: str, defect: Defect, words: str) -> None:
    seen = clean()
    defect(seen)
    verdict = CHECKS[check](case(seen))
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason


@pytest.mark.parametrize(("check", "gap", "words"), GAPS, ids=[f"{c}: {w}" for c, _, w in GAPS])
def test_what_could_not_be_looked_at_is_not_proven(check: str, gap: Defect, words: str) -> None:
    seen = clean()
    gap(seen)
    verdict = CHECKS[check](case(seen))
    assert (verdict.outcome, words in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


@pytest.mark.parametrize("check", [MOUNTED, UNCHANGED, SHARED, ALONE, LAYOUT])
def test_nothing_seen_is_nothing_proven(check: str) -> None:
    assert CHECKS[check](case({})).outcome is Outcome.NOT_PROVEN


def test_a_defect_is_not_hidden_by_a_machine_that_does_not_answer() -> None:
    seen = clean()
    _mount(mount=None, read=None)(seen)
    verdict = CHECKS[MOUNTED](case(seen, {("legacy-mount", NAMES[0]): "no route"}))
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (NAMES[1],))
    assert f"not judged: {NAMES[0]}: no route" in verdict.reason


def test_backups_by_customer_are_declared_so() -> None:
    seen = clean()
    found = _claims(seen)["layout"]["value"]
    found["top"] = [{"name": name, "kind": "folder"} for name in ("done", "arriving")]
    found["active"] = [{"name": name, "kind": "folder"} for name in ("acme", "globex")]
    told = case(seen)
    assert told.cluster.backups is not None
    folders = ("done", "arriving")
    claim = replace(told.cluster.backups, folders=folders, active="done", flat=False)
    by_customer = replace(told, cluster=replace(told.cluster, backups=claim))
    assert CHECKS[LAYOUT](told).outcome is Outcome.FAIL
    verdict = CHECKS[LAYOUT](by_customer)
    assert verdict.outcome is Outcome.PASS
    assert (
        verdict.reason == "done/ holds backups (2 customers), and at the top are done/ and "
        "arriving/ alone"
    )
    found["active"].append({"name": "acme_data.tar.gz", "kind": "file"})
    verdict = CHECKS[LAYOUT](by_customer)
    assert "a folder for each customer in done/, seen the file acme_data.tar.gz" in verdict.reason
    assert verdict.outcome is Outcome.FAIL


def test_an_odd_claim_is_a_gap_and_not_a_missing_one() -> None:
    seen = clean()
    _claims(seen).update(claims=[], layout=None, odd={"odoo/odoo-backups-storage": "no size"})
    for check in (SHARED, ALONE):
        verdict = CHECKS[check](case(seen))
        assert verdict.outcome is Outcome.NOT_PROVEN
        assert "odoo/odoo-backups-storage: no size" in verdict.reason


def test_a_pass_says_what_it_rests_on() -> None:
    verdict = CHECKS[UNCHANGED](case(clean()))
    assert "40 files (3.0 GB)" in verdict.reason
    assert "baseline 5a5a" in verdict.reason
    assert verdict.measured["files_count"] == 40


def test_a_mount_that_is_declared_read_only_must_be_so() -> None:
    known = case(clean())
    cluster = replace(known.cluster, legacy={**known.cluster.legacy, "access": "ro"})
    verdict = CHECKS[MOUNTED](replace(known, cluster=cluster))
    assert verdict.outcome is Outcome.FAIL
    assert "expected /mnt/cephfs mounted read-only (ro)" in verdict.reason


def test_that_it_takes_writes_is_claimed_only_where_every_machine_wrote() -> None:
    seen = clean()
    verdict = CHECKS[MOUNTED](case(seen))
    assert verdict.reason == f"{ROOT} is mounted and takes reads and writes on every machine"
    _mount(write=None)(seen)
    verdict = CHECKS[MOUNTED](case(seen))
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason == f"{ROOT} is mounted and reads on every machine"
