"""Makes the generator's LoadSpec from a load and a cluster profile."""

from __future__ import annotations

from harness.core.errors import ConfigError
from harness.load.spec import LoadSpec, Page, users_for
from harness.settings import Profile
from harness.settings.drills import Load

_PART = "ingress"


def why_none(profile: Profile) -> str | None:
    """Why no load can be offered to a cluster, in its profile's words; None if one can."""
    return profile.cluster().absent.get(_PART)


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
