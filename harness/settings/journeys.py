"""A customer's way through the platform, as requests to the ingress; and what it may leave behind.

A profile names a file in ``scenarios/journeys/``, or declares the same itself.

In paths, hosts, headers, bodies, expected texts and names, ``{customer}`` stands for the new
customer's name (cutover-1f2e3d4c), ``{number}`` for its last eight digits, ``{password}`` for a new
password, and ``{NAME}`` for what an earlier request keeps under that name. ``{NAME:8}`` are its
first eight characters, ``{NAME:hex}`` is it without its dashes, ``{NAME:hex16}`` the first sixteen
of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from harness.core.declared_platform import JourneyDeclared, MadeDeclared
from harness.core.errors import ConfigError
from harness.core.names import GIVEN, names_in
from harness.facts.journeys import JOURNEYS, Act
from harness.settings.databases import DatabaseServer
from harness.settings.field_types import (
    READING,
    Host,
    Method,
    Name,
    OneOrMore,
    Pointer,
    Scalar,
    Status,
    UrlPath,
    Variable,
)
from harness.settings.files import SCENARIOS, Frozen, names, parse
from harness.settings.services import PodCommand

JOURNEYS_FOLDER = SCENARIOS / "journeys"
_GIB = 1024**3

Text = Annotated[str, Field(min_length=1)]
HostText = Annotated[str, Field(pattern=r"^[a-z0-9{][a-z0-9{}:_.-]*$", max_length=253)]


class JourneyRequest(Frozen):
    """A request, and the answer that it must have."""

    # The method.
    method: Method = "GET"
    # The Host header; None: that of the journey.
    host: HostText | None = None
    # The path, with its query.
    path: UrlPath
    # More header fields, such as `Authorization: Bearer {token}`.
    headers: Mapping[str, str] = {}
    # Sent as JSON.
    body: JsonValue = None
    # The expected status, or several.
    status: OneOrMore[Status] = (200,)
    # Text that the answer must contain.
    says: str = ""
    # Fields that the answer must have, by JSON pointer (RFC 6901): `/status: running`.
    has: Mapping[Pointer, Scalar] = {}
    # Whether it changes something; None: as its method says.
    writes: bool | None = None
    # Ask again until the answer is the expected one, or the step's time is over.
    wait: bool = False
    # What later requests use, by JSON pointer: `instance: /id`.
    keep: Mapping[Variable, Pointer] = {}

    @property
    def changes_something(self) -> bool:
        """True if it does, by its own word or else by its method."""
        return self.method not in READING if self.writes is None else self.writes

    @model_validator(mode="after")
    def _writes_once(self) -> Self:
        if self.wait and self.changes_something:
            raise ValueError(f"{self.method} is sent once: wait with a request that reads")
        return self

    def names(self) -> set[str]:
        """The names that it uses."""
        return set(names_in([self.host, self.path, self.headers, self.body, self.says, self.has]))


class MadeObjects(Frozen):
    """What a step makes in the cluster: a workload with a claim, and the way to it."""

    # Where it is.
    namespace: Name
    # What it is.
    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    # A pattern for its name: `odoo-*-{instance:8}`.
    name: Text
    # What the customer asked for: the size of the claim, and of the file system that a pod sees.
    size_gib: float = Field(gt=0)
    # How the claim may be used.
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]
    # The claim's class.
    storage_class: Text
    # The host under which an Ingress leads to it.
    host: HostText | None = None


class PodAnswer(PodCommand):
    """A command in a pod, such as psql in that of a new database server, and its output."""

    # Text that it must print.
    says: Text


class PageVisit(Frozen):
    """What a customer does on a page of the frontend, and the words that must come of it.

    A field is given by its label, its placeholder, or a CSS selector that begins with `#`, `.` or
    `[`; a button or link by its words or a selector. What is not visible, or disabled, is not there
    yet.
    """

    # The page to open; None: the one that is open.
    page: UrlPath | None = None
    # What to write into fields; true ticks a box.
    fill: Mapping[Text, Text | Literal[True]] = {}
    # The button to press; None: the words come by themselves.
    press: Text | None = None
    # Words that the page, or a dialog of it, must show then, and not before the button is pressed.
    says: Text

    def names(self) -> set[str]:
        """The names that it uses."""
        return set(names_in([self.page, self.fill, self.press, self.says]))


class JourneyStep(Frozen):
    """One thing that a customer does, and what must come of it."""

    # What it does; a requirement needs certain steps in a certain order.
    does: Act
    # How long it may take.
    within_s: float = Field(gt=0, le=7200)
    # What is done in the browser first, in this order.
    in_browser: tuple[PageVisit, ...] = ()
    # What is asked, in this order.
    requests: tuple[JourneyRequest, ...] = ()
    # What must be in the cluster then.
    makes: MadeObjects | None = None
    # What a pod must answer then.
    in_pod: PodAnswer | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.in_browser and not self.requests and self.in_pod is None:
            raise ValueError("say what is asked: `in_browser:`, `requests:` or `in_pod:`")
        if self.does is Act.MOVE and self.in_pod is None:
            raise ValueError("say in `in_pod:` what the new server must answer: moved is a claim")
        return self


class MachineCommand(Frozen):
    """A command on a machine that removes what no request can, such as the customer's backups."""

    # The machine that runs it.
    machine: Name
    # The program and its arguments.
    command: Annotated[tuple[str, ...], Field(min_length=1)]

    def names(self) -> set[str]:
        """The names that it uses."""
        return set(names_in(self.command))


