"""A front divides by chance: what a few answers show, and what only many do."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from pydantic import ValidationError

from harness.checks.shift import CHECKS
from harness.checks.shift_answers import errors_ended, needed_after
from harness.core.model import Outcome
from harness.core.sprt import Sprt
from harness.core.waiting import until
from harness.facts.schema import dump
from harness.facts.shift import Quality, Rules, Window
from harness.move.answers import SOURCE, TARGET, Answer, newest, window
from harness.move.evidence import Evidence
from harness.move.sampling import Sampler
from harness.move.share import Change, answers_needed, shown_since
from harness.move.shift import Order
from harness.settings.shift import Sampled
from harness.settings.shift import Shift as Declared
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_front import DECLARED, World

PER_S = 50
RULES = Rules(
    test=Sprt(p0=0.001, p1=0.01, alpha=0.01, beta=0.01, most=20_000),
    p99_ratio=1.5,
    p99_floor_ms=100.0,
)
PAGES = [Sampled(host="app.example.com", path="/")]


def divided(chance: Random, share: int, answers: int, begin: int = 0) -> list[Answer]:
    """So many answers of a front that sends each request to a side by chance."""
    sides = chance.choices([SOURCE, TARGET], [100 - share, share], k=answers)
    return [Answer(number / PER_S, 0.01, side) for number, side in enumerate(sides, start=begin)]


# --- a share shows ---


@pytest.mark.slow
@pytest.mark.parametrize(("share", "former"), [(0, 1), (0, 5), (100, 95), (5, 1), (50, 10)])
def test_a_front_that_does_not_follow_shows_no_share_by_chance(share: int, former: int) -> None:
    """Half a minute of answers, a thousand times."""
    chance = Random(share * 1000 + former)
    moves = (divided(chance, former, 1500 + answers_needed(share, former)) for _ in range(1000))
    assert sum(shown_since(it, share, former) is not None for it in moves) <= 5


@pytest.mark.slow
@pytest.mark.parametrize(("share", "former"), [(0, 1), (0, 5), (100, 50), (1, 0), (1, 5), (10, 1)])
def test_a_front_that_follows_shows_its_share(share: int, former: int) -> None:
    """It follows after five seconds; the share shows no sooner than chance can make it seem."""
    chance, needed = Random(share * 1000 + former), answers_needed(share, former)
    late = 0
    for _ in range(300):
        before = divided(chance, former, 5 * PER_S)
        after = divided(chance, share, needed + 1000, begin=5 * PER_S)
        shown = shown_since(before + after, share, former)
        late += shown is None or shown > 5.0 + 1000 / PER_S
    assert late <= 3


@pytest.mark.parametrize("reads", [0, 100])
def test_an_order_to_go_back_trusts_no_share_that_the_front_reads(
    reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its file says, one of 200 requests goes to the new platform all the same."""
    monkeypatch.setattr("harness.move.evidence._FOLLOWS_WITHIN_S", 0.0)
    world = World(share=1, lags=0.5, stuck=True, was_set=[reads])
    moved = world.mover(Order(shares=(0,), rehearsal=False)).move()
    assert [it.back_s for it in moved.returns] == [None]


@pytest.mark.parametrize(("share", "former"), [(50, 5), (50, 10), (10, 50), (100, 50), (0, 50)])
def test_a_share_shows_from_about_the_change_on_and_not_from_long_before(
    share: int, former: int
) -> None:
    """Answers from before it would be missing in the measured share of a short step."""
    chance, early = Random(share * 1000 + former), 0
    for _ in range(300):
        before = divided(chance, former, 200)
        shown = shown_since(before + divided(chance, share, 200, begin=200), share, former)
        assert shown is not None
        early += shown < (200 - 30) / PER_S
    assert early <= 3


