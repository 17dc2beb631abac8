"""A real front on loopback: its commands, the requests through it, its visitors, a whole move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.errors import Garbled, NotProven, TransportError
from harness.core.model import Outcome
from harness.core.waiting import until
from harness.facts.schema import Known
from harness.move import no_return
from harness.move.answers import SOURCE, TARGET, Answer, window
from harness.move.front import FrontByCommands
from harness.move.sampling import Sampler
from harness.move.share import shown_since
from harness.move.shift import Order
from harness.settings import load_profile
from harness.settings.shift import NoReturn, Sampled
from harness.tests.fake_transport import FakeExternalClient, FakeShell
from harness.tests.moving import BACK, GOOD, HERE, KEPT, client, moved, outcome
from harness.tests.probe_rig import MACHINES, reach
from harness.tests.two_platforms import Platforms, two_platforms
from harness.transport import Completed


@pytest.fixture(autouse=True)
def _slow_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The computer that runs the tests may stand still for longer than a real one."""
    monkeypatch.setattr("harness.checks.shift._STALLED_S", 60.0)


@pytest.fixture
def platforms(tmp_path: Path) -> Iterator[Platforms]:
    with two_platforms(tmp_path) as platforms:
        yield platforms


def front(platforms: Platforms, **changes: Any) -> FrontByCommands:
    declared = platforms.declared().front.model_copy(update=changes)
    return FrontByCommands(HERE, declared)


# --- the commands of a front ---


def test_a_share_is_set_and_read_back(platforms: Platforms) -> None:
    it = front(platforms)
    it.set(37)
    assert (it.read(), platforms.share) == (37, 37)


@pytest.mark.parametrize("said", ["", "share: 10", "101", "-1", "10 20"])
def test_any_other_answer_is_no_share(platforms: Platforms, said: str) -> None:
    with pytest.raises(Garbled, match="expected a share from 0 to 100"):
        front(platforms, read=("printf", "%s", said)).read()


def test_a_command_that_fails_is_said_with_its_words(platforms: Platforms) -> None:
    broken = front(platforms, set=("sh", "-c", "echo read-only >&2; exit 3", "set", "{share}"))
    with pytest.raises(TransportError, match="ended with 3: read-only"):
        broken.set(10)


def test_the_labs_front_is_a_file_of_weights_and_all_old_without_it(tmp_path: Path) -> None:
    declared = load_profile("lab").shift
    assert declared is not None
    here = {
        name: tuple(word.replace("/etc/traefik/dynamic", str(tmp_path)) for word in words)
        for name, words in (("set", declared.front.set), ("read", declared.front.read))
    }
    it = FrontByCommands(HERE, declared.front.model_copy(update=here))
    assert it.read() == 0
    it.set(10)
    assert it.read() == 10
    (file,) = tmp_path.glob("*.yaml")
    services = yaml.safe_load(file.read_text())["http"]["services"]
    weights = {one["name"]: one["weight"] for one in services["move"]["weighted"]["services"]}
    assert weights == {"to-source": 90, "to-target": 10}


# --- requests ---


def test_answers_are_told_by_their_side(platforms: Platforms) -> None:
    platforms.turn(50)
    declared = platforms.declared()
    sampler = Sampler(client(platforms).sample, declared.requests, 400)
    with sampler.running():
        until(lambda: len(sampler.since(0.0)) >= 200, within_s=60, every_s=0.05, what="answers")
    seen = window(sampler.since(0.0))
    assert seen.front.answers == seen.named
    assert 45 <= (seen.measured_percent or 0) <= 55
    assert not seen.front.errors_at
    assert shown_since(sampler.since(0.0), 50, 0) is not None
    assert shown_since(sampler.since(0.0), 10, 50) is None


