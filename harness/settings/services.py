"""A profile's services: those that call each other, webhooks, the ingress, the Swarm.

Customers use them: on Kubernetes, behind the ingress, and on the platform that is migrated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.core.declared import (
    PORT_OF,
    IngressDeclared,
    IngressPage,
    SwarmAnswer,
    SwarmDeclared,
    SwarmService,
)
from harness.core.declared_platform import ReadDeclared, ServiceDeclared
from harness.settings.field_types import (
    Host,
    IPv4,
    Name,
    Pointer,
    PortNumber,
    ProfilePath,
    Scalar,
    Status,
    UrlPath,
)
from harness.settings.files import Frozen

NameAndPort = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?:[1-9][0-9]{0,4}$")]
ServiceName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$")]

# The entry point names in Traefik's documentation and Helm chart.
_ENTRY_POINTS: Mapping[str, str] = {"http": "web", "https": "websecure"}
# The default path of a site without paths; a load asks for its own paths then.
_PATHS = ("/healthz",)


class CalledService(Frozen):
    """A service that others call by its short name.

    A name or a port that changes on purpose is declared, with the reason.
    """

    # The port under the Swarm.
    port: PortNumber
    # What the callers use on Kubernetes instead: NAME:PORT.
    now: NameAndPort | None = None
    # Why it changes.
    because: str = ""

    @model_validator(mode="after")
    def _has_a_reason(self) -> Self:
        if (self.now is None) == bool(self.because):
            raise ValueError("a changed name has both: `now: NAME:PORT`, and the reason `because:`")
        return self

    def declared(self, name: str) -> ServiceDeclared:
        """The service in the form for checks."""
        new, _, port = (self.now or f"{name}:{self.port}").partition(":")
        return ServiceDeclared(was=f"{name}:{self.port}", name=new, port=int(port))


class DatabaseRead(Frozen):
    """A request that a service answers from its database. A static answer proves nothing."""

    # The path, at the service's own name and port.
    path: UrlPath
    # The expected status.
    status: Status = 200
    # Text that the answer must contain.
    says: str = ""
    # Fields that it must have, by JSON pointer (RFC 6901): `/total: 3`.
    has: Mapping[Pointer, Scalar] = {}

    @model_validator(mode="after")
    def _tells_of_the_database(self) -> Self:
        if not self.says and not self.has:
            raise ValueError("say in `says:` or `has:` what of the answer the database gives")
        return self

    def declared(self) -> ReadDeclared:
        """The read in the form for checks."""
        has = {pointer: json.dumps(value) for pointer, value in self.has.items()}
        return ReadDeclared(path=self.path, status=self.status, says=self.says, has=has)


class CallingService(Frozen):
    """A service whose pods call others."""

    # A label selector of its pods; the first ready one makes the calls.
    selector: str = Field(min_length=1)
    # What it calls: names of `names:`.
    calls: tuple[Name, ...] = ()
    # A read of its database, asked at its own name.
    reads: DatabaseRead | None = None


class Services(Frozen):
    """The services that call each other, by their names under the Swarm."""

    # Where the Services are.
    namespace: Name
    # Each service, by its short name under the Swarm.
    names: Mapping[Name, CalledService] = Field(min_length=1)
    # What each service calls from its own pods, and how it reads its database.
    callers: Mapping[Name, CallingService] = {}

    @model_validator(mode="after")
    def _calls_what_is_named(self) -> Self:
        called = {it for caller in self.callers.values() for it in caller.calls}
        called |= {name for name, caller in self.callers.items() if caller.reads is not None}
        if unknown := called - self.names.keys():
            raise ValueError(f"callers use what is not in `names:`: {', '.join(sorted(unknown))}")
        return self

    def calls(self) -> dict[str, tuple[str, ...]]:
        """What each caller calls, NAME:PORT under the Swarm, in the form for checks."""
        return {
            name: tuple(f"{it}:{self.names[it].port}" for it in caller.calls)
            for name, caller in self.callers.items()
        }

    def reads(self) -> dict[str, ReadDeclared]:
        """The read of each service that has one, in the form for checks."""
        every = {name: it.reads for name, it in self.callers.items()}
        return {name: it.declared() for name, it in every.items() if it is not None}

    def declared(self) -> tuple[ServiceDeclared, ...]:
        """The services in the form for checks."""
        return tuple(it.declared(name) for name, it in self.names.items())


class PodCommand(Frozen):
    """A command for the first container of a ready pod: the first that the selector finds."""

    # Where the pods are.
    namespace: Name
    # A label selector, as `kubectl get pods --selector` takes it.
    selector: str = Field(min_length=1)
    # The program and its arguments.
    command: tuple[str, ...] = Field(min_length=1)


class Registration(PodCommand):
    """A side effect that a service registers elsewhere, such as a webhook.

    The command lists what is registered, one entry a line. A password comes from the pod's own
    environment: `[sh, -c, 'mysql -p"$MARIADB_PASSWORD" …']`.
    """

    # Words of the one entry that must be there.
    entry: str = Field(min_length=1)


class Page(Frozen):
    """A path of a site, and its answer: a status (None: any below 400) and words in its body."""

    # The requested path.
    path: UrlPath
    # The expected status.
    status: int | None = Field(default=None, ge=100, le=599)
    # Words that the answer must contain.
    says: str = ""


def _page(given: object) -> object:
    return {"path": given} if isinstance(given, str) else given


class Site(Frozen):
    """A host that customers visit, and its expected answers.

    Without ``paths`` the paths of the ingress are requested. ``limit_per_min`` is how many requests
    a minute the ingress accepts from one source address; only reports use it.
    """

    # The Host header; DNS is not asked.
    host: Host
    paths: tuple[Annotated[Page, BeforeValidator(_page)], ...] = ()
    limit_per_min: float | None = Field(default=None, gt=0)


def _site(given: object) -> object:
    return {"host": given} if isinstance(given, str) else given


class Ingress(Frozen):
    """The addresses of the ingress, and the sites behind it with their expected answers.

    ``kind`` is the kind of route that this ingress follows and that the harness's own site has: an
    ``ingress`` with a class, one with the older ``annotation`` kubernetes.io/ingress.class, or
    Traefik's own ``ingressroute``. With ``scheme: http`` the harness sends nothing over TLS.
    """

    # Where it answers: each address is probed separately.
    addresses: tuple[IPv4, ...] = Field(min_length=1)
    kind: Literal["ingress", "annotation", "ingressroute"] = "ingress"
    # The scheme of customers' requests.
    scheme: Literal["http", "https"] = "https"
    # None: 80 for http, 443 for https.
    port: int | None = Field(default=None, ge=1, le=65535)
    # The class, or the annotation's value; for an IngressRoute, Traefik's class if it differs from
    # Traefik's default, traefik.
    ingress_class: str = ""
    # Traefik's entry point of an IngressRoute; None: web for http, websecure for https.
    entry_point: str | None = None
    # Hosts that customers visit.
    sites: tuple[Annotated[Site, BeforeValidator(_site)], ...] = ()
    # The paths of sites without paths of their own.
    paths: tuple[UrlPath, ...] = ()
    # The authority (PEM) that signed the sites' certificates; None: one that this system trusts.
    authority: ProfilePath | None = None

    @model_validator(mode="after")
    def _is_of_one_piece(self) -> Ingress:
        if not self.ingress_class and self.kind != "ingressroute":
            raise ValueError(f"a route of kind {self.kind} needs `ingress_class:`")
        if self.entry_point is not None and self.kind != "ingressroute":
            raise ValueError("`entry_point:` is of routes of kind ingressroute alone")
        hosts = self.hosts
        if twice := {host for host in hosts if hosts.count(host) > 1}:
            raise ValueError(f"two sites have the same host: {', '.join(sorted(twice))}")
        return self

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of all sites."""
        return tuple(site.host for site in self.sites)

    @property
    def traefik_entry_point(self) -> str:
        """The entry point that an IngressRoute of this ingress names."""
        return self.entry_point or _ENTRY_POINTS[self.scheme]

    def declared(self, paths: Sequence[str] = _PATHS) -> IngressDeclared:
        """The declaration for checks; ``paths`` are the defaults for sites without paths."""
        other = [Page(path=path) for path in self.paths or paths]
        return IngressDeclared(
            addresses=tuple(map(str, self.addresses)),
            scheme=self.scheme,
            port=self.port or PORT_OF[self.scheme],
            pages=tuple(
                IngressPage(host=site.host, path=page.path, status=page.status, says=page.says)
                for site in self.sites
                for page in site.paths or other
            ),
            limits={it.host: it.limit_per_min for it in self.sites if it.limit_per_min is not None},
        )


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


