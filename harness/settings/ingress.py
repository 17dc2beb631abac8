"""A profile's declaration of the ingress: its addresses, its routes and its sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.core.model import IngressDeclared, IngressPage
from harness.settings.files import Frozen
from harness.settings.load import UrlPath
from harness.settings.places import IPv4, ProfilePath

_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
# The entry point names in Traefik's documentation and Helm chart.
_ENTRY_POINTS: Mapping[str, str] = {"http": "web", "https": "websecure"}
# The default path of a site without paths; a load asks for its own paths then.
_PATHS = ("/healthz",)

Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]


class Page(Frozen):
    """A path of a site, and its answer: a status (None: any below 400) and words in its body."""

    # The requested path.
    path: UrlPath
    # The expected status.
    status: int | None = Field(default=None, ge=100, le=599)
    # Words that the answer must contain.
    says: str = ""


def _page(given: Any) -> Any:
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


def _site(given: Any) -> Any:
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
            port=self.port or _PORTS[self.scheme],
            pages=tuple(
                IngressPage(host=site.host, path=page.path, status=page.status, says=page.says)
                for site in self.sites
                for page in site.paths or other
            ),
            limits={it.host: it.limit_per_min for it in self.sites if it.limit_per_min is not None},
        )
