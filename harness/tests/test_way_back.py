"""The armed way back: its lease, and how a move is put together around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.core.errors import NotProven, Refused, TransportError
from harness.core.model import Outcome
from harness.core.waiting import until
from harness.drill.context import DrillContext, Options
from harness.drill.shift import move_traffic
from harness.faults.model import Undo
from harness.move.shift import Order
from harness.move.way_back import WayBack
from harness.record.records import Kind
from harness.settings.shift import Shift as Declared
from harness.tests.clean_storage import seen
from harness.tests.moving import GOOD, HERE, LocalStore, outcome
from harness.tests.probe_rig import reach
from harness.tests.two_platforms import two_platforms
from harness.transport.network import Network


@dataclass
class Machine:
    """A machine that keeps a way back; ``silent`` makes it unreachable."""

    armed: list[Undo] = field(default_factory=list)
    renewals: int = 0
    gone: bool = False
    silent: bool = False

    def arm(self, undo: Undo) -> None:
        self.armed.append(undo)

    def renew(self, undo: Undo) -> bool:
        if self.silent:
            raise TransportError("no route to host")
        self.renewals += 1
        return not self.gone and undo == self.armed[-1]

    def heal(self, undo: Undo) -> None:
        assert undo == self.armed.pop()


def way_back(machine: Machine, lease_s: float = 30.0) -> WayBack:
    return WayBack(machine, "one", lambda share: ("set", str(share)), lease_s=lease_s)


def test_a_new_safe_share_replaces_the_one_before_under_the_same_name() -> None:
    machine = Machine()
    way = way_back(machine)
    way.arm(0)
    way.arm(10)
    first, second = machine.armed
    assert (first.commands, second.commands) == ((("set", "0"),), (("set", "10"),))
    assert first.id == second.id
    assert second.place == "one"


def test_the_lease_is_renewed_while_the_body_runs_and_a_silent_machine_is_asked_again() -> None:
    machine = Machine(silent=True)
    way = way_back(machine, lease_s=1.0)
    way.arm(0)
    with way.renewed():
        machine.silent = False
        until(lambda: machine.renewals >= 2, within_s=60, every_s=0.05, what="renewals")
    assert not way.is_lost


def test_a_machine_that_went_back_by_itself_takes_no_new_safe_share() -> None:
    machine = Machine()
    way = way_back(machine)
    way.arm(0)
    machine.gone = True
    with pytest.raises(NotProven, match="set the safe share by itself"):
        way.arm(10)
    assert way.is_lost
    assert len(machine.armed) == 1


def test_what_is_released_is_not_renewed() -> None:
    machine = Machine()
    way = way_back(machine)
    way.arm(0)
    way.release()
    way.renew()
    way.release()
    assert (machine.armed, machine.renewals) == ([], 0)


# --- a move, as a run puts it together ---


@dataclass
class Books:
    silent_s: Mapping[str, float] = field(default_factory=dict)

    def tally(self) -> Any:
        return seen()["ledger"]


@dataclass
class Context:
    """A drill's context, as far as a move needs it."""

    options: Options
    store: LocalStore = field(default_factory=LocalStore)
    reach: Any = field(default_factory=lambda: reach(HERE, outside=Network()))
    told: list[tuple[Kind, str, Any]] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    folder: Path = field(default_factory=Path)
    run: Any = field(default_factory=lambda: SimpleNamespace(name="run"))
    books: Books = field(default_factory=Books)
    # What happens before the ledger can begin, and at each record.
    until_begun: Callable[[], object] = lambda: None
    noted: Callable[[Kind, str, Any], object] = lambda *_: None
    said: str = ""

    def progress(self, text: str) -> None:
        self.said += f"{text}\n"

    def undo_store_at(self, _reach: object, place: str) -> LocalStore:
        assert place == "vmi2887102"
        return self.store

    def hide(self, secret: str) -> None:
        self.hidden.append(secret)

    def record(self, kind: Kind, subject: str, data: Any) -> None:
        self.told.append((kind, subject, data["event"]))
        self.noted(kind, subject, data)

    def fresh_folder(self, kind: str, place: str) -> Path:
        number = sum(1 for it in (self.folder / kind).glob(f"{place}*"))
        return self.folder / kind / (f"{place}.{number + 1}" if number else place)

    @contextmanager
    def ledger(self, names: Any, *, machine: str, writes_per_s: float) -> Iterator[Books]:
        assert (machine, writes_per_s > 0) == ("vmi2887102", True)
        assert names
        self.until_begun()
        yield self.books

    @contextmanager
    def on_lock_lost(self, tell: Any) -> Iterator[None]:
        assert callable(tell)
        yield


