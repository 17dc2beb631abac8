"""The probes of what must be kept: mounts and manifests against a baseline."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.backup import manifest
from harness.core.errors import ConfigError, NotProven, TransportError, Unreachable
from harness.probes.legacy import making
from harness.probes.scripts import mount_script
from harness.settings import Profile
from harness.tests.fake_transport import FakeShell
from harness.tests.local_shell import really
from harness.tests.probe_rig import MACHINES, PROFILE, observe, reach
from harness.transport import Completed

ONE, TWO, THREE = MACHINES
MOUNT = {"type": "fuse.ceph-fuse", "source": "ceph-fuse", "root": "/", "read_only": False}
READS = {"mount": MOUNT, "read": {"value": {"names": 1, "read": "a"}}}
HANGS = {"mount": MOUNT, "read": {"error": "no answer within 20 s"}}
TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 22 0:50 / /mnt/ceph\040fs rw,nosuid shared:9 - fuse.ceph-fuse ceph-fuse rw,user_id=0
91 22 0:51 / /mnt/twice rw - tmpfs below rw
92 22 0:52 / /mnt/twice rw - ceph 10.0.0.1:6789,10.0.0.2:6789:/ rw
"""


def said(value: Any) -> Completed:
    return Completed(status=0, stdout=json.dumps(value), stderr="")


def storage(tmp_path: Path) -> Profile:
    """A profile whose existing storage is a small tree here."""
    assert PROFILE.legacy is not None
    (tmp_path / "tree/logs").mkdir(parents=True)
    for name in ("one", "two", "three"):
        (tmp_path / "tree" / name).write_text(name)
    legacy = PROFILE.legacy.model_copy(
        update={
            **MOUNT,
            "path": str(tmp_path / "tree"),
            "baseline": tmp_path / "state/baseline.zst",
            "may_change": ("logs",),
        }
    )
    return PROFILE.model_copy(update={"legacy": legacy})


def shell(**mounts: Any) -> FakeShell:
    answers: dict[tuple[str, str], Any] = {("*", "nice"): really}
    answers |= {(machine, "python3"): said(READS) for machine in MACHINES}
    return FakeShell(answers | {(machine, "python3"): it for machine, it in mounts.items()})


# --- mounts -----------------------------------------------------------------------------------


def test_what_is_mounted_at_a_path_is_the_latest_mount_of_it() -> None:
    assert mount_script.mounted("/mnt/ceph fs", TABLE.strip()) == MOUNT
    found = mount_script.mounted("/mnt/twice", TABLE.strip())
    source = "10.0.0.1:6789,10.0.0.2:6789:/"
    assert found == {"type": "ceph", "source": source, "root": "/", "read_only": False}
    for line in (
        "92 22 0:52 /sub /mnt/it ro,relatime shared:1 - ceph 10.0.0.1:/ rw,name=admin",
        "92 22 0:52 /sub /mnt/it rw,relatime - ceph 10.0.0.1:/ ro,name=admin",
    ):
        found = mount_script.mounted("/mnt/it", line)
        assert found == {"type": "ceph", "source": "10.0.0.1:/", "root": "/sub", "read_only": True}
    assert mount_script.mounted("/mnt", TABLE.strip()) is None


def test_a_folder_is_read_by_a_child_and_a_silent_one_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("x")
    assert mount_script.read(str(tmp_path), 20) == {"value": {"names": 1, "read": "folder/file"}}
    assert mount_script.read(str(tmp_path), 0) == {"error": "no answer within 0 s"}


def test_a_machine_that_garbles_or_fails_is_not_seen(tmp_path: Path) -> None:
    profile = storage(tmp_path)
    for answer in (
        Completed(status=0, stdout="?", stderr=""),
        Completed(status=1, stdout="", stderr=""),
    ):
        with pytest.raises(TransportError):
            observe("legacy-mount", reach(shell(**{ONE: answer}), like=profile), ONE)
    assert observe("legacy-mount", reach(shell(), like=profile), ONE) == {**READS, "write": None}
    without = PROFILE.model_copy(update={"legacy": None})
    with pytest.raises(NotProven, match="declares no existing storage"):
        observe("legacy-mount", reach(shell(), like=without), ONE)


