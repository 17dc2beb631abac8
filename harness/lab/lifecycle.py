"""The lifecycle of a lab: up, down, reset, and each machine's power, under one lock."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import ConfigError, LabError, Refused
from harness.lab import (
    archives,
    builds,
    ceph,
    cgroups,
    clock,
    cloudnativepg,
    disks,
    golden,
    host,
    host_limits,
    kubernetes,
    machines,
    metallb,
    network,
    platform,
    pod_network,
    records,
    rook,
    seed_data,
    swarm,
    traefik,
)
from harness.lab.shape import Lab, Node
from harness.lab.stages import Progress, Runner, Stage
from harness.settings import cache_dir


@contextmanager
def locked(lab: Lab, *, alone: bool) -> Iterator[None]:
    """Hold the lab: ``alone`` to change it as a whole, else shared with other users."""
    lab.lock.parent.mkdir(parents=True, exist_ok=True)
    with lab.lock.open("a+") as held:
        try:
            fcntl.flock(held, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            held.seek(0)
            who = held.read().strip() or "another command"
            raise Refused(
                f"the lab {lab.name} is in use by {who}",
                remedy="wait for it to end, or end it; one lab is shared by all checkouts",
            ) from error
        held.truncate(0)
        held.write(f"process {os.getpid()}")
        held.flush()
        yield


def require_root() -> None:
    """ConfigError if this process lacks the rights to make machines."""
    if os.geteuid() != 0:
        raise ConfigError(
            "the lab needs root: it boots machines, mounts disks and makes networks",
            remedy="run it as root, or name a cluster of your own with --cluster",
        )


def require_packages(progress: Progress, *, install: bool, log: Path) -> None:
    """Install this host's missing packages, named first; ConfigError if that is not allowed."""
    lacking = host.missing_packages(builds.SUITE)
    if not lacking:
        return
    if not install:
        raise ConfigError(
            f"the lab needs Debian packages that are not installed: {' '.join(lacking)}",
            remedy=f"apt-get install {' '.join(lacking)}, or leave out --no-install",
        )
    progress(f"installing Debian packages: {' '.join(lacking)}")
    host.install(lacking, log=log)


