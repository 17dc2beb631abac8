"""The lab's machines: prepared on disk, booted by systemd-nspawn, entered, and powered off."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jinja2

from harness.core.errors import LabError
from harness.core.waiting import until
from harness.lab import cgroups, disks, network
from harness.lab.host import LOOK_EVERY_S, joining, launch, run
from harness.lab.shape import LAB, Lab, Node

GIB = 1024**3
FSID = uuid.uuid5(uuid.NAMESPACE_URL, "cutover-lab-ceph")
# Needed besides systemd-nspawn's own list: for containers, eBPF, and measurements.
SYSTEM_CALLS = "@keyring @mount bpf perf_event_open"
# The kernel is shared: no machine sets its clock, loads its modules or reaches its hardware.
DROPPED = ("sys_time", "sys_module", "sys_rawio", "wake_alarm")
MASKED = (
    "ceph-crash.service",
    "etcd.service",
    "e2scrub_reap.service",
    "nvmf-autoconnect.service",
    # Debian's maintenance units start at any time, in the middle of a boot or of a measurement.
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "logrotate.timer",
)
# Control groups below a machine's own: of Docker's containers, and of Kubernetes's pods.
CONTAINERS = ("docker", "kubepods")
# A lab without a Swarm runs no Docker.
DOCKER = ("docker.socket", "docker.service")
ENABLED = {
    "sysinit.target.wants": (
        "/etc/systemd/system/cutover-early.service",
        "/lib/systemd/system/nftables.service",
    ),
    "network-online.target.wants": ("/lib/systemd/system/systemd-networkd-wait-online.service",),
    "timers.target.wants": ("/etc/systemd/system/rke2-etcd-snapshot.timer",),
    "multi-user.target.wants": (
        "/etc/systemd/system/containerd.service",
        "/etc/systemd/system/rke2-server.service",
        "/etc/systemd/system/mnt-cephfs.service",
        "/etc/systemd/system/mnt-cephfs-watch.service",
        "/etc/systemd/system/mnt-rook.service",
        "/lib/systemd/system/systemd-networkd.service",
        "/lib/systemd/system/ssh.service",
        "/lib/systemd/system/chrony.service",
        "/lib/systemd/system/keepalived.service",
    ),
}
TOOLS = ("kubelet", "kubeadm", "kubectl", "etcd", "etcdctl", "etcdutl")


def group(lab: Lab, node: Node) -> str:
    """The machine's control group."""
    return f"{lab.label}/{node.name}"


def words(lab: Lab, node: Node) -> dict[str, str]:
    """The values for the templates below ``machine/``."""
    others = [other for other in lab.nodes if other is not node]
    kubernetes, swarm = lab.profile.kubernetes, lab.profile.swarm
    return {
        "name": node.name,
        "address": node.address,
        "prefix": str(lab.shape.address.network.prefixlen),
        "ipv6": node.ipv6,
        "ipv6_prefix": str(lab.shape.ipv6_address.network.prefixlen),
        "gateway": str(lab.shape.address.ip),
        "api_address": str(lab.shape.api_address),
        "priority": str(104 - node.index),
        "peers": "\n        ".join(other.address for other in others),
        "pod_network": str(kubernetes.pod_network),
        "service_network": str(kubernetes.service_network),
        "domain": kubernetes.domain,
        "api_port": str(kubernetes.api_port),
        "version": kubernetes.version,
        "cluster": lab.name,
        "fsid": str(FSID),
        "names": ",".join(other.name for other in lab.nodes),
        "addresses": ",".join(other.address for other in lab.nodes),
        "open_ports": ", ".join(
            f"ipv{port.version} . {port.protocol} . {port.number}"
            for port in lab.profile.cluster().exposed_ports
        ),
        "snapshot_copies": kubernetes.etcd_snapshot_copies or "",
        "servers": ", ".join(other.address for other in lab.nodes),
        "ipv6_servers": ", ".join(other.ipv6 for other in lab.nodes),
        "registries": json.dumps(swarm.registries if swarm is not None else ()),
    }