def wrote(profile: Profile, seen: Any, **answers: Any) -> tuple[Any, list[list[str]]]:
    """What a look tells of its write, and the words behind each call of the script."""
    calls: list[list[str]] = []

    def python(argv: Any, _: str) -> Completed:
        calls.append(list(argv[6:]))
        return said(answers if argv[6:] else seen)

    ways = reach(FakeShell({(ONE, "python3"): python}), like=profile)
    return observe("legacy-mount", ways, ONE)["write"], calls


def test_it_is_written_to_only_where_that_is_declared_and_what_is_declared_is_mounted(
    tmp_path: Path,
) -> None:
    profile = storage(tmp_path)
    assert wrote(profile, READS, value=True) == (None, [[]])
    assert profile.legacy is not None
    legacy = profile.legacy.model_copy(update={"writes": "logs"})
    allowed = profile.model_copy(update={"legacy": legacy})
    told, ((), (folder, suffix)) = wrote(allowed, READS, value=True)
    assert (told, folder) == ({"folder": f"{legacy.path}/logs", "value": True}, "logs")
    other, (_, (_, another)) = wrote(allowed, READS, error="Input/output error")
    assert (other["error"], suffix == another) == ("Input/output error", False)
    for unfit in (
        {"mount": None, "read": None},
        HANGS,
        {**READS, "mount": {**MOUNT, "read_only": True}},
        {**READS, "mount": {**MOUNT, "type": "ext4"}},
    ):
        assert wrote(allowed, unfit, value=True) == (None, [[]])


def test_what_is_written_is_removed_and_older_leftovers_with_it(tmp_path: Path) -> None:
    left, young, open_, link = (
        tmp_path / f"{mount_script.PREFIX}{it}" for it in ("left", "young", "open", "link")
    )
    for folder in (left, young, open_):
        folder.mkdir(mode=0o700)
        (folder / "kept").touch()
    open_.chmod(0o755)
    link.symlink_to(young)
    for folder in (left, open_):
        os.utime(folder, (0, 0))
    assert mount_script.write(str(tmp_path), ".", "mine", 20) == {"value": True}
    assert sorted(tmp_path.iterdir()) == sorted([young, open_, link])
    assert (young / "kept").exists()