class SwarmAnswers(Frozen):
    """A service's HTTP answer on a port that it, or the proxy before it, publishes.

    The harness requests it on every machine, or, if the port answers on some of them only, on
    ``machines``. ``host`` is the Host header. ``says`` are words that the answer must contain, so
    that another program on the port is noticed. ``status`` is one accepted status, or a list of
    them. A redirect is not followed: its Location must be ``location``, if that is given.
    """

    # A published port.
    port: int = Field(ge=1, le=65535)
    # The requested path.
    path: str = Field(default="/", pattern=r"^/[!-~]*$")
    host: str = Field(default="", pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)?$")
    status: Annotated[tuple[Status, ...], BeforeValidator(_several)] = Field(
        default=(200,), min_length=1
    )
    says: str = ""
    location: str = ""
    machines: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _redirects(self) -> Self:
        if self.location and not all(300 <= it < 400 for it in self.status):
            raise ValueError("`location` is where a redirect leads to: `status` must be 3xx")
        return self

    def declared(self, machines: tuple[str, ...]) -> SwarmAnswer:
        """The answer in the form for checks, on these machines."""
        return SwarmAnswer(
            port=self.port,
            path=self.path,
            status=self.status[0],
            or_status=self.status[1:],
            says=self.says,
            machines=tuple(name for name in machines if name in (self.machines or machines)),
            host=self.host,
            location=self.location,
        )


