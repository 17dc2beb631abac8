"""Backups are inspected without being restored: each defect has its own reason."""

from __future__ import annotations

import gzip
import os
import posixpath
import stat
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backup.restore import archive_script, dump_script, inspect_script
from harness.backup.restore.archive_script import Entry, Guard, leaves_root, link_leaves_root
from harness.backup.restore.dump_script import read_dump
from harness.backup.restore.inspect_script import Inspection, challenge, newest
from harness.core.model import JSON
from harness.tests import backup_files as files
from harness.tests.backup_files import DATABASE, FILES, order, write
from harness.tests.local_shell import really
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(dump_script, archive_script, inspect_script)


def faults(folder: Path, name: str, **changes: object) -> dict[str, str]:
    """The faults of a backup, by kind."""
    report = Inspection(order(folder, name, **changes)).run()
    found = report["faults"]
    assert isinstance(found, list)
    return dict(found)


def cut(content: bytes, percent: int) -> bytes:
    return content[: len(content) * percent // 100]


def said(**changes: object) -> Callable[[bytes, bytes], bytes]:
    return lambda database, data: files.metadata(database, data, **changes)


@pytest.fixture(params=["files", "zip"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return write(tmp_path) if request.param == "files" else files.odoo_zip(tmp_path / "a.zip")


def test_a_whole_backup_has_no_fault_and_every_known_damage_of_it_is_noticed(
    whole: str, tmp_path: Path
) -> None:
    for _ in range(10):
        assert faults(tmp_path, whole) == {}
    noticed = challenge(order(tmp_path, whole))
    assert len(noticed) == 13
    assert all(noticed.values()), noticed


def test_a_damage_that_a_backup_cannot_have_is_left_out(tmp_path: Path) -> None:
    name = write(tmp_path, database=files.dump(()), data=files.tar({}))
    assert "file of a row missing" not in challenge(order(tmp_path, name))


def test_a_file_that_the_customer_itself_lacks_is_counted_and_no_fault_of_the_backup(
    tmp_path: Path,
) -> None:
    """It is the first by name, so it would be the one that the challenge takes out."""
    lost = min(FILES)
    (Path(files.own_files(tmp_path)) / lost).unlink()
    kept = {name: content for name, content in FILES.items() if name != lost}
    there = order(tmp_path, write(tmp_path, data=files.tar(kept)))
    report = Inspection(there).run()
    assert (report["faults"], report["lacking"], report["attachments"]) == ([], 1, 3)
    assert challenge(there)["file of a row missing"]


def test_a_file_that_the_customer_has_and_its_backup_lacks_is_told_beside_one_that_both_lack(
    tmp_path: Path,
) -> None:
    lost, missing, _ = sorted(FILES)
    (Path(files.own_files(tmp_path)) / lost).unlink()
    kept = {name: content for name, content in FILES.items() if name not in (lost, missing)}
    found = faults(tmp_path, write(tmp_path, data=files.tar(kept)))
    assert found == {"moment": f"1 rows name a file that it has not: {missing}"}


def test_a_customer_whose_files_are_all_lost_has_no_file_to_take_out(tmp_path: Path) -> None:
    there = order(tmp_path, write(tmp_path, data=files.tar({})))
    for name in FILES:
        (tmp_path / "own" / name).unlink()
    assert "file of a row missing" not in challenge(there)


def test_an_inspection_counts_what_a_backup_holds(tmp_path: Path) -> None:
    report = Inspection(order(tmp_path, write(tmp_path))).run()
    counts = {key: report[key] for key in ("tables", "rows", "attachments", "files", "entries")}
    assert counts == {"tables": 2, "rows": 5, "attachments": 3, "files": 3, "entries": 4}


@pytest.mark.parametrize("percent", [0, 1, 30, 60, 90, 97, 99])
def test_a_dump_that_is_cut_is_told(tmp_path: Path, percent: int) -> None:
    there = cut(files.dump(), percent)
    kinds = faults(tmp_path, write(tmp_path, database=there), holds="").keys()
    assert kinds & {"cut", "empty", "damaged"}


@given(st.integers(0, 10_000))
def test_a_dump_is_whole_only_if_nothing_but_blank_lines_is_cut_off(share: int) -> None:
    import io

    whole = files.dump()
    there = whole[: len(whole) * share // 10_000]
    told: list[str] = []
    read_dump(io.BytesIO(there), lambda kind, _: told.append(kind))
    assert bool(told) == bool(whole[len(there) :].strip())


@pytest.mark.parametrize(
    ("database", "kind", "says"),
    [
        (b"", "empty", "the dump has no byte"),
        (bytes(5000), "damaged", "does not begin as a plain dump"),
        (b"PGDMP\x01\x0e", "damaged", "does not begin as a plain dump"),
        (files.dump().replace(b"a link", b"a\0link"), "damaged", "zero bytes"),
        (files.dump().replace(b"\\unrestrict Qx7fWc", b""), "cut", "\\unrestrict"),
        (files.dump().replace(b"\\unrestrict Qx7fWc", b"\\unrestrict else"), "cut", "\\unrestrict"),
        (files.dump()[: files.dump().index(b"2\t")], "cut", "within the rows of ir_attachment"),
        (files.dump() + b"SELECT 1;\n", "cut", "without its last line"),
    ],
)
def test_a_dump_that_is_none_is_told(tmp_path: Path, database: bytes, kind: str, says: str) -> None:
    found = faults(tmp_path, write(tmp_path, database=database), holds="")
    assert says in found[kind], found


def test_a_dump_of_an_older_version_has_no_token(tmp_path: Path) -> None:
    older = files.dump().replace(b"\\restrict Qx7fWc", b"").replace(b"\\unrestrict Qx7fWc", b"")
    assert faults(tmp_path, write(tmp_path, database=older)) == {}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"no archive at all", "damaged"),
        (cut(files.tar(), 60), "cut"),
        (files.tar()[:-8] + bytes(8), "damaged"),
        (gzip.compress(gzip.decompress(files.tar())[:2048]), "cut"),
        (files.tar({next(iter(FILES)): b"another content"}), "damaged"),
        (files.tar(FILES, files.member("../../etc/cron.d/x")), "escape"),
        (files.tar(FILES, files.member("/etc/cron.d/x")), "escape"),
        (files.tar(FILES, files.member("a", tarfile.SYMTYPE, "../b")), "link"),
        (files.tar(FILES, files.member("a", tarfile.SYMTYPE, "/etc")), "link"),
        (files.tar(FILES, files.member("a", tarfile.LNKTYPE, "../b")), "link"),
        (
            files.tar(FILES, files.member("a", tarfile.SYMTYPE, "."), files.member("a/b")),
            "link",
        ),
        (files.tar(FILES, files.member("sda", tarfile.BLKTYPE)), "device"),
        (files.tar(FILES, files.member("pipe", tarfile.FIFOTYPE)), "device"),
        (files.zeros(300 << 20), "bomb"),
        (files.tar(FILES, *(files.member(f"f{at}") for at in range(200))), "bomb"),
        (files.tar(dict(list(FILES.items())[1:])), "moment"),
        (files.tar(filestore="odoo_other"), "moment"),
    ],
)
def test_an_archive_that_must_not_be_unpacked_is_told(
    tmp_path: Path, data: bytes, kind: str
) -> None:
    found = faults(tmp_path, write(tmp_path, data=data))
    assert kind in found, found


def test_an_archive_that_unpacks_to_too_much_is_left_early(tmp_path: Path) -> None:
    name = write(tmp_path, data=files.zeros(300 << 20))
    limits = {**files.LIMITS, "bytes": 1 << 20}
    began = time.process_time()
    assert "more than 1048576 bytes" in faults(tmp_path, name, limits=limits)["bomb"]
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (("../x", 0o100644, b""), "escape"),
        (("a", stat.S_IFLNK | 0o777, b"../x"), "link"),
        (("sda", stat.S_IFBLK | 0o600, b""), "device"),
        (("zeros", 0o100644, bytes(200 << 20)), "bomb"),
    ],
)
def test_a_zip_that_must_not_be_unpacked_is_told(
    tmp_path: Path, more: tuple[str, int, bytes], kind: str
) -> None:
    assert kind in faults(tmp_path, files.odoo_zip(tmp_path / "a.zip", more=[more]))


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "empty"), (b"PK", "cut"), (b"no archive" * 9, "cut")],
)
def test_a_zip_that_is_none_is_told(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    assert kind in faults(tmp_path, "a.zip")


def test_a_zip_with_a_flipped_bit_is_damaged(tmp_path: Path) -> None:
    name = files.odoo_zip(tmp_path / "a.zip")
    content = bytearray((tmp_path / name).read_bytes())
    content[200] ^= 1
    (tmp_path / name).write_bytes(content)
    assert "damaged" in faults(tmp_path, name)


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"database_name": "odoo_other"}, "customer", "expected database_name odoo_demo_1a2b3c4d"),
        ({"customer_id": "c-2"}, "customer", "expected customer_id c-1, seen c-2"),
        ({"status": "failed"}, "claim", "seen failed"),
        ({"data_size": 7}, "claim", "expected 7 bytes of data.tar.gz"),
        ({"created_at": "2026-01-01T00:00:00"}, "stale", "before it was asked for"),
    ],
)
def test_what_a_backup_says_of_itself_is_held_against_it(
    tmp_path: Path, changes: dict[str, object], kind: str, says: str
) -> None:
    name = write(tmp_path, said=said(**changes))
    assert says in faults(tmp_path, name, metadata={"customer_id": "c-1"})[kind]


