"""Folders that root makes on a machine: what another user planted there is refused, never used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backup import manifest
from harness.backup.manifest import Making, Tree
from harness.core.errors import TransportError
from harness.drill import recovery
from harness.drill.recovery import sweep_folders
from harness.settings import ROOT
from harness.tests.fake_transport import FakeShell, ShellAnswer
from harness.tests.local_shell import really
from harness.tests.stage import reach
from harness.transport import Completed, own_folder


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
    monkeypatch.setattr(manifest, "FOLDERS", str(kept))
    shell = FakeShell({("*", "nice"): really})
    one = Making(shell=shell, tree=Tree(machine="one", root=str(tree)), name="baseline")
    with pytest.raises(TransportError, match="open to other users"):
        one.make()
    assert victim.read_text() == "root's own"


def as_of_a_killed_script(path: Path) -> Path:
    """A folder that a script made a minute ago, with something in it."""
    path.mkdir(mode=0o700)
    (path / "data").mkdir()
    (path / "data" / "secret").write_text("x")
    then = time.time() - 60
    os.utime(path, (then, then))
    return path


def test_what_a_killed_script_left_is_swept_and_nothing_that_another_may_need(
    tmp_path: Path,
) -> None:
    left, other = (as_of_a_killed_script(tmp_path / it) for it in ("ours-left", "theirs-left"))
    young = tmp_path / "ours-young"
    young.mkdir(mode=0o700)
    with own_folder.scratch(str(tmp_path), "ours-") as held:
        os.utime(held, (0, 0))
        assert own_folder.sweep(str(tmp_path), "ours-") == {str(left): None}
        assert sorted(tmp_path.iterdir()) == sorted([Path(held), young, other])
    assert sorted(tmp_path.iterdir()) == [young, other]


def test_a_sweep_removes_nothing_that_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = as_of_a_killed_script(tmp_path / "another's")
    link, is_open, file = (tmp_path / f"ours-{it}" for it in ("link", "open", "file"))
    link.symlink_to(others)
    as_of_a_killed_script(is_open).chmod(0o755)
    file.touch()
    foreign = as_of_a_killed_script(tmp_path / "ours-foreign")
    user = os.geteuid()
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: user + 1)
        assert own_folder.sweep(str(tmp_path), "ours-", -1.0) == {}
    assert own_folder.sweep(str(tmp_path), "ours-", -1.0) == {str(foreign): None}
    assert sorted(tmp_path.iterdir()) == sorted([others, link, is_open, file])
    assert (others / "data/secret").exists()


HOLDS = """
import sys, time
from harness.tests.stage import reach
from harness.transport import Completed, own_folder
with own_folder.scratch(sys.argv[1], "ours-") as folder:
    sys.stdout.write(folder)
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_a_folder_is_its_scripts_until_that_is_killed(tmp_path: Path) -> None:
    """Also when nobody has heard of the script for long: its lock ends with it, and no sooner."""
    script = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with script:
        assert script.stdout is not None
        folder = script.stdout.read(len(str(tmp_path)) + len("/ours-12345678"))
        assert own_folder.sweep(str(tmp_path), "ours-", -1.0) == {}
        script.kill()
        script.wait()
        assert own_folder.sweep(str(tmp_path), "ours-", -1.0) == {folder: None}


def test_heal_sweeps_the_folders_of_every_script_on_every_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = [(prefix, older_s) for _, prefix, older_s in recovery.OF_SCRIPTS]
    here = tuple((str(tmp_path), prefix, older_s) for prefix, older_s in kinds)
    monkeypatch.setattr(recovery, "OF_SCRIPTS", here)
    left = [as_of_a_killed_script(tmp_path / f"{prefix}x") for prefix, _ in kinds]
    answers: Mapping[tuple[str, str], ShellAnswer] = {
        ("one", "python3"): really,
        ("two", "python3"): Completed(status=127, stdout="", stderr="python3: not found"),
    }
    mended = [*sweep_folders(replace(reach(), shell=FakeShell(answers)))]
    swept = [it for it in mended if it.place == "one"]
    # A manifest is gone on with for a day.
    assert [it.what.split()[2] for it in swept] == [f"{path}," for path in left[:2]]
    assert [it.trouble for it in swept] == [None, None]
    assert sorted(tmp_path.iterdir()) == [left[2]]
    (unknown,) = [it for it in mended if it.place == "two"]
    assert unknown.what == "folders of scripts"
    assert "not known: two: python3 did not run" in (unknown.trouble or "")


def test_it_needs_nothing_of_ours_where_it_runs() -> None:
    text = Path(own_folder.__file__).read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", text, "[]"], check=False)
    assert done.returncode == 0
