"""A profile's settings for faults: power, programs, known pods, and the ledger."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.settings.files import Frozen

Argv = Annotated[tuple[str, ...], Field(min_length=1)]


class Commands(Frozen):
    """The commands for programs on a machine, with the options they always need.

    ``kubectl`` is on every server, with full permissions; ``ctr`` speaks to the containerd that
    runs the pods. The defaults are RKE2's.
    """

    kubectl: Argv = (
        "/var/lib/rancher/rke2/bin/kubectl",
        "--kubeconfig=/etc/rancher/rke2/rke2.yaml",
    )
    ctr: Argv = (
        "/var/lib/rancher/rke2/bin/ctr",
        "--address=/run/k3s/containerd/containerd.sock",
        "--namespace=k8s.io",
    )


class Selected(Frozen):
    """Pods by their labels, in the syntax of ``kubectl --selector``."""

    # Where the pods are.
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    # Labels, such as app=web,component=speaker.
    selector: str = Field(min_length=1)


class KnownPods(Frozen):
    """Pods with a known role: those of the ingress, and MetalLB's speakers.

    ``speaker`` has the labels of MetalLB's own manifests; its Helm chart has other labels.
    """

    # The pods of the ingress, which kill-ingress ends.
    ingress: Selected | None = None
    speaker: Selected = Selected(
        namespace="metallb-system", selector="app=metallb,component=speaker"
    )


class Power(Frozen):
    """Commands, run on this computer, that cut a machine's power and restore it.

    ``{machine}`` in a word stands for the machine's name. The cut must be sudden, like a power
    loss. The restore must not harm a machine that has power.
    """

    # Cuts the power at once.
    cut: tuple[str, ...] = Field(min_length=1)
    # Restores the power.
    restore: tuple[str, ...] = Field(min_length=1)


class Ledger(Frozen):
    """Settings of the ledger of acknowledged writes."""

    # An image that holds PostgreSQL 15 or newer, flock and sh.
    database_image: str
