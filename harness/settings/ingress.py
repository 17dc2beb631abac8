"""What a profile declares of the ingress: where it answers, and its sites."""

from __future__ import annotations

from pydantic import Field, IPvAnyAddress

from harness.settings.files import Frozen
from harness.settings.load import UrlPath
from harness.settings.places import Name, ProfilePath


class Ingress(Frozen):
    """Where the ingress answers, and the sites whose certificates must be valid."""

    addresses: tuple[IPvAnyAddress, ...] = Field(min_length=1)
    ingress_class: str
    sites: tuple[Name, ...] = ()
    # What a load asks the sites for, where that is something else than the load says.
    paths: tuple[UrlPath, ...] = ()
    # The authority that signed the sites' certificates (PEM); None: one that this system trusts.
    authority: ProfilePath | None = None
