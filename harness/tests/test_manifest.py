"""Manifests of trees: what an entry says, the order, going on after a kill, and damage."""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backup import tree_script as tree
from harness.backup.manifest import Making, Tree, TreeManifest, shown, unpacked
from harness.backup.manifest_script import BATCH, PREFIX
from harness.core.errors import NotProven, TimedOut, TransportError, Unreachable
from harness.tests.fake_transport import FakeShell
from harness.tests.local_shell import really
from harness.transport import Completed

HERE = "vmi2887101"


SHELL = FakeShell({("*", "nice"): really})


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A tree with one of everything."""
    root = tmp_path / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "folder!").write_bytes(b"sorts behind what is in the folder")
    (root / "folder/file").write_bytes(b"content")
    (root / "folder/file").chmod(0o640)
    os.link(root / "folder/file", root / "other name")
    (root / "link").symlink_to("folder/file")
    os.mkfifo(root / "pipe")
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"in the middle")
    with open(os.fsencode(root) + b"/not-\xff-utf8", "wb"):  # noqa: PTH123
        pass
    return root


def entries(root: Path, left_out: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    base = os.fsencode(root)
    found = [tree.describe(base, item) for item in tree.walk(base, list(left_out))]
    return {shown(entry): entry for entry in found}


def test_every_kind_of_entry_is_described(planted: Path) -> None:
    found = entries(planted)
    assert list(found) == sorted(found, key=lambda path: tree.key(path.encode()))
    assert next(iter(found)) == "."
    file = found["folder/file"]
    assert (file["type"], file["mode"], file["size"]) == ("file", "0o640", 7)
    assert file["sha256"].startswith("ed7002b4")
    assert (file["links"], file["inode"]) == (2, found["other name"]["inode"])
    assert found["link"]["target"] == "folder/file"
    assert found["pipe"]["type"] == "pipe"
    assert "size" not in found["folder"]
    assert found["not-\\xff-utf8"]["path"] == "not-\udcff-utf8"
    if (planted / "sparse").stat().st_blocks * 512 < 1 << 20:
        assert len(found["sparse"]["holes"]) == 16
    assert not [entry for entry in found.values() if {"error", "unstable"} & set(entry)]


def test_attributes_are_told_and_long_ones_by_their_digest(planted: Path) -> None:
    try:
        os.setxattr(planted / "folder/file", "user.origin", b"swarm")
        os.setxattr(planted / "folder", "user.long", b"x" * 300)
    except OSError:
        pytest.skip("this file system keeps no attributes")
    found = entries(planted)
    assert found["folder/file"]["xattrs"] == {"user.origin": "c3dhcm0="}
    assert len(found["folder"]["xattrs"]["user.long"]) == 64


def test_quotas_are_asked_for_by_name(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quota(path: bytes, name: str, **_: Any) -> bytes:
        if path.endswith(b"/folder") and name == "ceph.quota.max_bytes":
            return b"1048576"
        raise OSError(61, "no such attribute")

    monkeypatch.setattr(os, "getxattr", quota)
    monkeypatch.setattr(os, "listxattr", lambda *_, **__: [])
    assert entries(planted)["folder"]["quotas"] == {"ceph.quota.max_bytes": "1048576"}


def test_what_vanished_and_what_cannot_be_read_stays_in_the_manifest(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = os.fsencode(planted)
    assert tree.describe(root, tree.Item(b"gone"))["unstable"] == "it vanished"
    denied = tree.describe(root, tree.Item(b"folder", "Permission denied"))
    assert (denied["type"], denied["error"]) == ("folder", "Permission denied")

    def refuse(_: bytes) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(tree, "_opened", refuse)
    file = tree.describe(root, tree.Item(b"folder/file"))
    assert (file["error"], file["uid"]) == ("Input/output error", os.getuid())
    assert "sha256" not in file


def test_a_file_that_changes_while_it_is_read_is_unstable(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile() -> None:
        with (planted / "folder/file").open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(tree, "tick", meanwhile)
    found = tree.describe(os.fsencode(planted), tree.Item(b"folder/file"))
    assert found["unstable"] == "it changed while it was read"


def test_another_file_system_is_not_entered(planted: Path) -> None:
    listed, problem = tree.listing(os.fsencode(planted), device=-1)
    assert (listed, problem) == ([], "another file system is mounted here")


def test_a_walk_goes_on_behind_any_path_of_it(planted: Path) -> None:
    root = os.fsencode(planted)
    whole = [item.path for item in tree.walk(root, [])]
    for number, path in enumerate(whole):
        assert [item.path for item in tree.walk(root, [], path)] == whole[number + 1 :]
    # The path itself may be gone by then.
    assert next(tree.walk(root, [], b"folder/a")).path == b"folder/file"


def test_a_tree_deeper_than_python_recurses_is_walked(tmp_path: Path) -> None:
    # By a command: Python's own way recurses.
    subprocess.run(["mkdir", "-p", f"{tmp_path}/tree/{'/'.join(['d'] * 1200)}"], check=True)
    try:
        assert sum(1 for _ in tree.walk(os.fsencode(tmp_path / "tree"), [])) == 1201
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "tree")], check=True)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("volumes", "volumes", True),
        ("volumes", "volumes/a/b", True),
        ("volumes", "volumes2", False),
        ("volumes/*", "volumes", False),
        ("volumes/*", "volumes/a/b", True),
        ("*.log", "a/b.log", False),
        ("*/*.log", "a/b.log", True),
    ],
)
def test_a_pattern_matches_name_by_name_and_all_below(
    pattern: str, path: str, matches: bool
) -> None:
    assert tree.is_left_out(path, [pattern]) is matches


NAMES = st.binary(min_size=1, max_size=3).filter(lambda it: not set(it) & {0, 47} and it != b".")


@settings(max_examples=30, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=4))
def test_paths_are_ordered_part_by_part(one: list[bytes], other: list[bytes]) -> None:
    assert (tree.key(b"/".join(one)) < tree.key(b"/".join(other))) == (one < other)
    assert tree.key(b".") < tree.key(b"/".join(one))
    assert tree.raw(json.loads(json.dumps(tree.told(b"/".join(one))))) == b"/".join(one)


# --- made on a machine ------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the machine keeps manifests in the making."""
    folder = tmp_path / "kept"
    monkeypatch.setattr("harness.backup.manifest.FOLDERS", str(folder))
    return folder