def test_each_page_meets_both_sides_of_a_front_that_alternates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Traefik counts in rounds: at night, without customers, pages in turn would not."""
    monkeypatch.setattr("harness.move.sampling._MOST_AT_ONCE", 1)
    pages = [Sampled(host="app.example.com", path=path) for path in ("/", "/shop")]
    asked: list[str] = []

    def ask(page: Sampled) -> Answer:
        asked.append(page.path)
        return Answer(0.0, 0.0, None)

    with Sampler(ask, pages, 1000).running():
        until(lambda: len(asked) >= 100, within_s=60, every_s=0.01, what="requests")
    assert len({(path, number % 2) for number, path in enumerate(asked)}) == 4


def test_an_error_of_the_front_names_no_side(platforms: Platforms) -> None:
    platforms.turn(100)
    platforms.sick_at = 100
    answer = client(platforms).sample(Sampled(host="app.example.com", path="/"))
    assert (answer.side, answer.error) == (None, "status 502")


def test_a_limit_of_the_front_is_no_error(platforms: Platforms) -> None:
    platforms.limits = True
    answer = client(platforms).sample(Sampled(host="app.example.com", path="/"))
    seen = window([answer])
    assert (answer.error, answer.is_limited) == (None, True)
    assert (seen.front.answers, seen.limited) == (0, 1)


def test_a_front_that_is_gone_is_an_error_of_no_side(tmp_path: Path) -> None:
    with two_platforms(tmp_path) as platforms:
        gone = client(platforms)
    answer = gone.sample(Sampled(host="app.example.com", path="/"))
    assert (answer.side, answer.error) == (None, "NotListening")


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ({"source": "path", "target": "nothing"}, SOURCE),
        ({"source": "nothing", "target": "path"}, TARGET),
        ({"source": "pa", "target": "th"}, None),
        ({"source": "one", "target": "other"}, None),
    ],
)
def test_a_body_may_name_the_side_too_but_not_both(
    platforms: Platforms, side: Any, expected: str | None
) -> None:
    answer = client(platforms, side=side).sample(Sampled(host="app.example.com", path="/"))
    assert answer.side == expected


def answers(*sides: str | None, begin: int = 0, error: str | None = None) -> list[Answer]:
    return [Answer(float(at), 0.01, side, error) for at, side in enumerate(sides, begin)]


def test_a_share_shows_from_the_first_answer_on_that_fits_it() -> None:
    before = answers(*[SOURCE, TARGET] * 50)
    after = answers(*[SOURCE] * 100, begin=100)
    assert shown_since(before + after, 0, 50) == 100.0
    assert shown_since(before + after[:-1], 0, 50) is None


def test_going_back_from_a_small_share_takes_more_answers_to_show() -> None:
    """At 1 %, a hundred answers of the source alone are no sign that the front has followed."""
    still = answers(*[SOURCE] * 120, TARGET)
    gone = answers(*[SOURCE] * 1500, begin=121)
    assert shown_since(still + gone[:-1], 0, 1) is None
    assert shown_since(still + gone, 0, 1) == 121.0


def test_the_order_is_that_of_sending_however_late_an_answer_comes() -> None:
    first, *others = answers(*[SOURCE] * 110)
    failed = Answer(5.5, 0.01, None, "status 502")
    assert shown_since([failed, *others, first], 0, 50) == 6.0


def test_a_share_does_not_show_while_a_request_between_its_answers_hangs() -> None:
    all_old = answers(*[SOURCE] * 200)
    assert shown_since(all_old, 0, 50, pending=[3.5]) == 4.0
    assert shown_since(all_old, 0, 50, pending=[120.5]) == 0.0
    assert shown_since(all_old, 0, 50, pending=[99.0, 100.5]) is None


def test_going_back_is_not_over_while_errors_name_no_side() -> None:
    dead = answers(*[None] * 10, error="status 502")
    assert shown_since(dead + answers(*[SOURCE] * 100, begin=10), 0, 50) == 10.0


# --- the point of no return ---

REGISTRY = {"host": "registry.example.com", "address": "10.0.0.2"}
COUNTS = {"first invoice": {"machine": "vmi2887101", "count": ["count"]}}


def test_what_the_way_back_needs_is_looked_at_on_each_machine(tmp_path: Path) -> None:
    told = NoReturn.model_validate({"needs": {"writable": [str(tmp_path), "/proc"]}})
    found = no_return.needs(reach(HERE), told)
    assert [found[f"{tmp_path} is writable on {name}"] for name in MACHINES] == [""] * 3
    assert "cannot write there" in found["/proc is writable on vmi2887101"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotProven, match="/proc is writable on vmi2887101: cannot write"):
        no_return.must_be_there(found)


def test_a_registry_that_does_not_answer_is_said() -> None:
    told = NoReturn.model_validate({"needs": {"registry": REGISTRY}})
    found = no_return.needs(reach(outside=FakeExternalClient()), told)
    assert found["the registry answers"]


@pytest.mark.parametrize(("said", "error"), [("many\n", "expected a number"), ("", "ended with 1")])
def test_an_event_that_cannot_be_counted_is_unknown(said: str, error: str) -> None:
    told = NoReturn.model_validate({"counts": COUNTS})
    done = Completed(status=0 if said else 1, stdout=said, stderr="")
    found = no_return.numbers(reach(FakeShell({("*", "count"): done})), told)
    (unknown,) = no_return.counted({"first invoice": Known(7)}, found).values()
    assert error in str(unknown)


# --- a whole move ---


@pytest.mark.slow
def test_a_rehearsal_over_a_real_front_is_proven_and_leaves_it_as_it_was(
    platforms: Platforms,
) -> None:
    found = moved(platforms, Order(shares=(10, 50, 100), rehearsal=True))
    assert platforms.share == 0
    for check in (GOOD, KEPT, BACK):
        assert outcome(check, found)[0] is Outcome.PASS, outcome(check, found)


@pytest.mark.slow
def test_a_defect_at_half_goes_back_within_seconds(platforms: Platforms) -> None:
    platforms.sick_at = 50
    found = moved(platforms, Order(shares=(10, 50, 100), rehearsal=False, agreed="R. Winter"))
    assert platforms.share == 10
    (back,) = found.returns
    assert back.set_s is not None
    assert back.back_s is not None
    assert back.set_s <= back.back_s + 1 < 30
    assert outcome(GOOD, found)[0] is Outcome.FAIL
    assert outcome(KEPT, found)[0] is Outcome.PASS


@pytest.mark.slow
def test_sessions_of_one_side_are_lost_and_said_at_which_share(platforms: Platforms) -> None:
    platforms.forgets = True
    found = moved(platforms, Order(shares=(10,), rehearsal=True))
    told, reason = outcome(KEPT, found)
    assert (told, "logged out at 10 %: status 401" in reason) == (Outcome.FAIL, True)
