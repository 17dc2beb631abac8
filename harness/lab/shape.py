"""A lab's shape and its places: the ``lab:`` section of a profile, and its folders."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Literal

from pydantic import Field, IPvAnyAddress, ValidationError

from harness.core.errors import ConfigError
from harness.settings import Frozen, Profile, cache_dir, state_dir

LAB = Path(__file__).resolve().parent
# These modules start, stop and watch the lab, and do not affect its content.
TRACELESS = frozenset(
    [
        "__init__",
        "host_limits",
        "cgroups",
        "clock",
        "golden",
        "host",
        "lifecycle",
        "network",
        "shape",
        "stages",
        "status",
    ]
)


class Shape(Frozen):
    """Sizes and shape of a lab, from the profile."""

    address: IPv4Interface  # the bridge: the machines' way out and their clock
    ipv6_address: IPv6Interface  # the bridge's second address
    api_address: IPvAnyAddress  # held by keepalived on one of the servers
    disk_gb: int = Field(ge=16)  # /dev/sda1 and /dev/sda2 together
    osd_gb: int = Field(ge=8)  # /dev/sda2
    new_disk: str  # the machine whose disk comes without sda2, which is made as on a real one
    memory_gb: int = Field(ge=3)
    processes: int = Field(ge=1000)
    network: Literal["bridge", "cilium"]


@dataclass(frozen=True)
class Node:
    """One machine of the lab. ``index`` counts from 1."""

    index: int
    name: str
    address: str
    ipv6: str
    folder: Path
    snapshot: Path

    @property
    def disk(self) -> Path:
        """The image behind /dev/sda."""
        return self.snapshot / f"{self.name}.img"

    @property
    def system(self) -> Path:
        """Where /dev/sda1 is mounted on this host."""
        return self.folder / "system"

    @property
    def root(self) -> Path:
        """The machine's root: an overlay of the built system and the machine's own changes."""
        return self.folder / "root"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


@dataclass(frozen=True)
class Lab:
    """One lab by name, and every place that it uses on this host."""

    profile: Profile
    shape: Shape

    @classmethod
    def of(cls, profile: Profile) -> Lab:
        """The lab that a profile describes; ConfigError when it describes none."""
        if profile.lab is None or profile.access.network_namespace is None:
            raise ConfigError(
                f"the cluster {profile.name} is not a lab: it has no lab section",
                remedy="name a lab with --cluster lab or --cluster lab-full",
            )
        for machine in profile.machines:
            if [it.version for it in machine.outside_address] != [6]:
                raise ConfigError(f"{machine.name} needs one outside_address, of IPv6")
        try:
            return cls(profile, Shape.model_validate(profile.lab))
        except ValidationError as error:
            raise ConfigError(
                f"the lab section of profile {profile.name} is wrong: {error}"
            ) from error

    @property
    def name(self) -> str:
        return self.profile.name

    @property
    def label(self) -> str:
        """The name of the lab's network namespace and of its control groups."""
        assert self.profile.access.network_namespace is not None
        return self.profile.access.network_namespace.name

    @property
    def state(self) -> Path:
        return state_dir() / "labs" / self.name

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def lock(self) -> Path:
        """Outside ``state``, so that ``lab down`` can remove that folder."""
        return state_dir() / "locks" / f"{self.name}.lock"

    @property
    def pool_image(self) -> Path:
        """A separate file system that copies files with reflinks, in no time."""
        return cache_dir() / f"{self.name}.pool"

    @property
    def pool(self) -> Path:
        return self.state / "pool"

    @property
    def live(self) -> Path:
        """The current disks and keys."""
        return self.pool / "live"

    @property
    def golden(self) -> Path:
        """The disks and keys just after the first successful ``up``."""
        return self.pool / f"golden-{self.key}"

    @property
    def tools(self) -> Path:
        """Programs that the machines see, read-only, at /opt/cutover."""
        return self.state / "tools"

    @property
    def access(self) -> Path:
        """Keys and addresses for the harness, and records; they are copied with the live disks."""
        return self.state / "access"

    @property
    def ssh_key(self) -> Path:
        return self.profile.access.ssh.key

    @property
    def built(self) -> Path:
        """Exists once a first ``up`` has succeeded."""
        return self.live / "built"

    @property
    def begun(self) -> Path:
        """Exists from the begin of a first ``up`` on, and contains the lab's key."""
        return self.state / "begun"

    @cached_property
    def key(self) -> str:
        """A digest of everything that the lab's content depends on."""
        digest = hashlib.sha256()
        for path in sorted(LAB.rglob("*")):
            traceless = path.parent == LAB and path.stem in TRACELESS
            if path.is_file() and "__pycache__" not in path.parts and not traceless:
                digest.update(str(path.relative_to(LAB)).encode() + b"\0" + path.read_bytes())
        parts = {"machines", "kubernetes", "stack", "lab", "rook", "postgres"}
        parts |= {"ingress", "load_balancer_pool", "exposed_ports"}
        declared = self.profile.model_dump(mode="json", include=parts)
        digest.update(json.dumps(declared, sort_keys=True).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(
            Node(
                index,
                m.name,
                address=str(m.address),
                ipv6=str(m.outside_address[0]),
                folder=self.state / "machines" / m.name,
                snapshot=self.live,
            )
            for index, m in enumerate(self.profile.machines, start=1)
        )

    def node(self, name: str) -> Node:
        """The machine of that name; ConfigError names those that exist."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise ConfigError(f"the lab {self.name} has no machine {name}", remedy=f"it has {names}")