@pytest.fixture
def name(kept: Path) -> str:  # noqa: ARG001 (what is made by this name lies there)
    return f"test-{secrets.token_hex(4)}"


def making(root: Path, name: str, **more: Any) -> Making:
    return Making(shell=SHELL, tree=Tree(machine=HERE, root=str(root)), name=name, **more)


def test_a_manifest_is_made_in_slices_fetched_whole_and_dropped(
    planted: Path, name: str, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = making(planted, name)
    folder = kept / f"{PREFIX}{name}"
    slices: list[Any] = []
    monkeypatch.setattr("harness.backup.manifest.SLICE_S", 0.0)

    def meanwhile(sums: Any) -> None:
        slices.append(sums)
        # What a killed run wrote and could not make certain.
        with (folder / "lines.gz").open("ab") as file:
            file.write(b"half a line")
        monkeypatch.setattr("harness.backup.manifest.SLICE_S", 60.0)

    for number in range(BATCH):
        (planted / f"more-{number:03}").write_bytes(b"x")
    sums = one.make(meanwhile)
    assert (len(slices), slices[0]["entries"]) == (1, BATCH)
    read = TreeManifest(one.lines(), "the manifest")
    assert {shown(entry): entry for entry in read} == entries(planted)
    assert read.sums == sums
    assert (sums["entries"], sums["errors"]) == (len(entries(planted)), 0)
    one.drop()
    assert not folder.exists()


def test_a_tree_that_is_not_there_or_stops_answering_gives_no_manifest(
    planted: Path, name: str
) -> None:
    with pytest.raises(Unreachable, match="is no folder"):
        making(planted / "nowhere", name).make()
    with pytest.raises(TimedOut, match="has not answered for 0 s"):
        making(planted, name, silent_s=0).make()


def test_a_socket_in_the_tree_is_an_entry_like_any_other(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert entries(tmp_path)["socket"]["type"] == "socket"


def test_garbage_from_a_machine_is_an_error() -> None:
    for said in ("", "no JSON"):
        answer = Completed(status=1, stdout=said, stderr="Traceback")
        shell = FakeShell({("*", "nice"): answer})
        with pytest.raises(TransportError, match="Traceback"):
            Making(shell=shell, tree=Tree(machine=HERE, root="/"), name="x").make()


# --- read ---------------------------------------------------------------------------------------

HEADER = {"manifest": 1, "root": "/", "except": [], "started": 0}


def lines(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        ([], "is no manifest"),
        (lines({"manifest": 2}), "is no manifest"),
        (lines(HEADER, {"path": "a"}), "is not whole: it ends after 1"),
        (lines(HEADER, {"path": "a"}, {"end": {"entries": 2}}), "is not whole"),
        (lines(HEADER, {"path": "b"}, {"path": "a"}), "out of order at a"),
        ([*lines(HEADER), b"{"], "garbled"),
    ],
)
def test_a_damaged_manifest_is_never_taken_for_a_whole_one(damaged: list[bytes], says: str) -> None:
    with pytest.raises(NotProven, match=says):
        list(TreeManifest(damaged, "it"))


def test_a_cut_off_file_is_damaged() -> None:
    packed = gzip.compress(b"line\n" * 1000)
    assert len(list(unpacked(io.BytesIO(packed)))) == 1000
    with pytest.raises(NotProven, match="damaged"):
        list(unpacked(io.BytesIO(packed[:-20])))