def test_a_new_platform_that_limits_is_still_there_while_it_answers_429() -> None:
    there = [Answer(it, 0.01, (SOURCE, TARGET)[it % 2]) for it in range(400)]
    limited = [it._replace(is_limited=it.side == TARGET) for it in there]
    assert shown_since(limited, 0, 50) is None
    assert shown_since(limited, 50, 0) == 1.0
    by_the_front = [it._replace(side=None) if it.is_limited else it for it in limited]
    assert shown_since(by_the_front, 0, 50) == 0.0


@dataclass
class Racing:
    """Two hundred answers of the old platform; a request amid them ends between any two looks."""

    looks: int = 0

    def since(self, moment: float) -> Sequence[Answer]:
        self.looks += 1
        there = [Answer(float(number), 0.01, SOURCE) for number in range(200)]
        failed = Answer(50.5, 5.0, None, "Unreachable")
        return [it for it in (*there, *[failed] * (self.looks > 1)) if it.at >= moment]

    def pending(self) -> Collection[float]:
        self.looks += 1
        return [50.5] if self.looks <= 1 else []

    def stalled_s(self, moment: float) -> float:
        return 0.0 * moment


def test_a_request_that_ends_between_two_looks_is_on_no_side_of_them() -> None:
    evidence = Evidence(Racing(), Declared.model_validate(DECLARED))
    assert evidence.shown_at(Change(0, 50, 0.0)) == 51.0


# --- errors ---


@dataclass
class Breaking(World):
    """A front that breaks five requests as it takes 100 %, and then sends one to the old side."""

    broken: list[Answer] = field(default_factory=list)

    def follow(self, share: int) -> None:
        super().follow(share)
        if share == 100:
            one = Answer(0.0, 0.0002, SOURCE)
            self.broken = [one, *[one._replace(side=None, error="Unreachable")] * 5]

    def answer(self) -> Answer:
        return self.broken.pop()._replace(at=time.monotonic()) if self.broken else super().answer()


def test_requests_that_the_change_itself_breaks_are_judged() -> None:
    """A thousand requests a second show 100 % before anyone has looked at the first of them."""
    moved = Breaking().mover(Order(shares=(100,), rehearsal=True)).move()
    (step,) = moved.steps
    assert (step.quality, len(step.window.front.errors_at)) == (Quality.SICK, 5)


def requests(chance: Random, number: int, fails: float) -> Window:
    """So many requests, of which this part fails without a side, up to the sick round."""
    errors = [it for it in range(number) if chance.random() < fails]
    _, decided = RULES.test.judge(number, errors)
    seen = window([Answer(0.0, 0.01, SOURCE)] * 0)
    told = tuple(it for it in errors if it < decided)
    return replace(seen, front=replace(seen.front, answers=decided, errors_at=told))


def blamed(chance: Random, in_step: float, after_it: float) -> bool | None:
    """Whether the new platform is blamed for a step at 1 %; None if the step is not sick."""
    step = requests(chance, 50_800, in_step)
    if not RULES.is_sick(step.front):
        return None
    number = min(needed_after(step, RULES), 120 * PER_S)
    errors = tuple(it for it in range(number) if chance.random() < after_it)
    after = replace(step, front=replace(step.front, answers=number, errors_at=errors))
    return not RULES.is_sick(after.front) and errors_ended(step, after, RULES)


@pytest.mark.slow
def test_errors_of_the_front_itself_are_not_blamed_on_the_new_platform() -> None:
    """They come as often after a small step as in it; of a hundred rounds, one may be sick."""
    chance = Random(1)
    found = [it for _ in range(600) if (it := blamed(chance, 0.001, 0.001)) is not None]
    assert len(found) > 100
    assert sum(found) <= 0.1 * len(found)


@pytest.mark.slow
def test_errors_that_end_with_the_share_are_blamed_on_the_new_platform() -> None:
    """It fails a fifth of its requests, and names no side; another one in 4,000 fails anyway."""
    chance = Random(1)
    found = [it for _ in range(200) if (it := blamed(chance, 0.00225, 0.00025)) is not None]
    assert len(found) > 150
    assert sum(found) >= 0.8 * len(found)


