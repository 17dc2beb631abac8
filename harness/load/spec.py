"""The generator's input, made from a load and a cluster profile.

No settings are loaded at run time: the generator's process loads little beside locust.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, Self

from harness.core.errors import ConfigError

if TYPE_CHECKING:
    from harness.settings import Profile
    from harness.settings.load import Load

# A request that begins later than this after it was due was not offered as planned. No user waits
# for an earlier answer (`users`), so only the generator itself can be the reason.
ON_TIME_S = 1.0


class Page(NamedTuple):
    """A page, and its expected answer: a status (None: any below 400), and text in the body."""

    host: str
    path: str
    status: int | None = None
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """The targets, pages, rate and duration of a load.

    ``scheme`` is http or https. ``authority`` is a PEM file; None: this system's trusted CAs.
    ``users`` is large enough that each user is free again when its next request is due, even after
    a request that timed out.
    """

    addresses: Sequence[str]
    pages: Sequence[Page]
    authority: str | None
    per_s: float
    timeout_s: float
    lasts_s: float
    users: int
    scheme: str = "https"
    port: int = 443

    @classmethod
    def from_line(cls, line: str) -> Self:
        told = json.loads(line)
        return cls(**{**told, "pages": [Page(*page) for page in told["pages"]]})

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    def host_of(self, page: Page) -> str:
        """The Host header of a request: with the port unless it is the scheme's default."""
        usual = self.port == (443 if self.scheme == "https" else 80)
        return page.host if usual else f"{page.host}:{self.port}"

    def __str__(self) -> str:
        where = ", ".join(f"{self.scheme}://{self.host_of(it)}{it.path}" for it in self.pages)
        return (
            f"{self.per_s:g} requests/s to {where} at {', '.join(self.addresses)}; "
            f"each is given up after {self.timeout_s:g} s"
        )


def users_for(per_s: float, timeout_s: float) -> int:
    """The number of users that a rate needs, so that no user is busy at its next request."""
    return ceil(per_s * (timeout_s + ON_TIME_S))


def due_at(began: float, number: int, per_s: float) -> float:
    """When a request is due, by the plan alone, independent of other requests."""
    return began + number / per_s


def why_none(profile: Profile) -> str | None:
    """Why no load can be offered to a cluster, in its profile's words; None if one can."""
    return profile.cluster().absent.get("ingress")


def load_spec(load: Load, profile: Profile, lasts_s: float) -> LoadSpec | None:
    """The load for one cluster; None when the cluster declares no ingress.

    ConfigError when it declares an ingress without sites: the load would have no target.
    """
    if why_none(profile) is not None:
        return None
    ingress = profile.ingress
    assert ingress is not None, "a stack with an ingress says where it answers"
    if not ingress.sites:
        raise ConfigError(
            f"the load {load.name} has no target: {profile.name} declares no site",
            remedy="list the customers' sites in `ingress.sites:` of the profile",
        )
    known = ingress.declared(load.paths)
    return LoadSpec(
        addresses=known.addresses,
        pages=[Page(it.host, it.path, it.status, it.says) for it in known.pages],
        scheme=known.scheme,
        port=known.port,
        authority=None if ingress.authority is None else str(ingress.authority),
        per_s=load.requests_per_s,
        timeout_s=load.timeout_s,
        lasts_s=lasts_s,
        users=users_for(load.requests_per_s, load.timeout_s),
    )
