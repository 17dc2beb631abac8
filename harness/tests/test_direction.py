"""Going back in the middle of a switch, and who may switch at all, without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
import pytest

from harness.backup.equality.session import Server
from harness.core.errors import Refused
from harness.facts.switch import Step
from harness.move.direction import Direction
from harness.move.rehearsal import must_be_possible
from harness.move.side import NotMet, Side, Thaw
from harness.move.stream import Stream
from harness.move.walk import Planned, walk
from harness.tests.switch_world import LIMITS


@dataclass
class FakeSide:
    """A PostgreSQL whose freeze ends by itself, or lasts."""

    name: str
    stays_frozen: bool = True
    is_superuser: str = "on"
    places: list[tuple[str, int, int]] = field(default_factory=list)
    thawed: list[str] = field(default_factory=list)
    server: Server = field(
        default_factory=lambda: Server(host="127.0.0.1", port=5432, user="app", password="")
    )

    def thaw(self, database: str) -> None:
        self.thawed.append(database)

    def open_for_reading(self, database: str) -> None:
        """It stays read-only."""

    def disarm(self) -> bool:
        return self.stays_frozen

    def is_same_server(self, _: object) -> bool:
        return False

    def databases(self) -> set[str]:
        return set()

    def setting(self, name: str) -> str:
        return {"is_superuser": self.is_superuser, "wal_level": "logical"}[name]

    def ask(self, *_: object) -> list[tuple[str, int, int]]:
        return self.places


def switched(goal: FakeSide, monkeypatch: pytest.MonkeyPatch) -> tuple[Direction, list[str]]:
    """A switch whose writers use the goal already, and where they are turned."""

    def freeze(self: Direction) -> str:
        self._thaw = cast("Thaw", self.origin)
        return ""

    monkeypatch.setattr(Direction, "freeze", freeze)
    for step in ("catch_up", "carry_sequences"):
        monkeypatch.setattr(Direction, step, lambda _: "")
    used: list[str] = []
    old, new = cast("Side", FakeSide("source")), cast("Side", goal)
    streams = (Stream(name="there", database="app", origin=old, goal=new),)
    back = (Stream(name="back", database="app", origin=new, goal=old),)
    direction = Direction(
        origin=old,
        goal=new,
        streams=streams,
        back=back,
        limits=LIMITS,
        turn_writers=lambda side: used.append(side.name),
        wrote=lambda: True,
        on_freeze=lambda: None,
    )
    direction._turned = True
    return direction, used


def test_writers_come_back_from_a_goal_that_stays_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = FakeSide("target")
    direction, used = switched(goal, monkeypatch)
    direction.switch_back()
    assert (used, goal.thawed) == (["source"], [])


def test_writers_stay_where_they_are_if_the_freeze_ended_before_they_came_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They may have written there since the last look: going back would lose that."""
    goal = FakeSide("target", stays_frozen=False)
    direction, used = switched(goal, monkeypatch)
    with pytest.raises(NotMet, match="target may have thawed by itself"):
        direction.switch_back()
    assert (used, goal.thawed) == ([], ["app"])


def test_an_error_of_any_kind_takes_every_step_back() -> None:
    back: list[Step] = []

    def fail() -> str:
        raise psycopg.OperationalError("the server closed the connection")

    def stick() -> None:
        back.append(Step.FREEZE)
        raise psycopg.OperationalError("no connection")

    walked = walk(
        [
            Planned(step=Step.STREAMS, act=lambda: "", back=lambda: back.append(Step.STREAMS)),
            Planned(step=Step.FREEZE, act=fail, back=stick),
        ],
        print,
    )
    ended = walked.stopped
    assert ended is not None
    assert back == [Step.FREEZE, Step.STREAMS]
    assert ended.says == "OperationalError: the server closed the connection"
    assert ended.stuck == (f"{Step.FREEZE}: OperationalError: no connection",)
    assert not ended.at_fault


@pytest.mark.parametrize("weak", ["source", "target"])
def test_a_user_who_is_no_superuser_is_refused(weak: str) -> None:
    sides: list[Any] = [
        FakeSide(name, is_superuser="off" if name == weak else "on")
        for name in ("source", "target")
    ]
    with pytest.raises(Refused, match=f"{weak}: app is no superuser"):
        must_be_possible(*sides)


def test_two_superusers_with_a_logical_log_and_two_free_places_may_switch() -> None:
    free = [("max_wal_senders", 10, 8), ("max_worker_processes", 8, 1)]
    sides: list[Any] = [FakeSide("source", places=free), FakeSide("target", places=free)]
    must_be_possible(*sides)


def test_a_server_without_free_places_for_streams_is_refused_with_all_the_numbers() -> None:
    """Each of these settings needs a restart: one message names them all."""
    places = [
        ("max_replication_slots", 10, 10),
        ("max_wal_senders", 10, 9),
        ("max_worker_processes", 8, 2),
    ]
    sides: list[Any] = [FakeSide("source"), FakeSide("target", places=places)]
    says = (
        "target has max_replication_slots = 10, of which 10 are taken; max_wal_senders = 10, "
        "of which 9 are taken: expected 2 free of each"
    )
    with pytest.raises(Refused, match=says):
        must_be_possible(*sides)