def test_a_sick_step_whose_errors_may_be_the_fronts_is_not_proven() -> None:
    seen = clean()
    moved = seen["shift"][CLUSTER.name]
    step = moved["steps"][0]
    step["window"]["front"].update(answers=25_000, errors_at=[100, 9000, 24_997, 24_998, 24_999])
    step.update(quality="sick")
    after = dump(requests(Random(1), 508, 0.0))
    moved.update(steps=[step], stopped="it failed", returns=[{**moved["returns"][1]}])
    moved["returns"][0]["after"] = after
    verdict = CHECKS["the new platform answers as well as the old one at every step"](case(seen))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "0 of 508 failed" in verdict.reason


def test_answers_that_are_looked_at_again_and_again_do_not_become_sick_by_that() -> None:
    """Three errors amid a healthy round: a round that began at the first of them would be sick."""
    seen = [Answer(it, 0.01, SOURCE) for it in range(10_400)]
    for place in (5380, 5480, 5580):
        seen[place] = seen[place]._replace(error="status 500")
    looks = (window(newest(seen[:come], 5000)) for come in range(5000, len(seen), 20))
    assert not any(RULES.is_sick(it.front) for it in looks)
    lengths = [len(newest(seen[:come], 5000)) for come in (0, 4999, 5000, 7499, 7500)]
    assert lengths == [0, 4999, 2500, 4999, 2500]
    assert newest(seen, 0) == seen


@dataclass
class Told(Racing):
    """These answers."""

    told: Sequence[Answer] = ()

    def since(self, moment: float) -> Sequence[Answer]:
        return [it for it in self.told if it.at >= moment]


def test_the_first_error_is_that_of_the_sick_round_and_no_stray_one_long_before() -> None:
    errors = {10, 5000, 5001, 5002, 5005}
    told = [Answer(it, 0.5, None, "status 502" if it in errors else None) for it in range(5010)]
    evidence = Evidence(Told(told=told), Declared.model_validate(DECLARED))
    assert evidence.first_error(0.0, 5004.0) == 5000.5
    assert evidence.first_error(0.0, 4000.0) == 10.5
    assert evidence.first_error(0.0, 10.0) is None


# --- the harness itself ---


class Late(threading.Event):
    """Lets the sampler's pulse wait until it may go on; all other threads wait as they should."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "sampler":
            self.may_go_on.wait(60)
        return super().wait(timeout)


def test_a_standstill_is_known_before_the_pulse_has_noted_it() -> None:
    sampler = Sampler(lambda _: Answer(0.0, 0.0, SOURCE), PAGES, 10)
    sampler._stop = late = Late()
    with sampler.running():
        until(lambda: sampler.stalled_s(0.0) > 0.5, within_s=30, every_s=0.05, what="a standstill")
        late.may_go_on.set()
        until(lambda: sampler._stalls, within_s=30, every_s=0.05, what="its note")
        assert sampler.stalled_s(0.0) > 0.5


def test_an_answer_that_is_noted_late_hides_none_that_came_before_it() -> None:
    sampler = Sampler(lambda _: Answer(0.0, 0.0, SOURCE), PAGES, 10)
    broken = Answer(10.001, 0.001, None, "NotListening")
    sampler._answers = [broken, Answer(9.99, 0.005, SOURCE), Answer(10.01, 0.005, SOURCE)]
    assert [it.at for it in sampler.since(10.0)] == [10.001, 10.01]


def test_a_ledger_is_not_silent_for_want_of_one_write() -> None:
    with pytest.raises(ValidationError, match="must have room for 3 writes"):
        Declared.model_validate({**DECLARED, "writes_per_s": 0.05, "silent_s": 30})


def test_a_harness_that_stands_still_for_less_than_a_second_makes_no_answer_late() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        Declared.model_validate({**DECLARED, "sampling": {"timeout_s": 1}})