@dataclass(frozen=True)
class Up:
    """One ``lab up``, from nothing or the golden copy; ``booted`` are machines that were off."""

    lab: Lab
    booted: list[Node] = field(default_factory=list)

    def log(self, stage: str) -> Path:
        return self.lab.logs / f"{stage}.log"

    def stages(self) -> list[Stage]:
        """The remaining stages, each after the stages that it needs."""
        return self.from_golden() if self.ready_made() else self.from_nothing()

    def ready_made(self) -> bool:
        """True if disks exist that were whole once: only a boot is missing."""
        disks.open_pool(self.lab, self.log("pool"))
        return self.lab.golden.exists() or self.lab.built.exists()

    def from_golden(self) -> list[Stage]:
        return [
            Stage("system", self.system, 1),
            Stage("tools", self.tools, 1),
            Stage("disks", self.disks, 3, ("system", "tools")),
            Stage("boot", self.boot, 10, ("disks",)),
            # No check runs before the agents: it would use the same processors.
            Stage("node agents", self.agents, 40, ("boot",)),
            Stage("ceph whole", self.ceph_whole, 5, ("node agents",)),
            Stage("usual waits", self.usual_waits, 1, ("ceph whole",)),
            Stage("kubernetes whole", self.kubernetes_whole, 15, ("node agents",)),
            *self.source([Stage("swarm whole", self.swarm_whole, 5, ("node agents",))]),
            Stage("rook whole", self.rook_whole, 30, ("kubernetes whole",)),
            Stage("postgres whole", self.postgres_whole, 30, ("kubernetes whole",)),
            Stage("snapshot", self.snapshot, 2, ("ceph whole", "kubernetes whole")),
        ]

    def from_nothing(self) -> list[Stage]:
        network = [*pod_network.stages(self.lab), *self.load_balancer()]
        ingress = self.ingress(network[-1].name)
        source = self.source(swarm.stages(self.lab))
        storage = self.rook(network[-1].name)
        databases = cloudnativepg.stages(self.lab)
        services = platform.stages(self.lab, ingress)
        return [
            Stage("system", self.system, 140),
            Stage("kubernetes binary", self.kube, 400),
            Stage("workload", self.workload, 90, ("system",)),
            Stage("libraries", self.libraries, 15),
            Stage("disks", self.disks, 10, ("system",)),
            Stage("boot", self.boot, 15, ("disks",)),
            Stage("last partition", self.last_partition, 15, ("boot",)),
            Stage("ceph", self.ceph, 40, ("last partition",)),
            Stage("existing storage", self.existing_storage, 3, ("ceph",)),
            Stage("tools", self.tools, 15, ("workload", "libraries", "kubernetes binary")),
            Stage("images", self.images, 30, ("tools", "last partition")),
            Stage("first control plane", self.first, 20, ("images",)),
            Stage("other control planes", self.others, 40, ("first control plane",)),
            *network,
            *ingress,
            *source,
            *self.claims(network[-1].name, storage),
            *databases,
            *services,
            Stage("ceph whole", self.ceph_whole, 5, ("platform",)),
            Stage(
                "kubernetes whole",
                self.kubernetes_whole,
                30,
                (
                    "platform",
                    *(part[-1].name for part in (ingress, storage, databases, services) if part),
                ),
            ),
            Stage("rook whole", self.rook_whole, 30, ("kubernetes whole",)),
            Stage("snapshot", self.snapshot, 2, ("ceph whole", "kubernetes whole")),
            Stage(
                "records",
                self.records,
                15,
                ("snapshot", "rook whole", *(it.name for it in source[-1:])),
            ),
            Stage("golden copy", self.golden_copy, 5, ("records",)),
        ]

    def system(self) -> None:
        builds.system("machine", "").ensure(self.log("system"))

    def workload(self) -> None:
        builds.system("workload", ".tar").ensure(self.log("workload"))

    def libraries(self) -> None:
        archives.libraries().ensure(self.log("libraries"))

    def kube(self) -> None:
        builds.kube(self.lab.profile.kubernetes.version).ensure(self.log("kubernetes-binary"))

    def tools(self) -> None:
        platform.tools(self.lab, self.log("tools"))

    def disks(self) -> None:
        lab, log = self.lab, self.log("disks")
        network.up(lab, log)
        # Machines see this folder from their first boot; its contents may come later.
        lab.tools.mkdir(parents=True, exist_ok=True)
        copied = not lab.live.exists() and lab.golden.exists()
        if copied:
            disks.copy(lab.golden, lab.live, log)
        lab.live.mkdir(exist_ok=True)
        open_access(lab, log)
        rootfs = builds.system("machine", "").path
        for node in lab.nodes:
            disks.make(lab, node, log)
            disks.mount(lab, node, rootfs, log)
            if not (node.system / "prepared").exists():
                machines.prepare(lab, node, log)
                (node.system / "prepared").touch()
        if copied:
            golden.start_without_waiting(lab)
        pinned = "".join(machines.host_key(node) for node in lab.nodes)
        lab.profile.access.ssh.known_hosts.write_text(pinned)

    def boot(self) -> None:
        clock.up(self.lab, self.log("clock"))
        self.booted[:] = [node for node in self.lab.nodes if machines.init(self.lab, node) is None]
        with ThreadPoolExecutor(len(self.lab.nodes)) as pool:
            list(pool.map(lambda node: power_on(self.lab, node), self.lab.nodes))

    def agents(self) -> None:
        kubernetes.look_again(self.lab, self.booted, self.log("node-agents"))

    def usual_waits(self) -> None:
        golden.wait_as_usual(self.lab, self.log("usual-waits"))

    def last_partition(self) -> None:
        lab, log = self.lab, self.log("last-partition")
        node = lab.node(lab.shape.new_disk)
        disks.provide_partition(lab, node, log)
        # A machine of the lab keeps the devices of its boot.
        if not machines.enter(lab, node, ["find", "/dev", "-name", "sda2"], log=log):
            machines.power_off(lab, node)
            power_on(lab, node)

    def ceph(self) -> None:
        ceph.up(self.lab, self.log("ceph"))

    def existing_storage(self) -> None:
        seed_data.plant(self.lab, self.log("existing-storage"))

    def source(self, stages: list[Stage]) -> list[Stage]:
        """These stages, if the lab has the platform that is migrated."""
        return stages if self.lab.profile.stack.source == "swarm" else []

    def images(self) -> None:
        kubernetes.import_images(self.lab, "images.tar", self.log("images"))

    def first(self) -> None:
        kubernetes.first(self.lab, self.log("first-control-plane"))

    def others(self) -> None:
        kubernetes.others(self.lab, self.log("other-control-planes"))

    def load_balancer(self) -> list[Stage]:
        declared = self.lab.profile.stack.load_balancer == "metallb"
        return metallb.stages(self.lab) if declared else []

    def ingress(self, after: str) -> list[Stage]:
        declared = self.lab.profile.stack.ingress == "traefik"
        return traefik.stages(self.lab, after) if declared else []

    def rook(self, network: str) -> list[Stage]:
        declared = self.lab.profile.stack.rook is not None
        return rook.stages(self.lab, "traefik program", network) if declared else []

    def claims(self, network: str, storage: list[Stage]) -> list[Stage]:
        """Rook and the platform, whose claims are served from Rook's own Ceph if it has one."""
        if rook.has_own_ceph(self.lab):
            return [*storage, Stage("platform", self.platform, 10, (network, "ceph", "rook"))]
        return [Stage("platform", self.platform, 10, (network, "ceph")), *storage]

    def rook_whole(self) -> None:
        rook.whole(self.lab, self.log("rook-whole"))

    def postgres_whole(self) -> None:
        cloudnativepg.whole(self.lab, self.log("postgres-whole"))

    def platform(self) -> None:
        platform.up(self.lab, self.log("platform"))

    def ceph_whole(self) -> None:
        ceph.whole(self.lab, self.log("ceph-whole"))

    def kubernetes_whole(self) -> None:
        log = self.log("kubernetes-whole")
        # An OSD of Rook's starts after three containers that prepare it.
        within_s = 420 if rook.has_own_ceph(self.lab) else 180
        kubernetes.whole(self.lab, log, within_s)
        assert self.lab.profile.uid_file is not None
        self.lab.profile.uid_file.write_text(kubernetes.uid(self.lab, log) + "\n")

    def swarm_whole(self) -> None:
        swarm.whole(self.lab, self.log("swarm-whole"))

    def snapshot(self) -> None:
        kubernetes.snapshot(self.lab, self.log("snapshot"))

    def records(self) -> None:
        records.keep(self.lab, self.log("records"))

    def golden_copy(self) -> None:
        self.lab.built.touch()
        golden.save(self.lab, self.log("golden-copy"))