def test_a_dump_of_another_customer_under_this_ones_name_is_told(tmp_path: Path) -> None:
    name = write(tmp_path)
    assert "expected a row with 99" in faults(tmp_path, name, holds="99")["customer"]
    name = files.odoo_zip(tmp_path / "a.zip", said={"db_name": "odoo_other"})
    assert "seen odoo_other" in faults(tmp_path, name)["customer"]


def test_an_old_file_under_a_fresh_name_is_told(tmp_path: Path) -> None:
    name = write(tmp_path)
    os.utime(tmp_path / f"{name}_database.sql", (time.time() - 7200,) * 2)
    assert "the dump was written" in faults(tmp_path, name)["stale"]
    assert faults(tmp_path, name, asked=None) == {}


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    name = write(tmp_path)
    (tmp_path / f"{name}_data.tar.gz").unlink()
    assert "missing" in faults(tmp_path, name)


def test_the_newest_backup_of_a_customer_is_not_that_of_one_whose_name_is_longer(
    tmp_path: Path,
) -> None:
    asked = order(tmp_path, "")
    assert newest(asked) is None
    mine = write(tmp_path)
    other = f"{DATABASE}_b"
    write(tmp_path, name=f"{other}_20261129_130000", said=said(database_name=other))
    assert newest(asked) == mine
    assert newest({**asked, "asked": time.time() + 60}) is None