class Frontend(Frozen):
    """The pages that a journey visits in Chromium, which this computer must have.

    Its requests go to the ingress, whatever DNS says: before the move, DNS names the old platform.
    """

    # The host of the pages.
    host: HostText
    # The scheme of the pages; None, or the same: as the ingress, otherwise at the scheme's port.
    scheme: Literal["http", "https"] | None = None
    # Other hosts from which pages load something (fonts, payments), asked where DNS says.
    elsewhere: tuple[Host, ...] = ()
    # Errors that pages report though they work: a pattern for its words, and the reason.
    known_errors: Mapping[Text, Text] = {}
    # Whether Chromium runs in its sandbox; root cannot have it so.
    sandbox: bool = True


class Journey(Frozen):
    """A customer's way, step by step; every customer is new, and removed at the end."""

    # The Host header of requests without one.
    host: HostText
    # Header fields of these requests, each as soon as its names are known.
    headers: Mapping[str, str] = {}
    # Where steps `in_browser:` take place.
    frontend: Frontend | None = None
    # What the customer does, in this order.
    steps: tuple[JourneyStep, ...] = Field(min_length=1)
    # Removes what the journey made, however it ended, in this order. Each is done if all its names
    # are known; a request may have any status below 400, or 404.
    removes: tuple[JourneyRequest | MachineCommand, ...] = ()

    @model_validator(mode="after")
    def _knows_its_names(self) -> Self:
        known = set(GIVEN)
        _require(set(names_in(self.host)), known, "host")
        for step in self.steps:
            if step.in_browser and self.frontend is None:
                raise ValueError(f"{step.does}: say in `frontend:` where its pages are")
            for visit in step.in_browser:
                _require(visit.names(), known, f"{step.does}, in_browser")
            for request in step.requests:
                _require(request.names(), known, request.path)
                known |= request.keep.keys()
            later = [step.makes.name, step.makes.host] if step.makes else []
            later += [*step.in_pod.command, step.in_pod.selector] if step.in_pod else []
            _require(set(names_in(later)), known, step.does)
        for it in self.removes:
            _require(it.names(), known, "removes")
        return self

    def declared(self) -> JourneyDeclared:
        """The journey in the form for checks."""
        return JourneyDeclared(
            acts=tuple(it.does for it in self.steps),
            makes={
                number: MadeDeclared(
                    size_bytes=int(it.makes.size_gib * _GIB),
                    access_mode=it.makes.access_mode,
                    storage_class=it.makes.storage_class,
                )
                for number, it in enumerate(self.steps)
                if it.makes is not None
            },
            known_errors={} if self.frontend is None else self.frontend.known_errors,
        )


def _require(used: set[str], known: set[str], where: str) -> None:
    if unknown := used - known:
        raise ValueError(f"{where}: no earlier request keeps {', '.join(sorted(unknown))}")


class Folder(Frozen):
    """A folder in which the platform makes one for each customer."""

    # The machine that shows it.
    machine: Name
    # Its path there.
    path: Annotated[str, Field(pattern="^/")]
    # A pattern for names in it.
    names: Text
    # The platform keeps it on purpose, as backups: what is new must be gone once the harness has
    # removed what the journey made.
    kept: bool = False


class CustomerDatabases(Frozen):
    """The server on which the platform makes customers' databases and roles."""

    # Where it answers.
    server: DatabaseServer
    # A pattern for their names.
    names: Text


class Leftovers(Frozen):
    """Where an instance could leave something behind, by patterns for names.

    What is there after the deletion and was not before the journey is a leftover. Patterns tell the
    journey's own from what other customers make meanwhile; a name that the journey does not know
    stands for anything.
    """

    # Where the platform makes objects: workloads, pods, Services, claims, Ingresses, …
    namespaces: tuple[Name, ...] = Field(min_length=1)
    # A pattern for their names.
    names: tuple[Text, ...] = Field(min_length=1)
    # Where it makes folders.
    folders: tuple[Folder, ...] = ()
    # Where it makes databases and roles.
    databases: tuple[CustomerDatabases, ...] = ()
    # Why the platform keeps the volumes of deleted claims: its class has the reclaim policy Retain.
    # The harness then removes those of its own customer. Without it, they are leftovers.
    keeps_volumes: Annotated[str, Field(min_length=10)] | None = None
    # After the removal, what a journey made may be there for so long.
    gone_within_s: float = Field(default=120, gt=0)


class Journeys(Frozen):
    """The ways of a customer that gates walk."""

    # Where an instance could leave something behind.
    leftovers: Leftovers
    # Create, use, stop, start, back up, restore, delete.
    instance: Journey | None = None
    # Create a database server, and move an instance onto it.
    database: Journey | None = None
    # From signing up to deleting, as a customer goes it.
    customer: Journey | None = None
    # The same on the frontend's pages.
    browser: Journey | None = None

    def named(self) -> dict[str, Journey]:
        """The declared journeys by name."""
        every = {name: getattr(self, name) for name in JOURNEYS}
        return {name: it for name, it in every.items() if it is not None}


def find_journeys(name: str, folder: Path = JOURNEYS_FOLDER) -> Journeys:
    """The journeys in the file of that name; ConfigError when there is none."""
    known = names(folder)
    if name not in known:
        raise ConfigError(
            f"there is no file {folder / name}.yaml", remedy=f"there are: {', '.join(known)}"
        )
    return parse(Journeys, folder / f"{name}.yaml")


def _found(value: object) -> object:
    try:
        return find_journeys(value, JOURNEYS_FOLDER) if isinstance(value, str) else value
    except ConfigError as error:
        raise ValueError(str(error)) from error


# Of a profile: journeys by the name of their file, or the journeys themselves.
NamedJourneys = Annotated[Journeys, BeforeValidator(_found)]