def open_access(lab: Lab, log: Path) -> None:
    """The harness's key, other ways in, and records, which are copied together with the disks."""
    folder = lab.live / "access"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not lab.access.is_symlink():
        lab.access.symlink_to(folder)
    if not lab.ssh_key.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cutover lab"]
        host.run([*command, "-f", lab.ssh_key], log=log)


def power_on(lab: Lab, node: Node) -> None:
    """Boot a machine and wait until its systemd has finished starting."""
    log = lab.logs / f"power.{node.name}.log"
    machines.boot(lab, node, log)
    machines.booted(lab, node, log)


def is_built(lab: Lab) -> bool:
    """True if the current disks were whole once."""
    return lab.built.exists()


def is_up(lab: Lab) -> bool:
    """True if the lab exists and can be judged; a machine that is off is then a finding."""
    return is_built(lab) and any(machines.init(lab, node) for node in lab.nodes)


def same_code(lab: Lab) -> None:
    """Refused if the existing lab, even a partial one, was built by other lab code."""
    begun = lab.begun.read_text() if lab.begun.exists() else lab.key
    if begun != lab.key:
        raise Refused(
            f"the lab {lab.name} was built by another checkout's lab code or profile"
            f" ({begun}, here {lab.key})",
            remedy="use it from that checkout, or take it down first: ./cutover lab down",
        )


def up(lab: Lab, progress: Progress, *, install: bool = True) -> None:
    """Bring the lab up from any state; returns when all of it is whole."""
    require_root()
    require_packages(progress, install=install, log=lab.logs / "packages.log")
    with locked(lab, alone=True):
        same_code(lab)
        lab.begun.parent.mkdir(parents=True, exist_ok=True)
        lab.begun.write_text(lab.key)
        disks.enough_room(lab)
        host_limits.lift()
        builds.sweep()
        cgroups.kill(f"{lab.label}/build")
        host.join(cgroups.make(f"{lab.label}/build"))
        Runner(cache_dir() / f"{lab.name}.times.json", progress).run(Up(lab).stages())


def down(lab: Lab, progress: Progress) -> None:
    """Remove all of the lab except the build cache, from any state."""
    require_root()
    with locked(lab, alone=True):
        log = lab.lock.with_suffix(".down.log")
        progress("powering its machines off, unmounting its disks")
        stop(lab, log)
        disks.close_pool(lab, log)
        network.down(lab, log)
        cgroups.remove(lab.label)
        shutil.rmtree(lab.state, ignore_errors=True)
        host_limits.restore()
        log.unlink(missing_ok=True)


def stop(lab: Lab, log: Path) -> None:
    """Power every machine off, end the other processes, and detach the disks."""
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        list(pool.map(lambda node: machines.power_off(lab, node), lab.nodes))
    cgroups.kill(lab.label)
    machines.forget(lab)
    disks.release(lab, log)


def reset(lab: Lab, progress: Progress) -> None:
    """Return to the just-built state; LabError when there is no golden copy yet."""
    require_root()
    with locked(lab, alone=True):
        if not lab.golden.exists():
            raise LabError(
                f"the lab {lab.name} has no just-built state to return to",
                remedy="bring it up once: ./cutover lab up",
            )
        stop(lab, lab.logs / "reset.log")
        shutil.rmtree(lab.live, ignore_errors=True)
        stages: Sequence[Stage] = Up(lab).from_golden()
        Runner(cache_dir() / f"{lab.name}.reset-times.json", progress).run(stages)
