"""A profile's machines: how they are reached, their Kubernetes, and the parts that run on them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork

from harness.core.declared import Machine
from harness.settings.field_types import IPv4, Name, OneOrMore, ProfilePath
from harness.settings.files import Frozen


class SshAccess(Frozen):
    """How to log in to the machines; host keys are pinned in ``known_hosts``."""

    # Root, or the user that `provision nodes` makes: it needs sudo without a password.
    user: str = "root"
    # The port of sshd.
    port: int = Field(default=22, ge=1, le=65535)
    # A private key without a passphrase, readable by its user alone.
    key: ProfilePath
    known_hosts: ProfilePath


class Access(Frozen):
    """How the harness reaches the cluster.

    ``network_namespace`` is a namespace file that the harness enters first, for clusters that are
    reachable only from inside one.
    """

    ssh: SshAccess
    # Its current context is used; the account needs the permissions that `doctor` asks for.
    kubeconfig: ProfilePath
    network_namespace: ProfilePath | None = None


class MachineSettings(Frozen):
    """One machine of the inventory."""

    # The name of the Kubernetes node, and of the machine itself.
    name: Name
    # The harness's login address, and the node's InternalIP.
    address: IPv4
    # A server has the control plane and a member of etcd; a worker runs pods.
    roles: tuple[Literal["server", "worker"], ...] = ("server", "worker")
    # The node's declared taints, as kubectl writes them: key=value:NoSchedule.
    taints: tuple[str, ...] = ()
    # Where the world reaches it, when not at `address` alone: one address, or several of both
    # families.
    outside_address: OneOrMore[IPv4Address | IPv6Address] = ()

    @property
    def outside_addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Every address at which the world reaches it; `address` unless another IPv4 is given."""
        has_ipv4 = any(it.version == 4 for it in self.outside_address)
        return self.outside_address if has_ipv4 else (self.address, *self.outside_address)

    def declared(self) -> Machine:
        """The machine as checks know it."""
        return Machine(name=self.name, address=str(self.address), roles=self.roles)


class Kubernetes(Frozen):
    """The expected Kubernetes, and its layout on a machine."""

    # The release of every node, as `rke2 --version` says it: v1.32.1+rke2r1.
    version: str
    # Where each server's API answers.
    api_port: int = 6443
    # The range of pod addresses.
    pod_network: IPvAnyNetwork
    # The range of service addresses.
    service_network: IPvAnyNetwork
    # The DNS suffix of services.
    domain: str = "cluster.local"
    # The largest packet between machines, in bytes.
    node_mtu: int = 1500
    # The largest packet between pods, in bytes: a tunnel takes 50 bytes of it.
    pod_mtu: int = 1500
    # A container image that holds python3: the pods that probe the pod network run it.
    probe_image: str
    # Glob patterns, on a server, of the certificates whose expiry is checked.
    certificates: tuple[str, ...]
    # The same on a machine that is no server: what its agent and its kubelet use.
    agent_certificates: tuple[str, ...] = ("/var/lib/rancher/rke2/agent/*.crt",)
    # The administrator's files on a server, which only root may read.
    kubeconfigs: tuple[str, ...] = ("/etc/rancher/rke2/rke2.yaml",)
    # The authority that signs etcd's certificates, on each server.
    etcd_ca: str
    # The client certificate that may read etcd's health and metrics.
    etcd_cert: str
    # The key of that certificate.
    etcd_key: str
    # Files on a server that say where its member of etcd answers: the manifest of a static pod, or
    # etcd's own configuration. The first that is there counts.
    etcd_configuration: tuple[str, ...] = (
        "/var/lib/rancher/rke2/agent/pod-manifests/etcd.yaml",
        "/etc/kubernetes/manifests/etcd.yaml",
        "/var/lib/rancher/rke2/server/db/etcd/config",
        "/var/lib/rancher/k3s/server/db/etcd/config",
    )
    # Where a server keeps its snapshots of etcd, and the folder, on a file system that servers
    # share, in which each snapshot has its copy.
    etcd_snapshots: str = "/var/lib/rancher/rke2/server/db/snapshots"
    # The folder of the copies; None where RKE2 uploads them.
    etcd_snapshot_copies: str | None = None
    # An image with etcd and etcdutl, not older than the etcd that runs, and 3.6 at least: that of
    # RKE2 has no etcdutl. `provision nodes` takes both out of it.
    etcd_tools_image: str | None = None
    # RKE2 uploads each snapshot itself (etcd-s3), and records that in ETCDSnapshotFile objects.
    etcd_snapshots_in_s3: bool = False


class Stack(Frozen):
    """The parts that this cluster declares; a part is absent when it is None."""

    # What connects pods: one of RKE2's, which is canal where its `cni:` names none, or a bridge.
    cni: Literal["cilium", "canal", "calico", "flannel", "bridge"]
    # Whether NetworkPolicies are enforced.
    network_policy: bool
    # What gives services outside addresses.
    load_balancer: Literal["metallb"] | None = None
    # The ingress controller; `ingress:` says where it answers.
    ingress: Literal["traefik", "nginx", "caddy"] | None = None
    # External: Ceph runs beside Kubernetes. Cluster: Rook runs it.
    rook: Literal["external", "cluster"] | None = None
    # The platform that is migrated.
    source: Literal["swarm"] | None = None


class Units(Frozen):
    """Systemd units that may have failed on a machine, each with why nothing depends on it."""

    # The reason, by the unit's name.
    tolerated: Mapping[
        Annotated[str, Field(pattern=r"^[^\s/]+\.[a-z]+$")], Annotated[str, Field(min_length=1)]
    ] = {}
