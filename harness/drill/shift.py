"""The move of the traffic of a profile: its front, its visitors and its ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from harness.checks.shift_answers import PAGES, WRITES, failing
from harness.core import notices
from harness.core.errors import ConfigError, Refused, TimedOut, in_words
from harness.core.model import JSON
from harness.core.parallel import entering
from harness.core.waiting import until
from harness.drill.context import LEDGER_FOLDER, DrillContext
from harness.drill.traffic import Books, write_gap
from harness.facts.drills import TallyFacts
from harness.facts.schema import Known, Unknown, attempt, read
from harness.facts.shift import SHIFT, Shift
from harness.ledger.recorder import Recorder
from harness.ledger.result import observed
from harness.move import no_return
from harness.move.answers import window
from harness.move.client import Client
from harness.move.front import FrontByCommands
from harness.move.sampling import Sampler, Samples
from harness.move.session import Account
from harness.move.shift import Mover, Order, Parts
from harness.move.visitors import Visitors
from harness.move.way_back import WayBack
from harness.move.writes import KIND, FrontWrites, Written, remove
from harness.probes.databases import password_of
from harness.record.records import Kind, Made, ShiftEvent
from harness.settings import Profile
from harness.settings.shift import Login, Writes
from harness.settings.shift import Shift as Declared
from harness.transport import Reach

T = TypeVar("T")
U = TypeVar("U")
_LOOK_EVERY_S = 0.1
# The counts before a way back delay it, those before a step do not.
_COUNTS_WITHIN_S = 3.0
_SUBJECT = "writes of {}"
# Of hours of writes, so many are judged again and again: all would slow the requests themselves.
_NEWEST = 5000
# The share is back by then; what a ledger that hangs leaves, the next harness removes.
_LEAVES_WITHIN_S = 60.0


def declared_by(profile: Profile) -> Declared:
    """How the traffic moves; ConfigError if the profile does not say it."""
    if profile.shift is None:
        raise ConfigError(
            f"the profile {profile.name} does not say how traffic moves",
            remedy="say in `shift:` what divides the requests; contabo.yaml shows how",
        )
    return profile.shift


def order_of(profile: Profile, shares: str, agreed: str | None) -> Order:
    """The order of a command line, such as 1,10,50; ConfigError for one that is not possible."""
    try:
        wanted = tuple(int(it) for it in shares.split(","))
    except ValueError as error:
        raise ConfigError(f"{shares!r}: expected shares in percent, such as 1,10,50") from error
    chosen = declared_by(profile).chosen(wanted)
    return Order(shares=chosen, rehearsal=False, agreed=agreed)


def move_traffic(declared: Declared, order: Order, context: DrillContext) -> Shift:
    """Move the traffic as ordered; going back hardly waits for the ledger and the visitors."""
    client = _client(context.reach, declared)
    sampler = Sampler(client.sample, declared.requests, declared.sampling.per_s)
    mover = Mover(parts=_parts(declared, order, context, sampler), order=order)
    ledger = _ledger(context, declared, client)
    visitors = _visitors(context, declared, client, lambda: mover.share)
    with ExitStack() as stack:
        stack.enter_context(sampler.running())
        books: Known[Books] | Unknown
        followed: Known[Visitors | None] | Unknown
        if order.is_back:
            books, followed = _begun_in_time(stack, declared, sampler, context, ledger, visitors)
        else:
            books = Known(stack.enter_context(ledger))
            followed = Known(stack.enter_context(visitors))
        if isinstance(followed, Known):
            mover.visitors = followed.value
        if isinstance(books, Known) and isinstance(followed, Known):
            mover.trouble = partial(_trouble, books.value, followed.value, declared)
        stack.enter_context(context.on_lock_lost(mover.give_up))
        moved = mover.move()
        if isinstance(followed, Unknown):
            moved = replace(moved, sessions=followed)
        if isinstance(books, Unknown):
            return moved
        context.progress("reading back what was written")
        ledger_facts = attempt(partial(_tallied, books.value))
    if isinstance(front := books.value, _WithFront):
        moved = replace(moved, writes=front.written.seen(), writers_renewed=front.renewed)
    if isinstance(ledger_facts, Unknown):
        context.progress(f"the ledger proves nothing: {ledger_facts.error}")
        return moved
    return replace(moved, ledger=ledger_facts.value)


def _tallied(books: Books) -> Mapping[str, TallyFacts]:
    return {who: read(TallyFacts, it) for who, it in books.tally().items()}


def _trouble(books: Books, visitors: Visitors | None, declared: Declared) -> str | None:
    """Why no more steps may be taken: the ledger is silent, or what customers do fails."""
    if silent := write_gap(books, declared.silent_s):
        return silent
    seen = {PAGES: visitors.answers(_NEWEST)} if visitors is not None else {}
    if isinstance(books, _WithFront):
        seen[WRITES] = books.written.seen(_NEWEST)
    rules = declared.rules()
    return next((why for what, it in seen.items() if (why := failing(what, it, rules))), None)


def _client(reach: Reach, declared: Declared) -> Client:
    timeout_s = declared.sampling.timeout_s
    return Client(reach.outside, declared.front, declared.side, timeout_s=timeout_s)


def _parts(declared: Declared, order: Order, context: DrillContext, samples: Samples) -> Parts:
    """What the move works with; Refused if the way back of a step cannot be armed."""
    reach, front = context.reach, declared.front
    store = context.undo_store_at(reach, front.machine)
    missing = () if order.is_back else store.missing()
    if missing:
        raise Refused(
            f"{front.machine} cannot keep the way back, it has no {' and no '.join(missing)}",
            remedy=f"install {', '.join(missing)} there; ./cutover doctor lists what is missing",
        )

    def record(share: int, event: ShiftEvent) -> None:
        context.record(Kind.SHIFT, str(share), event)

    count = partial(no_return.numbers, reach, declared.no_return)
    return Parts(
        declared=declared,
        front=FrontByCommands(reach.shell, front),
        way_back=WayBack(store, front.machine, front.command),
        samples=samples,
        needs=partial(no_return.needs, reach, declared.no_return),
        numbers=partial(count, within_s=_COUNTS_WITHIN_S) if order.is_back else count,
        tell=context.progress,
        record=record,
    )


def _begun_in_time(
    stack: ExitStack,
    declared: Declared,
    samples: Samples,
    context: DrillContext,
    ledger: AbstractContextManager[T],
    visitors: AbstractContextManager[U],
) -> tuple[Known[T] | Unknown, Known[U] | Unknown]:
    """The ledger and the visitors of a way back; Unknown for what cannot begin in time.

    The wait ends early as soon as customers get errors: the share goes back first.
    """
    rules, is_sick = declared.rules(), False
    enter = partial(entering, leaves_within_s=_LEAVES_WITHIN_S, tell=context.progress)
    begun = stack.enter_context(enter(ledger))
    followed = stack.enter_context(enter(visitors))

    def is_over() -> bool:
        nonlocal is_sick
        is_sick = rules.is_sick(window(samples.since(0.0)).front)
        return is_sick or (begun.done() and followed.done())

    with suppress(TimedOut):
        until(is_over, within_s=declared.back_waits_s, every_s=_LOOK_EVERY_S, what="a beginning")
    late = f"it had not begun after {declared.back_waits_s:g} s, and going back does not wait"
    why = "it had not begun when customers got errors" if is_sick else late
    return _known(begun, why, context.progress), _known(followed, why, context.progress)


def _known(begun: Future[T], why_late: str, tell: Callable[[str], object]) -> Known[T] | Unknown:
    """What has begun; Unknown, and a word, if it has not, or cannot."""
    try:
        if begun.done():
            return Known(begun.result())
        why = why_late
    except Exception as error:  # a defect of the harness too: it must not keep the traffic
        why = in_words(error)
    tell(f"going back all the same: {why}")
    return Unknown(why)


@dataclass(frozen=True)
class _WithFront:
    """The ledger of the new platform's services, and that of writes through the front."""

    books: Books
    front: Recorder
    written: Written
    accounts: Sequence[Account]

    @property
    def renewed(self) -> int:
        """How often a writer through the front has logged in anew."""
        return sum(it.renewed for it in self.accounts)

    @property
    def space(self) -> str:
        return self.books.space

    @property
    def silent_s(self) -> Mapping[str, float]:
        return {**self.books.silent_s, **self.front.silent_s}

    def mark(self, name: str) -> None:
        self.books.mark(name)
        self.front.mark(name)

    def tally(self) -> Mapping[str, JSON]:
        return {**observed(self.front.tally(), SHIFT.name), **self.books.tally()}

    def latency_ms(self) -> list[dict[str, float]]:
        return self.books.latency_ms()


