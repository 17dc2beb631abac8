"""What an operator declares about Ceph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from harness.settings.files import Frozen

# Why something that a healthy Ceph would not have is meant to be there; the report shows it.
Because = Annotated[str, Field(min_length=10)]


class Ceph(Frozen):
    """How Ceph is asked, what it may complain of, and what it replaces.

    Asked through ``machines``, each of them has the ``ceph`` program and a keyring that may read;
    through the ``toolbox``, a pod of Rook's has them.

    A keyring that may read has ``mon 'allow r' mgr 'allow r' osd 'allow r'``. Each OSD is asked by
    ``ceph tell osd.N version``, which it answers only to ``osd 'allow *'``. It refuses that to a
    client with any lesser right, which is an answer too. A client without a right on OSDs is not
    let in, and hears nothing (``OSD::ms_handle_fast_authentication``, ``OSD::handle_command``).
    """

    # Where `ceph` is asked.
    through: Literal["machines", "toolbox"] = "machines"
    # Where the toolbox is.
    toolbox_namespace: str = "rook-ceph"
    # The label of its pod.
    toolbox_label: str = "app=rook-ceph-tools"
    # Warnings that Ceph may show, by their code (POOL_NO_REDUNDANCY); an error never may.
    warnings: Mapping[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]+$")], Because] = {}
    # Flags that may be set, by their name (noout).
    flags: Mapping[str, Because] = {}
    # What the storage that is to be replaced can hold, in GB (10⁹ bytes), copies not counted.
    source_gb: float | None = Field(default=None, gt=0)
    # The pool of customers' block images (RBD), when they have such.
    image_pool: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w.-]*$")
