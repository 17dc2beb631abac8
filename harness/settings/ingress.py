"""What a profile declares of the ingress: where and how it answers, and its sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.model import IngressDeclared, IngressPage
from harness.settings.files import Frozen
from harness.settings.load import UrlPath
from harness.settings.places import IPv4, ProfilePath

_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
# The names that Traefik's documentation and its Helm chart give its entry points.
_ENTRY_POINTS: Mapping[str, str] = {"http": "web", "https": "websecure"}
# The paths of a site that declares none; the load asks for its own paths then.
_PATHS = ("/healthz",)

Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]


class Page(Frozen):
    """A path of a site, and its answer: a status (None: any below 400) and words in its body."""

    # What is asked for.
    path: UrlPath
    # The status that is right.
    status: int | None = Field(default=None, ge=100, le=599)
    # Words that the answer must hold.
    says: str = ""


def _page(given: Any) -> Any:
    return {"path": given} if isinstance(given, str) else given


class Site(Frozen):
    """A host that customers visit, and what it must answer.

    Without ``paths`` it is asked for those of the ingress. ``limit_per_min`` is how many requests
    a minute the ingress takes from one source address, for the words of a report alone.
    """

    # The Host header; DNS is not asked.
    host: Host
    paths: tuple[Annotated[Page, BeforeValidator(_page)], ...] = ()
    limit_per_min: float | None = Field(default=None, gt=0)


def _site(given: Any) -> Any:
    return {"host": given} if isinstance(given, str) else given


class Ingress(Frozen):
    """Where the ingress answers, and the sites behind it, which must answer as they say here.

    ``kind`` is the kind of route that this ingress follows, and that the harness's own site has:
    an ``ingress`` with a class, one with the older ``annotation`` kubernetes.io/ingress.class, or
    Traefik's own ``ingressroute``. With ``scheme: http`` nothing here is asked over TLS.
    """

    # Where it answers: each address is asked by itself.
    addresses: tuple[IPv4, ...] = Field(min_length=1)
    kind: Literal["ingress", "annotation", "ingressroute"] = "ingress"
    # How customers' requests come in.
    scheme: Literal["http", "https"] = "https"
    # None: 80 for http, 443 for https.
    port: int | None = Field(default=None, ge=1, le=65535)
    # The class, or the annotation's value; of an IngressRoute, where Traefik has another than its
    # own default, traefik.
    ingress_class: str = ""
    # Traefik's entry point of an IngressRoute; None: web for http, websecure for https.
    entry_point: str | None = None
    # Hosts that customers visit.
    sites: tuple[Annotated[Site, BeforeValidator(_site)], ...] = ()
    # What sites without paths of their own are asked for.
    paths: tuple[UrlPath, ...] = ()
    # The authority that signed the sites' certificates (PEM); None: one that this system trusts.
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
        """What checks may know of it; ``paths`` are those that are asked for where none is said."""
        other = [Page(path=path) for path in self.paths or paths]
        return IngressDeclared(
            addresses=tuple(map(str, self.addresses)),
            scheme=self.scheme,
            port=self.port or _PORTS[self.scheme],
            pages=tuple(
                IngressPage(host=site.host, path=page.path, status=page.status, says=page.says)
                for site in self.sites
                for page in site.paths or other
            ),
            limits={it.host: it.limit_per_min for it in self.sites if it.limit_per_min is not None},
        )
