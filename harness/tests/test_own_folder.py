"""Folders that root makes on a machine: what another user planted there is refused, never used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.backup import manifest
from harness.backup.manifest import Making, Tree
from harness.errors import TransportError
from harness.tests.local_shell import really
from harness.transport import own_folder
from harness.transport.fake import FakeShell


def test_a_folder_is_made_for_us_alone_under_any_umask(tmp_path: Path) -> None:
    path = tmp_path / "ours"
    before = os.umask(0)
    try:
        own_folder.make(str(path))
        own_folder.make(str(path))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["link", "dangling", "file", "open"])
def test_what_another_user_planted_is_refused(tmp_path: Path, what: str) -> None:
    path, elsewhere = tmp_path / "ours", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if what == "file":
        path.touch()
    elif what == "open":
        path.mkdir()
        path.chmod(0o770)
    else:
        path.symlink_to(elsewhere if what == "link" else tmp_path / "nothing")
    with pytest.raises(own_folder.NotOurs, match="remove it"):
        own_folder.make(str(path))
    assert not list(elsewhere.iterdir())


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours").mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    with pytest.raises(own_folder.NotOurs, match=f"belongs to user {owner}"):
        own_folder.make(str(tmp_path / "ours"))


def test_no_link_is_followed_at_the_end_of_a_path(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    (tmp_path / "lines.gz").symlink_to(victim)
    for mode in ("ab", "w", "rb"):
        with pytest.raises(OSError, match="symbolic link"):
            open(tmp_path / "lines.gz", mode, opener=own_folder.opener)  # noqa: SIM115
    assert victim.read_text() == "whole"


def test_a_manifest_is_not_made_in_a_planted_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a local user plants it: the folder of the manifest, with a link to a file of root's."""
    tree, kept, victim = tmp_path / "tree", tmp_path / "kept", tmp_path / "shadow"
    tree.mkdir()
    victim.write_text("root's own")
    kept.mkdir(mode=0o700)
    planted = kept / "cutover-manifest-baseline"
    planted.mkdir(mode=0o777)
    planted.chmod(0o777)
    (planted / "lines.gz").symlink_to(victim)
    monkeypatch.setattr(manifest, "_FOLDERS", str(kept))
    shell = FakeShell({("*", "nice"): really})
    one = Making(shell=shell, tree=Tree(machine="one", root=str(tree)), name="baseline")
    with pytest.raises(TransportError, match="open to other users"):
        one.make()
    assert victim.read_text() == "root's own"


def test_it_needs_nothing_of_ours_where_it_runs() -> None:
    text = Path(own_folder.__file__).read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", text], check=False)
    assert done.returncode == 0