class SwarmInstances(SwarmAnswers):
    """Customers' instances: every service whose name matches ``names`` (``odoo-*``).

    Each running instance is requested through every manager, with the hosts of its own Traefik
    labels. An instance with 0 replicas is stopped, and is not requested.
    """

    names: str = Field(min_length=1)
    host: Literal[""] = ""


class SwarmServiceSettings(Frozen):
    """One service's expected state: running tasks, and answers on published ports.

    With 0 ``replicas`` the service must be stopped. A ``global`` service has a task on every
    machine that Swarm chooses, at least one; ``replicas`` says how many, if that is known. A port
    that is requested with a ``host`` may be published by another service, the proxy.
    """

    replicas: int | None = Field(default=None, ge=0)
    # How Swarm spreads its tasks.
    mode: Literal["replicated", "global"] = "replicated"
    answers: tuple[SwarmAnswers, ...] = ()

    @model_validator(mode="after")
    def _is_told(self) -> Self:
        if self.replicas is None and self.mode == "replicated":
            raise ValueError("say how many `replicas` it has, or `mode: global`")
        if self.replicas == 0 and self.answers:
            raise ValueError("with 0 replicas it is stopped: it cannot have `answers`")
        return self


class Swarm(Frozen):
    """The Swarm of all machines of the inventory, of which some are managers."""

    # The machines that must be managers, and reachable.
    managers: tuple[str, ...] = Field(min_length=1)
    # The expected state of each service; the gate ignores services that are not named.
    services: Mapping[ServiceName, SwarmServiceSettings] = Field(min_length=1)
    # Customers' services, which come and go: one pattern for all of them.
    instances: SwarmInstances | None = None
    # Registries that run in it, as images are named by them: "registry.example", "10.0.0.1:5000".
    registries: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]+)?$")], ...] = ()
    # Names that lead to it, beside the hosts of its answers: those of customers' instances.
    hosts: tuple[Host, ...] = ()

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """Every declared name under which it answers, each once."""
        answers = [it.host for one in self.services.values() for it in one.answers]
        registries = [it.partition(":")[0] for it in self.registries]
        named = [it for it in registries if not it.replace(".", "").isdigit()]
        return tuple(dict.fromkeys(filter(None, (*answers, *self.hosts, *named))))

    @property
    def published_ports(self) -> tuple[int, ...]:
        """Every declared port at which it answers, sorted."""
        asked = [it for one in self.services.values() for it in one.answers]
        asked += [self.instances] if self.instances is not None else []
        return tuple(sorted({it.port for it in asked}))

    def machines(self) -> Iterable[str]:
        """The machines that it names."""
        asked = [it for one in self.services.values() for it in one.answers]
        asked += [self.instances] if self.instances is not None else []
        return [*self.managers, *(name for it in asked for name in it.machines)]

    def declared(self, machines: tuple[str, ...]) -> SwarmDeclared:
        """The declaration for checks, as it is on these machines."""
        return SwarmDeclared(
            managers=self.managers,
            services={
                name: SwarmService(
                    replicas=one.replicas,
                    mode=one.mode,
                    answers=tuple(it.declared(machines) for it in one.answers),
                )
                for name, one in self.services.items()
            },
            instances=self.instances.names if self.instances is not None else "",
            instance_answer=None if self.instances is None else self.instances.declared(machines),
        )
