"""Two real trees, as manifests: equal ones have no difference, and one change is one difference."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backup import manifest
from harness.backup import tree_script as tree
from harness.backup.compare import compare
from harness.backup.manifest import Entry, Making, Tree, TreeManifest, shown
from harness.core.errors import NotProven
from harness.tests.fake_transport import FakeShell
from harness.tests.local_shell import really

HERE = "vmi2887101"
SHELL = FakeShell({("*", "nice"): really})
ODD = (b"a line\nand another", b"not-\xff-utf8", b"\xe2\x82\xac", b" ", b'"', b"\\n", b"..a")
NAMES = st.sampled_from(ODD) | st.binary(min_size=1, max_size=6).filter(
    lambda it: not set(it) & {0, 47} and it not in (b".", b"..", b"moved")
)
FILES = st.dictionaries(NAMES, st.binary(min_size=1, max_size=40), min_size=1, max_size=6)
FOLDERS = (b"ab", b"ff")


def plant(root: bytes, files: Mapping[bytes, bytes]) -> None:
    """Each file in both folders, all with the same mode and time."""
    for folder in FOLDERS:
        os.makedirs(root + b"/" + folder)  # noqa: PTH103 (bytes)
        for name, content in files.items():
            write(root + b"/" + folder + b"/" + name, content)


def write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 (bytes)
        file.write(content)
    os.chmod(path, 0o640)  # noqa: PTH101 (bytes)
    os.utime(path, ns=(0, 0))


def files_of(root: bytes) -> Iterator[Entry]:
    """As the restore drill compares them: everything but folders."""
    described = (tree.describe(root, item) for item in tree.walk(root, []))
    return (entry for entry in described if entry["type"] != "folder")


def a_byte(path: bytes, content: bytes) -> None:
    """Size and time stay."""
    write(path, bytes([content[0] ^ 1]) + content[1:])


def a_mode(path: bytes, _: bytes) -> None:
    os.chmod(path, 0o644)  # noqa: PTH101 (bytes)


def a_time(path: bytes, _: bytes) -> None:
    os.utime(path, ns=(0, 1))


def a_link(path: bytes, _: bytes) -> None:
    """The same content, by way of a link."""
    os.rename(path, path + b".target")  # noqa: PTH104 (bytes)
    os.symlink(path + b".target", path)  # noqa: PTH211 (bytes)


def a_name(path: bytes, _: bytes) -> None:
    os.rename(path, os.path.dirname(os.path.dirname(path)) + b"/moved")  # noqa: PTH104, PTH120


CHANGES: dict[Callable[[bytes, bytes], None], tuple[tuple[str, str], ...]] = {
    a_byte: (("changed", "content"),),
    a_mode: (("changed", "mode"),),
    a_time: (("changed", "time"),),
    a_link: (("changed", "type (file to link)"), ("added", "")),
    a_name: (("removed", ""), ("added", "")),
}


@settings(max_examples=60, deadline=None)
@given(FILES, st.sampled_from(sorted(CHANGES, key=lambda it: it.__name__)), st.data())
def test_one_change_in_a_copied_tree_is_found_under_its_own_name(
    files: dict[bytes, bytes], change: Callable[[bytes, bytes], None], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as place:
        one, other = os.fsencode(place) + b"/one", os.fsencode(place) + b"/other"
        plant(one, files)
        plant(other, files)
        assert list(compare(files_of(one), files_of(other))) == []
        name = data.draw(st.sampled_from(sorted(files)))
        path = data.draw(st.sampled_from(FOLDERS)) + b"/" + name
        change(other + b"/" + path, files[name])
        found = list(compare(files_of(one), files_of(other)))
    assert sorted((it.kind, "".join(it.what)) for it in found) == sorted(CHANGES[change])
    here = next(it for it in found if it.kind != "added")
    assert here.path == shown({"path": tree.told(path)})


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Making:
    """The whole manifest of a tree of odd names."""
    monkeypatch.setattr("harness.backup.manifest.FOLDERS", str(tmp_path / "kept"))
    plant(os.fsencode(tmp_path / "tree"), dict.fromkeys(ODD, b"content"))
    name = f"test-{secrets.token_hex(4)}"
    one = Making(shell=SHELL, tree=Tree(machine=HERE, root=str(tmp_path / "tree")), name=name)
    one.make()
    return one


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_manifest_is_the_same_in_pieces_of_any_length(
    made: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    whole = list(made.lines())
    (lines,) = (tmp_path / "kept").glob("*/lines.gz")
    length = lines.stat().st_size
    assert sum(1 for _ in TreeManifest(whole, "it")) == 1 + len(FOLDERS) * (1 + len(ODD))
    for pieces in (1, 2, 5):
        monkeypatch.setattr(manifest, "_PIECE", length // pieces + beyond)
        assert list(made.lines()) == whole


def test_a_line_that_is_no_ascii_is_garbled_and_no_entry(made: Making) -> None:
    header, first, *rest = made.lines()
    odd = first.replace(b'"."', '"€"'.encode())
    assert odd != first
    with pytest.raises(NotProven, match="garbled"):
        list(TreeManifest([header, odd, *rest], "it"))