def test_the_script_runs_as_it_is_sent_to_a_machine(tmp_path: Path) -> None:
    """Every module that it needs goes with it."""
    import json

    asked: JSON = json.loads(json.dumps(order(tmp_path, write(tmp_path))))
    argv = [sys.executable, "-I", "-S", "-", "inspect", json.dumps(asked)]
    done = really(argv, _SCRIPT.text)
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["faults"] == []


# --- paths and links ---

PARTS = st.lists(st.sampled_from(["a", "b", "..", ".", ""]), min_size=1, max_size=6)


@given(PARTS)
def test_a_path_that_is_let_through_stays_within_the_root(parts: list[str]) -> None:
    name = "/".join(parts)
    if not leaves_root(name):
        assert posixpath.normpath(f"/root/{name}").startswith("/root")


@given(st.lists(st.tuples(st.sampled_from("ln"), PARTS, PARTS), max_size=5))
def test_what_is_unpacked_of_any_archive_stays_within_the_root(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, list[str], list[str]]]
) -> None:
    """Links are really made, and resolved by the kernel."""
    outer = tmp_path_factory.mktemp("outer")
    root = outer / "root"
    root.mkdir()
    guard = Guard()
    for kind, parts, target in entries:
        entry = Entry("/".join(parts), "link" if kind == "l" else "file", "/".join(target))
        if guard.against(entry) is not None:
            continue
        path = root / entry.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            assert path.parent.resolve().is_relative_to(root)
            if entry.kind == "link":
                path.symlink_to(entry.target)
            else:
                path.touch()
            path.stat()
        except FileNotFoundError:
            pass  # a link to nothing
        except OSError:
            continue  # the same name twice, or a loop
        assert os.path.realpath(path).startswith(str(root)), entry
    assert list(outer.iterdir()) == [root]


@pytest.mark.parametrize(
    ("name", "target", "leaves"),
    [
        ("a/b/c", "../x", False),
        ("a/b/c", "../../x", False),
        ("a/b/c", "../../../x", True),
        ("a/b/c", "l/../../x", True),
        ("a", "/etc", True),
        ("a", "b", False),
    ],
)
def test_a_link_may_lead_up_only_as_far_as_its_root(name: str, target: str, leaves: bool) -> None:
    assert link_leaves_root(name, target) is leaves