def fill(text: str, values: Mapping[str, str]) -> str:
    """A template (jinja2) with its values; jinja2's UndefinedError for a missing value."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(text).render(values)


def prepare(lab: Lab, node: Node, log: Path) -> None:
    """Write the machine's own files over the built system, before its first boot."""
    root = node.root
    values = words(lab, node)
    rancher = node.system / "rancher"
    for source in sorted((LAB / "machine").rglob("*")):
        if not source.is_file():
            continue
        relative = source.relative_to(LAB / "machine")
        in_rancher = relative.parts[:3] == ("var", "lib", "rancher")
        target = rancher / Path(*relative.parts[3:]) if in_rancher else root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fill(source.read_text(encoding="utf-8"), values), encoding="utf-8")
        shutil.copymode(source, target)
    _write(root / "etc/hostname", f"{node.name}\n")
    _write(root / "etc/hosts", "".join(f"{line}\n" for line in _hosts(lab)))
    _write(root / "etc/resolv.conf", f"nameserver {lab.shape.address.ip}\n")
    _write(root / "etc/fstab", "")
    _write(root / "etc/machine-id", f"{uuid.uuid5(FSID, node.name).hex}\n")
    _units(root, masked(lab))
    _layout(root, rancher)
    _ssh(lab, node, log)


def _hosts(lab: Lab) -> Iterator[str]:
    """Lines of /etc/hosts: the machines, and the Swarm's registry at its first manager."""
    yield "127.0.0.1 localhost"
    for node in lab.nodes:
        yield f"{node.address} {node.name}"
    if (swarm := lab.profile.swarm) is not None:
        for registry in swarm.registries:
            yield f"{lab.node(swarm.managers[0]).address} {registry.partition(':')[0]}"


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def masked(lab: Lab) -> tuple[str, ...]:
    """The units that never run on the lab's machines."""
    return MASKED if lab.profile.stack.source == "swarm" else MASKED + DOCKER


def _units(root: Path, never: Sequence[str]) -> None:
    units = root / "etc/systemd/system"
    for name in never:
        _link(units / name, "/dev/null")
    # kubeadm starts and stops it by this name.
    _link(units / "kubelet.service", "rke2-server.service")
    for target, wanted in ENABLED.items():
        for unit in wanted:
            _link(units / target / Path(unit).name, unit)


def _layout(root: Path, rancher: Path) -> None:
    """RKE2's paths, as links to kubeadm's."""
    for folder in ("server/tls", "server/db/snapshots", "agent/pod-manifests"):
        (rancher / "rke2" / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/kubernetes").mkdir(exist_ok=True)
    _link(root / "etc/kubernetes/manifests", "/var/lib/rancher/rke2/agent/pod-manifests")
    for tool in TOOLS:
        _link(root / f"usr/local/bin/{tool}", "/opt/cutover/kube")
    (root / "etc/cni/net.d").mkdir(parents=True, exist_ok=True)


def _ssh(lab: Lab, node: Node, log: Path) -> None:
    """The machine's pinned host key, and the only key that may log in."""
    folder = node.root / "etc/ssh"
    for old in folder.glob("ssh_host_*"):
        old.unlink()
    key = folder / "ssh_host_ed25519_key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", node.name, "-f", key], log=log)
    authorized = node.root / "root/.ssh/authorized_keys"
    _write(authorized, lab.ssh_key.with_suffix(".pub").read_text())
    authorized.parent.chmod(0o700)


