"""A profile's declaration of how traffic moves to the new platform, and how it comes back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from harness.core.errors import ConfigError
from harness.core.names import names_in
from harness.core.sprt import Sprt
from harness.facts.loads import P99_NEEDS
from harness.facts.shift import Rules
from harness.settings.drills import Argv, Writer
from harness.settings.field_types import Host, Name, Pointer, ProfilePath, Status, UrlPath, Variable
from harness.settings.files import Frozen
from harness.settings.parity import WebAddress
from harness.settings.restore import Folder, Reason

SHARE = "{share}"
# A ledger is silent when so many writes of a kind in a row have no answer.
_WRITES_UNHEARD = 3
Share = Annotated[int, Field(ge=1, le=100)]
Part = Annotated[float, Field(gt=0, lt=0.5)]


class Front(WebAddress):
    """Where customers' requests arrive, and what divides them: commands without a shell."""

    # The machine on which the commands run, and on which the way back waits.
    machine: Name
    # Sets the new platform's share: `{share}` stands for it, in percent. It may run twice, and it
    # must change all or nothing.
    set: Argv
    # Writes the share that is set, and nothing else.
    read: Argv

    @model_validator(mode="after")
    def _sets_a_share(self) -> Self:
        if not any(SHARE in word for word in self.set):
            raise ValueError(f"`set:` must contain {SHARE}, which stands for the share")
        return self

    def command(self, share: int) -> tuple[str, ...]:
        """The command that sets a share."""
        return tuple(word.replace(SHARE, str(share)) for word in self.set)


class Sampled(Frozen):
    """A request that changes nothing, sent through the front again and again."""

    # The Host header.
    host: Host
    # The path, with its query.
    path: UrlPath
    # The expected status; without it, any below 400.
    status: Status | None = None


class Sides(Frozen):
    """How a good answer says which platform gave it."""

    # The header field that says it; without one, the body does.
    header: str | None = None
    # What only an answer of the old platform contains there.
    source: str = Field(min_length=1)
    # What only an answer of the new platform contains there.
    target: str = Field(min_length=1)


class Sampling(Frozen):
    """How many requests measure a step."""

    # Requests a second, beside those of customers.
    per_s: float = Field(default=50, ge=5, le=1000)
    # A request without an answer after this time has failed. A harness that stands still for less
    # than a second must not make one late.
    timeout_s: float = Field(default=5, ge=2, le=60)
    # A round of the test is undecided after so many answers of one side.
    most: int = Field(default=20_000, ge=100)
    # A step lasts at least this long.
    hold_s: float = Field(default=60, ge=0)
    # A step that is undecided after this time goes back.
    within_s: float = Field(default=1800, gt=0)


class Errors(Frozen):
    """The sequential test of failed answers (Wald): healthy up to p0, sick from p1."""

    # The part of answers that may fail on a healthy platform.
    p0: Part = 0.001
    # The part of failed answers of a platform that is sick.
    p1: Part = 0.01
    # The risk to call a healthy platform sick, at each step.
    alpha: Part = 0.01
    # The risk to call a sick one healthy.
    beta: Part = 0.01

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.p0 >= self.p1:
            raise ValueError("p0, of a healthy platform, must be less than p1, of a sick one")
        return self

    def test(self, most: int) -> Sprt:
        """The test of these risks; a round is undecided after ``most`` answers."""
        return Sprt(p0=self.p0, p1=self.p1, alpha=self.alpha, beta=self.beta, most=most)


class Latency(Frozen):
    """How much slower the new platform may be at the end of a step."""

    # Its p99, as a multiple of the old platform's.
    ratio: float = Field(default=1.5, ge=1)
    # Up to here the ratio does not count, in milliseconds.
    floor_ms: float = Field(default=100, ge=0)


class Login(Frozen):
    """The request that logs a visitor in; its cookies, and what it keeps, are the session."""

    # The method.
    method: Literal["GET", "POST"] = "POST"
    # The Host header.
    host: Host
    # The path.
    path: UrlPath
    # More header fields, such as Content-Type.
    headers: Mapping[str, str] = {}
    # A file with the body, which other users may not read; `{number}` in it is the visitor's.
    body_file: ProfilePath | None = None
    # Values of its JSON answer that the visitor keeps, by the names that `visitors.headers:` uses.
    keep: Mapping[Variable, Pointer] = {}