@contextmanager
def _ledger(context: DrillContext, declared: Declared, client: Client) -> Iterator[Books]:
    """Write to the new platform's services, and through the front if the profile says how."""
    told = declared.writes
    with ExitStack() as stack:
        books = stack.enter_context(
            context.ledger(
                declared.ledger, machine=declared.front.machine, writes_per_s=declared.writes_per_s
            )
        )
        if told is None:
            yield books
            return
        folder = context.fresh_folder(LEDGER_FOLDER, KIND)
        # Not those of an earlier session of this run, which was killed: they may be there still.
        run = f"{context.run.name}/{folder.name}"
        account = _account(told, client, context.hide)
        accounts = [replace(account, who=f"{KIND}/{number}") for number in range(told.writers)]
        for it in accounts:
            it.log_in()
        writes = FrontWrites(client, told, run)
        stack.enter_context(_recorded(context, writes, account))
        front = stack.enter_context(
            writes.recording(accounts, folder=folder, rate_per_s=declared.writes_per_s)
        )
        yield _WithFront(books, front, writes.written, accounts)


@contextmanager
def _recorded(context: DrillContext, writes: FrontWrites, account: Account) -> Iterator[None]:
    """Journal the begin of the writes before the body sends one, and remove them after it.

    Those that should be gone and are not keep their record, for `heal`. A write without an answer
    may be stored later than it was given up: the removal waits for it.
    """
    subject, declared = _SUBJECT.format(writes.begin), writes.declared
    made = Made(event="begun", kind="writes", name=writes.begin)
    context.record(Kind.MADE, subject, made)
    try:
        yield
    finally:
        if declared.remove is not None:
            writes.written.settle(context.progress)
        left = remove(writes.client, declared, account, writes.begin)
        if left:
            notices.tell(left)
            context.progress(left)
        if not left or declared.remove is None:
            context.record(Kind.MADE, subject, {**made, "event": "removed"})