def host_key(node: Node) -> str:
    """A line of known_hosts for the machine."""
    public = (node.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    return f"{node.address} {public[0]} {public[1]}\n"


def boot(lab: Lab, node: Node, log: Path) -> None:
    """Power on; a running machine stays as it is. Returns before the boot has finished."""
    if init(lab, node) is not None:
        return
    groups = cgroups.make(
        group(lab, node),
        memory_bytes=lab.shape.memory_gb * GIB,
        processes=lab.shape.processes,
    )
    network.forget(lab, node, log)
    device = disks.attach(lab, node, log)
    command = _nspawn(lab, node, [device, *map(str, disks.partitions(device, log))])
    with node.console.open("ab") as console:
        launch(joining(groups, command), console)
    until(
        lambda: init(lab, node) is not None,
        within_s=20,
        every_s=0.1,
        what=f"{node.name} starts",
        remedy=f"see {node.console}",
    )


# If it runs in another program's unit, systemd-nspawn does not reboot the machine itself: it ends
# with 133, and this loop starts it again.
_AGAIN = 'while "$@"; [ $? = 133 ]; do :; done'


def _nspawn(lab: Lab, node: Node, disk: Sequence[str]) -> list[str]:
    """The command that runs the machine; ``disk`` is its disk's device, then its partitions'."""
    binds = {
        **{device: f"/dev/sda{number or ''}" for number, device in enumerate(disk)},
        str(node.system / "rancher"): "/var/lib/rancher",
        str(node.system / "kubelet"): "/var/lib/kubelet",
        # overlay2 does not work on an overlay.
        str(node.system / "docker"): "/var/lib/docker",
        "/dev/fuse": "/dev/fuse",
        "/dev/kmsg": "/dev/kmsg",
    }
    return [
        *("sh", "-c", _AGAIN, node.name),
        *network.inside(lab),
        "systemd-nspawn",
        "--boot",
        "--quiet",
        f"--directory={node.root}",
        f"--machine={node.name}",
        f"--hostname={node.name}",
        f"--network-bridge={network.BRIDGE}",
        "--register=no",
        "--keep-unit",
        "--settings=no",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--capability=all",
        f"--drop-capability={','.join(f'CAP_{name.upper()}' for name in DROPPED)}",
        f"--system-call-filter={SYSTEM_CALLS}",
        f"--bind-ro={lab.tools}:/opt/cutover",
        *(f"--bind={source}:{target}" for source, target in binds.items()),
        # systemd 256 and newer refuse version 1 of control groups otherwise.
        "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    ]


def init(lab: Lab, node: Node) -> int | None:
    """The host's process id of the machine's PID 1; None when it is off."""
    machine = group(lab, node)
    # systemd moves into a group of its own, which is far quicker to search than the machine's.
    for pid in cgroups.pids(f"{machine}/payload/init.scope") or cgroups.pids(machine):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        numbers = next((li for li in status.splitlines() if li.startswith("NSpid:")), "").split()[
            1:
        ]
        if len(numbers) == 2 and numbers[1] == "1":
            return pid
    return None


def on_since(lab: Lab, node: Node) -> float:
    """When the machine was powered on, in UTC seconds; 0 when it is off."""
    pid = init(lab, node)
    if pid is None:
        return 0.0
    try:
        # The 22nd field, counted after the name, which may contain any character; in ticks since
        # boot.
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (up_s - ticks / os.sysconf("SC_CLK_TCK"))


def enter(
    lab: Lab,
    node: Node,
    argv: Sequence[str],
    *,
    log: Path,
    stdin: str | None = None,
    within_s: float = 60,
    check: bool = True,
) -> str:
    """Run a command inside a machine, and return its output; LabError when it is off.

    The command has no more rights over the shared kernel than the machine's own processes.
    """
    pid = init(lab, node)
    if pid is None:
        raise LabError(f"{node.name} is off", remedy=f"cutover lab power-on {node.name}")
    into = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
    less = ["setpriv", f"--bounding-set={','.join(f'-{name}' for name in DROPPED)}", "--"]
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return run(
        [*into, "--", "env", "-i", path, "HOME=/root", *less, *argv],
        log=log,
        stdin=stdin,
        within_s=within_s,
        check=check,
    ).stdout


def booted(lab: Lab, node: Node, log: Path) -> None:
    """Wait until systemd in the machine has started its units.

    Docker is excluded: while the machines boot side by side, it waits for the other managers.
    """

    def look() -> bool:
        if init(lab, node) is None:
            raise LabError(f"{node.name} went down while booting", remedy=f"see {node.console}")
        asked = "systemctl is-system-running; systemctl list-jobs --plain --no-legend"
        told = enter(lab, node, ["sh", "-c", asked], log=log, check=False).split("\n", 1)
        starting = re.findall(r"(\S+) +start +running", told[-1])
        return told[0] in ("running", "degraded") or starting == ["docker.service"]

    until(
        look,
        within_s=90,
        every_s=LOOK_EVERY_S,
        what=f"{node.name} has booted",
        remedy=f"see {node.console}",
    )


def forget(lab: Lab) -> None:
    """Remove the files that systemd-nspawn leaves in /run when the machines are off."""
    for node in lab.nodes:
        with contextlib.suppress(OSError):
            Path(f"/run/systemd/nspawn/propagate/{node.name}").rmdir()


def power_off(lab: Lab, node: Node) -> None:
    """Power loss: SIGKILL to the machine's PID 1; returns when all its processes are gone."""
    pid = init(lab, node)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    until(
        lambda: not cgroups.pids(group(lab, node)),
        within_s=30,
        every_s=0.1,
        what=f"every process of {node.name} has ended",
    )