def declared(it: Any, folder: Path) -> Declared:
    secret = folder / "visitor.json"
    secret.write_text('{"number": {number}}')
    visitors = it.declared().visitors
    login = visitors.login.model_copy(update={"body_file": secret})
    told: Declared = it.declared(steps=[50, 100])
    return told.model_copy(update={"visitors": visitors.model_copy(update={"login": login})})


def test_a_move_on_command_stays_and_its_record_says_each_step(tmp_path: Path) -> None:
    order = Order(shares=(50,), rehearsal=False)
    context = Context(Options(allowed=True, seed=1))
    with two_platforms(tmp_path) as platforms:
        told = declared(platforms, tmp_path)
        moved = move_traffic(told, order, cast("DrillContext", context))
        assert platforms.share == 50
    assert (moved.left, moved.stopped, moved.rehearsal) == (50, None, False)
    assert moved.ledger.keys() == seen()["ledger"].keys()
    assert context.hidden == ['{"number": {number}}']
    assert sorted(platforms.bodies)[0] == b'{"number": 1}'
    events = [(subject, event) for _, subject, event in context.told]
    assert events == [("0", "armed"), ("50", "set"), ("50", "judged"), ("50", "armed")]
    assert context.store.armed is None


def test_a_machine_that_cannot_keep_the_way_back_is_refused(tmp_path: Path) -> None:
    order = Order(shares=(50,), rehearsal=True)
    context = Context(Options(allowed=True, seed=1), store=LocalStore(lacks=("python3",)))
    with (
        two_platforms(tmp_path) as platforms,
        pytest.raises(Refused, match="cannot keep the way back, it has no python3"),
    ):
        move_traffic(declared(platforms, tmp_path), order, cast("DrillContext", context))
    assert platforms.share == 0


BACK = Order(shares=(0,), rehearsal=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sick_at", "waits_s", "why"),
    [
        (101, 0.5, "it had not begun after 0.5 s, and going back does not wait"),
        (0, 120, "it had not begun when customers got errors"),
    ],
)
def test_a_ledger_that_hangs_does_not_keep_the_traffic_on_the_new_platform(
    tmp_path: Path, sick_at: int, waits_s: float, why: str
) -> None:
    with two_platforms(tmp_path, share=100) as platforms:
        platforms.sick_at = sick_at

        def hang() -> None:
            until(lambda: platforms.share == 0, within_s=60, every_s=0.05, what="the share is 0")

        context = Context(Options(allowed=True, seed=1), until_begun=hang)
        told = platforms.declared(back_waits_s=waits_s, visitors=None)
        moved = move_traffic(told, BACK, cast("DrillContext", context))
    assert why in context.said
    assert (moved.left, moved.ledger) == (0, {})
    (back,) = moved.returns
    assert (back.from_share, back.to_share) == (100, 0)


@pytest.mark.slow
def test_a_front_that_cannot_be_read_or_armed_is_set_back_all_the_same(tmp_path: Path) -> None:
    with two_platforms(tmp_path, share=50) as platforms:
        told = platforms.declared(visitors=None)
        front = told.front.model_copy(update={"read": ("sh", "-c", "exit 1")})
        context = Context(Options(allowed=True, seed=1), store=LocalStore(lacks=("python3",)))
        told = told.model_copy(update={"front": front})
        moved = move_traffic(told, BACK, cast("DrillContext", context))
        assert platforms.share == 0
    assert moved.left is None


def test_writes_that_are_no_longer_acknowledged_end_the_move(tmp_path: Path) -> None:
    order = Order(shares=(50,), rehearsal=False)
    context = Context(Options(allowed=True, seed=1), books=Books({"bank": 31.0}))
    with two_platforms(tmp_path) as platforms:
        told = platforms.declared(steps=[50, 100])
        moved = move_traffic(told, order, cast("DrillContext", context))
        assert platforms.share == 0
    assert moved.stopped == "no write of bank was acknowledged for 31 s"


@pytest.mark.slow
def test_visitors_whom_the_new_platform_fails_bring_the_share_back(tmp_path: Path) -> None:
    """They are not logged out, and the pages that need no log-in are good."""
    order = Order(shares=(50,), rehearsal=False)
    context = Context(Options(allowed=True, seed=1))
    with two_platforms(tmp_path) as platforms:
        platforms.breaks = True
        hold = {"per_s": 200, "hold_s": 5, "within_s": 60, "timeout_s": 30}
        told = platforms.declared(steps=[50, 100], sampling=hold)
        moved = move_traffic(told, order, cast("DrillContext", context))
        assert platforms.share == 0
    assert moved.stopped is not None
    assert moved.stopped.startswith("pages of visitors fail at the new platform: ")
    told_of, reason = outcome(GOOD, moved)
    assert (told_of, "(status 500: " in reason) == (Outcome.FAIL, True), reason