class Visitors(Frozen):
    """Visitors who log in before the first step, and keep their cookies or a token."""

    # How many.
    count: int = Field(default=10, ge=1, le=200)
    # How each logs in.
    login: Login
    # A page that only a logged-in visitor gets.
    page: Sampled
    # Header fields of the requests for that page, such as `Authorization: Bearer {token}`.
    headers: Mapping[str, str] = {}
    # A text in that page that a log-in form does not contain.
    says: str = Field(min_length=1)
    # The seconds between two requests of one visitor; a way back waits for one of each.
    every_s: float = Field(default=2, gt=0, le=60)
    # The seconds after which the platform itself ends a session. A visitor logs in anew then; being
    # logged out before is a lost session. Without it, a session lasts all the way.
    lasts_s: float | None = None

    @model_validator(mode="after")
    def _outlasts_its_requests(self) -> Self:
        if self.lasts_s is not None and self.lasts_s < 10 * self.every_s:
            raise ValueError("`lasts_s:` must be ten times `every_s:`, so that sessions are judged")
        return self

    @model_validator(mode="after")
    def _keeps_what_it_sends(self) -> Self:
        unknown = set(names_in(self.headers)) - self.login.keep.keys()
        if unknown:
            raise ValueError(f"`headers:`: the log-in keeps no {', '.join(sorted(unknown))}")
        return self


class WriteRequest(Frozen):
    """A request of the ledger's writers through the front.

    ``{write}`` in its path and body is the text of one write, ``{writes}`` the begin of all of
    them, or of those that are read at once, and ``{NAME}`` what the log-in keeps.
    """

    # The method.
    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    # The Host header.
    host: Host
    # The path, with its query.
    path: UrlPath
    # The JSON body.
    body: JsonValue = None
    # The expected status; without it, any below 400.
    status: Status | None = None
    # A text of every good answer, where a failure has a good status too.
    says: str = ""

    def is_answered(self, status: int, body: bytes) -> bool:
        """True if it is the expected answer."""
        is_expected = status == self.status if self.status else status < 400
        return is_expected and self.says.encode() in body


class Writes(Frozen):
    """Writes through the front, which both platforms store in one place.

    The ledger counts those that are lost or doubled while the share changes.
    """

    # How each writer logs in; without it they have no session.
    login: Login | None = None
    # Header fields of each request, such as `Authorization: Bearer {token}`.
    headers: Mapping[str, str] = {}
    # Stores one write: a text that `read:` shows afterwards.
    send: WriteRequest
    # Answers with the texts that begin with `{writes}`, a thousand at once. Without `{writes}` it
    # answers with the texts of all writes, in at most a megabyte: an hour or so of them.
    read: WriteRequest
    # Removes the writes at the end. Without it they stay, and the report names their begin.
    remove: WriteRequest | None = None
    # How many writers there are.
    writers: int = Field(default=2, ge=1, le=20)
    # The seconds after which the platform itself ends a session: a writer logs in anew then.
    # Without it, a session lasts all the way.
    lasts_s: float | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        known = self.login.keep.keys() if self.login else set[str]()
        of_all = {*known, "writes"}
        removed = () if self.remove is None else [self.remove.path, self.remove.body]
        asked = {
            "headers": (self.headers, known),
            "send": ([self.send.path, self.send.body], {*of_all, "write"}),
            "read": ([self.read.path, self.read.body], of_all),
            "remove": (removed, of_all),
        }
        for where, (texts, names) in asked.items():
            if unknown := set(names_in(texts)) - names:
                raise ValueError(f"`{where}:`: the log-in keeps no {', '.join(sorted(unknown))}")
        if "write" not in names_in([self.send.path, self.send.body]):
            raise ValueError("`send:` must contain {write}, the text of a write")
        if self.lasts_s is not None and self.login is None:
            raise ValueError("`lasts_s:` is the age of a session, which takes a `login:`")
        return self


class Registry(WebAddress):
    """The registry of images that the old platform needs to start a task."""

    # The Host header.
    host: Host
    # The path that answers 200, or 401 where it asks for a password.
    path: UrlPath = "/v2/"


