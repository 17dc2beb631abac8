"""What keeps undo on a machine, run here: its folders lie elsewhere, and systemd is a stand-in."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.faults import agent_script

# Timers are files; what was asked for is noted.
SYSTEMD_RUN = """#!/bin/sh
echo "systemd-run $*" >> {home}/asked
for word; do case $word in --unit=*) touch {home}/timers/${{word#--unit=}}.timer;; esac; done
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> {home}/asked
case $1 in
list-units) ls {home}/timers;;
stop) shift; for unit; do rm {home}/timers/$unit; done;;
esac
"""
NFT = """#!/bin/sh
cat {home}/tables
"""


@dataclass(frozen=True)
class Place:
    """A machine in small."""

    home: Path

    @property
    def entry(self) -> Path:
        return agent_script.FOLDER / "f00d"

    @property
    def timers(self) -> list[str]:
        return sorted(path.name for path in (self.home / "timers").iterdir())

    @property
    def undone(self) -> int:
        note = self.home / "note"
        return len(note.read_text().splitlines()) if note.exists() else 0

    def arm(self, *more: list[str]) -> None:
        note = ["sh", "-c", 'echo undone >> "$1"', "note", str(self.home / "note")]
        entry = {"id": "f00d", "commands": [note, *more], "lease_s": 30.0}
        agent_script.arm(json.dumps(entry))

    def boot(self) -> int:
        """What the unit does that runs at every boot; its status."""
        unit = agent_script.BOOT_UNIT.read_text().replace("\\\n", " ")
        (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
        script = line.partition("-c ")[2].strip("'")
        return subprocess.run(["/bin/sh", "-c", script], check=False, timeout=20).returncode


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    units = tmp_path / "units"
    for folder in (units, tmp_path / "timers", tmp_path / "bin"):
        folder.mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL), ("nft", NFT)):
        program = tmp_path / "bin" / name
        program.write_text(text.format(home=tmp_path))
        program.chmod(0o755)
    (tmp_path / "tables").touch()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(agent_script, "FOLDER", tmp_path / "faults")
    monkeypatch.setattr(agent_script, "UNITS", units)
    for name in ("RUN", "MANIFESTS", "BLKIO", "SET"):
        (tmp_path / "machine" / name).mkdir(parents=True)
        monkeypatch.setattr(agent_script, name, tmp_path / "machine" / name)
    monkeypatch.setattr(agent_script, "BOOT_UNIT", units / "cutover-heal.service")
    wants = units / "multi-user.target.wants" / "cutover-heal.service"
    monkeypatch.setattr(agent_script, "AT_BOOT", wants)
    return Place(tmp_path)


def test_an_armed_undo_has_a_timer_and_a_unit_that_runs_it_after_a_boot(place: Place) -> None:
    place.arm()
    assert place.timers == ["cutover-undo-f00d-1.timer"]
    asked = (place.home / "asked").read_text()
    assert "--on-active=30s" in asked
    assert asked.rstrip().endswith(f"undo {place.entry / 'undo'}")
    assert agent_script.AT_BOOT.resolve() == agent_script.BOOT_UNIT
    assert place.undone == 0


def test_after_a_boot_it_is_undone_and_nothing_is_left(place: Place) -> None:
    place.arm()
    assert place.boot() == 0
    assert place.undone == 1
    assert not agent_script.FOLDER.exists()
    assert not agent_script.BOOT_UNIT.exists()
    assert not agent_script.AT_BOOT.is_symlink()


def test_what_fails_after_a_boot_is_tried_until_it_succeeds(place: Place) -> None:
    """Systemd starts the unit again when it fails: then the network, or the API, may be there."""
    network = place.home / "network"
    place.arm(["ls", str(network)])
    agent_script.arm(json.dumps({"id": "beef", "commands": [["true"]], "lease_s": 30}))
    unit = agent_script.BOOT_UNIT.read_text().splitlines()
    for setting in (
        "Wants=network-online.target",
        "After=network-online.target",
        "Restart=on-failure",
        "StartLimitIntervalSec=0",
    ):
        assert setting in unit
    assert "Type=oneshot" not in unit
    assert [place.boot(), place.boot()] == [1, 1]
    assert [entry["id"] for entry in agent_script.listing()["armed"]] == ["f00d"]
    assert agent_script.AT_BOOT.is_symlink()
    network.touch()
    assert place.boot() == 0
    assert not agent_script.FOLDER.exists()
    assert not agent_script.AT_BOOT.is_symlink()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit_for_a_boot(place: Place) -> None:
    place.arm()
    done = subprocess.run(
        [shutil.which("systemd-analyze") or "", "verify", "--man=no", agent_script.BOOT_UNIT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "cutover-heal" not in done.stderr


@pytest.mark.usefixtures("place")
def test_a_command_that_hangs_is_given_up_and_tried_again() -> None:
    """As ``kubectl`` does without a network."""
    entry = {"id": "f00d", "commands": [["sleep", "60"]], "lease_s": 30.0, "within_s": 0.2}
    agent_script.arm(json.dumps(entry))
    began = time.monotonic()
    assert agent_script.heal("f00d")["done"] is False
    assert time.monotonic() - began < 30


def test_a_renewed_lease_has_a_new_timer_and_the_old_one_is_gone(place: Place) -> None:
    place.arm()
    assert agent_script.renew("f00d", "12.5") == {"gone": False, "armed": "cutover-undo-f00d-2"}
    assert place.timers == ["cutover-undo-f00d-2.timer"]
    lines = (place.home / "asked").read_text().splitlines()
    started = next(n for n, line in enumerate(lines) if "--on-active=12.5s" in line)
    stopped = next(n for n, line in enumerate(lines) if line.startswith("systemctl stop"))
    assert started < stopped


def test_an_undo_that_is_armed_again_replaces_the_earlier_one_and_its_timer(place: Place) -> None:
    place.arm()
    note = ["sh", "-c", 'echo other > "$1"', "note", str(place.home / "other")]
    agent_script.arm(json.dumps({"id": "f00d", "commands": [note], "lease_s": 30.0}))
    assert place.timers == ["cutover-undo-f00d-2.timer"]
    assert agent_script.heal("f00d")["done"]
    assert (place.undone, (place.home / "other").read_text()) == (0, "other\n")
    assert place.timers == []


def test_a_machine_says_which_program_it_lacks_before_anything_is_armed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert agent_script.needs() == {"missing": []}
    (place.home / "bin/systemd-run").unlink()
    monkeypatch.setenv("PATH", str(place.home / "bin"))
    assert agent_script.needs() == {"missing": ["systemd-run", "sh", "flock", "timeout"]}


def test_a_lease_whose_undo_has_run_is_not_renewed(place: Place) -> None:
    place.arm()
    place.boot()
    assert agent_script.renew("f00d", "30") == {"gone": True}


def test_healing_twice_undoes_once(place: Place) -> None:
    place.arm()
    assert agent_script.heal("f00d") == {"done": True, "said": ""}
    assert agent_script.heal("f00d") == {"done": True, "said": ""}
    assert place.undone == 1
    assert place.timers == []


def test_the_unit_for_a_boot_stays_while_another_undo_is_armed(place: Place) -> None:
    place.arm()
    agent_script.arm(json.dumps({"id": "beef", "commands": [["true"]], "lease_s": 30}))
    agent_script.heal("f00d")
    assert agent_script.AT_BOOT.is_symlink()
    agent_script.heal("beef")
    assert not agent_script.AT_BOOT.is_symlink()


def test_a_command_that_fails_keeps_none_from_running_and_the_entry_and_its_timer_stay(
    place: Place,
) -> None:
    works, last = place.home / "works", place.home / "last"
    place.arm(["ls", str(works)], ["touch", str(last)])
    report = agent_script.heal("f00d")
    assert report["done"] is False
    assert "No such file" in report["said"]
    assert last.exists()
    assert (place.entry / "entry.json").exists()
    assert place.timers == ["cutover-undo-f00d-1.timer"]
    works.touch()
    assert agent_script.heal("f00d")["done"] is True
    assert place.undone == 2


def test_what_is_armed_is_listed_also_when_a_crash_tore_it(place: Place) -> None:
    place.arm()
    (agent_script.FOLDER / "beef").mkdir()
    armed = agent_script.listing()["armed"]
    assert [entry["id"] for entry in armed] == ["beef", "f00d"]
    assert agent_script.heal("beef")["done"] is True
    assert [entry["id"] for entry in agent_script.listing()["armed"]] == ["f00d"]


def test_what_carries_our_name_and_is_of_no_undo_is_found_with_what_removes_it(
    place: Place,
) -> None:
    place.arm()
    for unit in ("cutover-fault-f00d.service", "cutover-fault-beef.service"):
        (place.home / "timers" / unit).touch()
    (place.home / "tables").write_text(
        "table inet filter\ntable inet cutover-f00d\ntable ip6 cutover-cafe\n"
    )
    assert agent_script.listing()["leftovers"] == [
        ["nft", "delete table ip6 cutover-cafe"],
        ["systemctl", "stop", "cutover-fault-beef.service"],
    ]


def test_a_manifest_that_stayed_aside_is_found_with_what_moves_it_back(place: Place) -> None:
    place.arm()
    aside = agent_script.MANIFESTS.parent
    (aside / "cutover-f00d.etcd.yaml").write_text("armed")
    (aside / "cutover-beef.kube-apiserver.yaml").write_text("left")
    (command,) = agent_script.listing()["leftovers"]
    subprocess.run(command, check=True, timeout=20)
    assert (agent_script.MANIFESTS / "kube-apiserver.yaml").read_text() == "left"
    assert agent_script.listing()["leftovers"] == []


def test_a_program_that_kept_the_api_busy_is_found(place: Place) -> None:
    place.arm()
    for name in ("f00d", "beef"):
        (agent_script.RUN / f"cutover-{name}.py").touch()
    left = str(agent_script.RUN / "cutover-beef.py")
    assert agent_script.listing()["leftovers"] == [["rm", "--force", left]]


def test_a_control_group_of_ours_is_found_and_those_of_units_are_not(place: Place) -> None:
    place.arm()
    for name in ("cutover-f00d", "cutover-beef", "cutover-fault-cafe.service"):
        (agent_script.BLKIO / "osds" / name).mkdir(parents=True)
    (command,) = agent_script.listing()["leftovers"]
    assert command[-1] == str(agent_script.BLKIO / "osds/cutover-beef")
    assert "rmdir" in command[2]


def test_limits_that_an_osd_was_left_with_are_found_and_nobody_elses_are(place: Place) -> None:
    place.arm(["sh", "-c", "lift", "lift", "ceph-osd@1.service"])
    for unit in (
        "ceph-osd@0.service",
        "ceph-osd@1.service",
        "cri-containerd-a1.scope",
        "backup.service",
    ):
        for what in ("IOReadBandwidthMax", "IOWriteBandwidthMax", "CPUWeight"):
            file = agent_script.SET / f"{unit}.d/50-{what}.conf"
            file.parent.mkdir(exist_ok=True)
            file.touch()
    found = agent_script.listing()["leftovers"]
    assert [command[-1] for command in found] == ["ceph-osd@0.service", "cri-containerd-a1.scope"]
    assert all("IOWriteBandwidthMax=" in command[2] for command in found)


def test_a_timer_that_cannot_be_started_is_told(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = place.home / "bin/systemd-run"
    failing.write_text("#!/bin/sh\necho no bus; exit 1\n")
    entry = {"id": "f00d", "commands": [["true"]], "lease_s": 30}
    agent_script.main("arm", json.dumps(entry))
    assert json.loads(capsys.readouterr().out) == {"error": "RuntimeError: no timer: no bus"}


@pytest.mark.usefixtures("place")
@given(
    torn=st.one_of(
        st.text(max_size=30),
        st.recursive(
            st.one_of(st.none(), st.integers(), st.text(max_size=5)),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.text(max_size=3), inner, max_size=2)
            ),
        ).map(json.dumps),
    )
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_entry_with_any_content_is_listed_and_healed(torn: str) -> None:
    folder = agent_script.FOLDER / "beef"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "entry.json").write_text(torn)
    (folder / "undo").touch()
    (entry,) = agent_script.listing()["armed"]
    assert (entry["id"], type(entry["commands"])) == ("beef", list)
    assert agent_script.heal("beef")["done"] is True
    assert agent_script.listing()["armed"] == []
