"""What writes through the front leave, and `heal` after a killed harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.drill.recovery import RecoveryResult, remove_made
from harness.faults import disruption_lock
from harness.move.writes import begin_of, remove
from harness.record.records import Kind, Made
from harness.settings.shift import Writes
from harness.tests.front_writers import ALLOWED, LOGIN, WRITES, account, moving, writer
from harness.tests.moving import HERE, client
from harness.tests.probe_rig import PROFILE, reach
from harness.tests.test_way_back import Context
from harness.tests.two_platforms import Platforms, two_platforms
from harness.transport.network import Network


def removed(platforms: Platforms, **changes: Any) -> str:
    told = Writes.model_validate({**WRITES, **changes})
    return remove(client(platforms), told, account(platforms, "one", **changes), begin_of("run"))


def test_writes_that_stay_are_named_whatever_the_removal_was_answered(tmp_path: Path) -> None:
    begin = begin_of("run")
    there = f"writes through the front are still there, texts that begin with {begin}: "
    with two_platforms(tmp_path) as platforms:
        writer(platforms).send(0)
        platforms.keeps_writes = True
        assert removed(platforms) == f"{there}the removal was answered 204"
        told = removed(platforms, remove=None)
        assert told == f"{there}the profile declares no `shift.writes.remove:`"
        platforms.keeps_writes = False
        assert removed(platforms) == ""
        assert removed(platforms, remove=None) == ""
    assert removed(platforms).startswith(there)


@dataclass
class Moment:
    """What a record says, and the platforms store, when the harness is killed there."""

    made: Mapping[str, Made]
    writes: Sequence[str]


@dataclass
class Kills:
    """Notes the state at each record of a move, as a harness that is killed leaves it."""

    platforms: Platforms
    made: dict[str, Made] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)

    def note(self, kind: Kind, subject: str, data: Any) -> None:
        if kind is Kind.MADE:
            self.made[subject] = data
        there = {who: it for who, it in self.made.items() if it["event"] == "begun"}
        self.moments.append(Moment(there, [*self.platforms.writes]))


def healed(platforms: Platforms, moment: Moment, **changes: Any) -> Sequence[RecoveryResult]:
    """What `heal` makes of a killed harness."""
    platforms.writes[:] = moment.writes
    told = platforms.declared(writes={**WRITES, **changes})
    profile = PROFILE.model_copy(update={"shift": told})
    reached = reach(HERE, outside=Network(), like=profile)
    return [*remove_made(reached, moment.made, "heal", lambda _: None)]


@pytest.mark.parametrize("login", [None, LOGIN])
def test_a_harness_killed_at_any_record_leaves_no_write_that_heal_does_not_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: Any
) -> None:
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    with two_platforms(tmp_path) as platforms:
        platforms.guarded = login is not None
        kills = Kills(platforms)
        moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note), login=login)
        assert any(it.writes for it in kills.moments)
        for moment in kills.moments:
            results = healed(platforms, moment, login=login)
            assert platforms.writes == []
            assert [it.trouble for it in results] == [None] * len(moment.made)
        assert kills.moments[-1].made == {}


def test_what_heal_cannot_remove_is_named_until_it_is_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disruption_lock, "held", lambda *_: nullcontext())
    with two_platforms(tmp_path) as platforms:
        kills = Kills(platforms)
        moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note), remove=None)
        killed = next(it for it in kills.moments if it.writes)
        ((_, made),) = killed.made.items()
        (result,) = healed(platforms, killed, remove=None)
    assert result.place == "platform"
    assert result.trouble is not None
    assert f"texts that begin with {made['name']}" in result.trouble
    assert result.trouble.endswith(f"then: ./cutover heal --removed {made['name']}")


def test_writes_that_could_not_be_removed_keep_their_record_and_are_told(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        platforms.keeps_writes = True
        kills = Kills(platforms)
        context = Context(ALLOWED, folder=tmp_path, noted=kills.note)
        moving(platforms, context)
        (made,) = kills.made.values()
    assert made["event"] == "begun"
    assert f"begin with {made['name']}: the removal was answered 204" in context.said


def test_writes_that_the_profile_keeps_are_told_and_their_record_is_closed(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        kills = Kills(platforms)
        context = Context(ALLOWED, folder=tmp_path, noted=kills.note)
        moving(platforms, context, remove=None)
        (made,) = kills.made.values()
    assert made["event"] == "removed"
    assert f"begin with {made['name']}: the profile declares no" in context.said


def test_a_resumed_run_counts_no_write_of_the_session_that_was_killed(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        kills = Kills(platforms)
        moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note))
        killed = max((it.writes for it in kills.moments), key=len)
        platforms.writes[:] = killed
        platforms.turn(0)
        found = moving(platforms, Context(ALLOWED, folder=tmp_path, noted=kills.note))
        assert platforms.writes == killed != []
    tally = found.ledger["shift/front"]
    assert (tally["lost"], tally["duplicated"], tally["phantom"]) == (0, 0, 0)
    assert tally["ok"] == tally["found"] > 0
    assert len(kills.made) == 2