def test_a_folder_that_takes_no_writes_is_told_in_the_systems_words(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        assert "error" in mount_script.write("/proc", ".", "mine", 20)
    else:
        tmp_path.chmod(0o500)
        assert mount_script.write(str(tmp_path), ".", "mine", 20) == {"error": "Permission denied"}
    assert mount_script.write(str(tmp_path), ".", "mine", 0) == {"error": "no answer within 0 s"}


def test_a_folder_of_another_is_neither_written_to_nor_removed(tmp_path: Path) -> None:
    taken = tmp_path / f"{mount_script.PREFIX}mine"
    taken.mkdir(mode=0o700)
    (taken / "kept").touch()
    assert mount_script.write(str(tmp_path), ".", "mine", 20) == {"error": "File exists"}
    assert (taken / "kept").exists()


def test_a_write_that_fails_on_its_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = mount_script.WRITE.replace('os.rename("new", "kept"', 'os.rename("gone", "kept"')
    assert broken != mount_script.WRITE
    monkeypatch.setattr(mount_script, "WRITE", broken)
    assert mount_script.write(str(tmp_path), ".", "mine", 20) == {
        "error": "No such file or directory"
    }
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["missing", "a link", "a file"])
def test_a_folder_that_is_not_there_is_not_written_to(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    if kind == "a file":
        place.touch()
    said = mount_script.write(str(tmp_path), "place", "mine", 20)
    assert str(place) in str(said["unasked"])


def test_a_folder_of_another_file_system_says_nothing_of_this_one() -> None:
    told = mount_script.write("/", "proc", "mine", 20)
    assert told == {"unasked": "//proc: another file system is mounted there"}


# --- manifests --------------------------------------------------------------------------------


def test_without_a_baseline_nothing_is_read(tmp_path: Path) -> None:
    ways = FakeShell({})
    seen = observe("legacy-manifest", reach(ways, like=storage(tmp_path)), "contabo")
    assert (seen, ways.calls) == ({"machine": None, "baseline": None}, [])


def test_the_storage_is_compared_with_its_baseline_on_a_machine_that_reads(tmp_path: Path) -> None:
    profile = storage(tmp_path)
    legacy = profile.legacy
    assert legacy is not None
    ways = reach(shell(**{ONE: said(HANGS), TWO: Unreachable("no route")}), like=profile)
    one = making(ways, legacy, f"test-{tmp_path.name}")
    one.make()
    recorded = manifest.record_baseline(one.lines(), legacy.baseline)
    one.drop()
    assert legacy.baseline.stat().st_mode & 0o77 == 0
    (tmp_path / "tree/one").write_text("One")
    (tmp_path / "tree/two").unlink()
    (tmp_path / "tree/logs/today").write_text("may change")
    seen = observe("legacy-manifest", ways, "contabo")
    assert seen["machine"] == THREE
    assert seen["baseline"]["sha256"] == recorded.sha256
    assert (seen["baseline"]["sums"]["files"], seen["sums"]["files"]) == (3, 2)
    assert seen["counts"] == {"changed": 1, "removed": 1, "added": 0, "unread": 0}
    found = {it["path"]: (it["kind"], it["what"]) for it in seen["first"]}
    assert found == {"one": ("changed", ["content", "time"]), "two": ("removed", [])}


def test_without_a_machine_that_reads_there_is_no_manifest(tmp_path: Path) -> None:
    profile = storage(tmp_path)
    assert profile.legacy is not None
    profile.legacy.baseline.parent.mkdir()
    profile.legacy.baseline.touch()
    hung = shell(**dict.fromkeys(MACHINES, said(HANGS)))
    with pytest.raises(Unreachable, match="no machine reads"):
        observe("legacy-manifest", reach(hung, like=profile), "contabo")
    silent = shell(**dict.fromkeys(MACHINES, Unreachable("no route", remedy="look at the cable")))
    with pytest.raises(Unreachable, match=f"; {THREE}: no route\n  What to do: look at the cable"):
        observe("legacy-manifest", reach(silent, like=profile), "contabo")


def lines(count: int) -> list[bytes]:
    values: list[Any] = [{"manifest": 1, "root": "/", "except": [], "started": 0}]
    values += [{"path": f"{number:04}", "type": "folder"} for number in range(count)]
    values.append({"end": {"entries": count}})
    return [json.dumps(value).encode() + b"\n" for value in values]


def test_a_baseline_comes_back_as_it_was_recorded_and_a_damaged_one_does_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "deep/baseline.zst"
    recorded = manifest.record_baseline(lines(300), path)
    assert recorded.sha256 == manifest.digest(path)
    with manifest.opened_baseline(path) as opened:
        assert [int(entry["path"]) for entry in opened] == list(range(300))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(NotProven), manifest.opened_baseline(path) as opened:
        list(opened)
    path.write_bytes(b"no zstd")
    with pytest.raises(NotProven, match="damaged"), manifest.opened_baseline(path) as opened:
        list(opened)


def test_a_baseline_that_is_not_whole_or_cannot_be_written_leaves_the_old_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "baseline.zst"
    recorded = manifest.record_baseline(lines(3), path)
    with pytest.raises(NotProven, match="not whole"):
        manifest.record_baseline(lines(3)[:-1], path)
    assert (manifest.digest(path), list(tmp_path.iterdir())) == (recorded.sha256, [path])
    with pytest.raises(ConfigError, match="cannot write"):
        manifest.record_baseline(lines(3), path / "below a file")