def remove_writes(reach: Reach, begin: str) -> list[str]:
    """Remove the writes through the front of a killed harness, by their begin; what is left."""
    declared = reach.profile.shift
    if declared is None or declared.writes is None:
        return [f"the profile has no `shift.writes:`: look for texts that begin with {begin}"]
    client, told = _client(reach, declared), declared.writes
    left = remove(client, told, _account(told, client, str), begin)
    return [left] if left else []


def _account(told: Writes, client: Client, hide: Callable[[str], object]) -> Account:
    """Who removes the writes; the writers have the same log-in."""
    body = "" if told.login is None else _body(told.login, "the ledger", hide)
    return Account("the ledger", told, client.log_in, body.encode(), hide)


def _body(login: Login, who: str, hide: Callable[[str], object]) -> str:
    """The body of a log-in, which no record contains."""
    body = "" if login.body_file is None else password_of(who, login.body_file)
    if body:
        hide(body)
    return body


@contextmanager
def _visitors(
    context: DrillContext, declared: Declared, client: Client, share: Callable[[], int]
) -> Iterator[Visitors | None]:
    """Log the declared visitors in, and follow them while the body runs."""
    told = declared.visitors
    if told is None:
        yield None
        return
    body = _body(told.login, "the visitors", context.hide)
    visitors = Visitors(client, told, body, share, context.hide)
    context.progress(f"logging {told.count} visitors in")
    with visitors.following():
        yield visitors