class Needs(Frozen):
    """What the way back needs as long as it may be taken."""

    # The registry of images.
    registry: Registry | None = None
    # Folders that each machine must be able to write to, such as one on /mnt/cephfs.
    writable: tuple[Folder, ...] = ()


class Event(Frozen):
    """Something that passes the point of no return, as a number that rises."""

    # The machine on which the command runs.
    machine: Name
    # Writes how often it has happened, as a number alone.
    count: Argv


class NoReturn(Frozen):
    """The point of no return: what passes it, and from which share on that may happen."""

    # From this share on, staying there needs the agreement of a person.
    from_share: Share = 100
    # The events that pass it, by name: first invoice, first mail, reverse stream stopped.
    counts: Mapping[str, Event] = {}
    needs: Needs = Needs()


class Shift(Frozen):
    """The move of the traffic: the front, its steps, what is measured, and the way back."""

    front: Front
    # The shares of the new platform, in percent, in this order.
    steps: tuple[Share, ...] = Field(min_length=1)
    # Why there is only one step, where host names contain the address.
    because: Reason | None = None
    # The requests that are sampled; each time, one of them is drawn.
    requests: tuple[Sampled, ...] = Field(min_length=1)
    side: Sides
    sampling: Sampling = Sampling()
    errors: Errors = Errors()
    p99: Latency = Latency()
    visitors: Visitors | None = None
    # The ledger's writers that run meanwhile.
    ledger: tuple[Writer, ...] = ("postgres", "bank", "http")
    # Writes through the front, beside these.
    writes: Writes | None = None
    # Writes a second of each.
    writes_per_s: float = Field(default=2, gt=0, le=200)
    # The share goes back when no write of a kind is acknowledged for so long.
    silent_s: float = Field(default=30, gt=0)
    # Going back on command waits at most so long for the ledger and the visitors to begin.
    back_waits_s: float = Field(default=10, ge=0, le=120)
    no_return: NoReturn = NoReturn()

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError("`steps:` must rise")
        if self.steps[-1] != 100:
            raise ValueError("the last of `steps:` must be 100")
        if (len(self.steps) == 1) != (self.because is not None):
            raise ValueError("say `because:` why 100 is the only step, and only then")
        return self

    @model_validator(mode="after")
    def _writes_are_heard(self) -> Self:
        if self.silent_s * self.writes_per_s < _WRITES_UNHEARD:
            raise ValueError(
                f"`silent_s:` must have room for {_WRITES_UNHEARD} writes: a single late one would "
                "bring the share back"
            )
        return self

    @model_validator(mode="after")
    def _can_be_decided(self) -> Self:
        least = self.errors.test(self.sampling.most).least
        needed = max(least, P99_NEEDS)
        needed_s = needed / (self.steps[0] / 100) / self.sampling.per_s
        if self.sampling.most < 2 * least:
            raise ValueError(f"sampling.most must be twice the least answers of the test, {least}")
        if needed_s > self.sampling.within_s:
            raise ValueError(
                f"the step {self.steps[0]} needs {needed} answers of the new platform, which take "
                f"{needed_s:.0f} s: raise sampling.per_s or sampling.within_s"
            )
        return self

    def machines(self) -> Iterable[str]:
        """The machines that it names."""
        return [self.front.machine, *(it.machine for it in self.no_return.counts.values())]

    def rules(self) -> Rules:
        """The limits in the form for checks."""
        return Rules(
            test=self.errors.test(self.sampling.most),
            p99_ratio=self.p99.ratio,
            p99_floor_ms=self.p99.floor_ms,
        )

    def chosen(self, shares: tuple[int, ...]) -> tuple[int, ...]:
        """These shares if each is a declared step, or 0 alone; ConfigError otherwise."""
        if shares == (0,):
            return shares
        unknown = [it for it in shares if it not in self.steps]
        if unknown or list(shares) != sorted(set(shares)) or not shares:
            because = f" ({self.because})" if self.because else ""
            told = ", ".join(map(str, shares)) or "nothing"
            raise ConfigError(
                f"expected steps of the profile, {', '.join(map(str, self.steps))}{because}; "
                f"seen {told}",
                remedy="take some of these in their order, or 0 alone to go back",
            )
        return shares
