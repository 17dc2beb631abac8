"""Ceph on the lab's machines: three monitors, managers and OSDs, CephFS.

An OSD has /dev/sda2, or a file if that partition is for a Ceph of Rook's.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.core.waiting import until
from harness.lab.host import until_well
from harness.lab.machines import FSID, enter, init
from harness.lab.shape import Lab, Node

# An OSD's block device where Rook's has the partition; sparse.
FILE = "/var/lib/ceph/osd.img"
# Runs on the first machine only; its results are copied to the others.
KEYS = """
set -e
mkdir -p /etc/ceph
cd /etc/ceph
ceph-authtool --create-keyring mon.keyring --gen-key -n mon. --cap mon 'allow *'
ceph-authtool --create-keyring ceph.client.admin.keyring --gen-key -n client.admin \
    --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *'
ceph-authtool mon.keyring --import-keyring ceph.client.admin.keyring
monmaptool --create --clobber --fsid "$1" monmap
shift
while [ $# -gt 0 ]; do monmaptool --addv "$1" "[v2:$2:3300,v1:$2:6789]" monmap; shift 2; done
"""
MONITOR = """
set -e
name=$(hostname)
if [ ! -e "/var/lib/ceph/mon/ceph-$name/keyring" ]; then
    mkdir -p "/var/lib/ceph/mon/ceph-$name" /mnt/cephfs
    ceph-mon --mkfs -i "$name" --monmap /etc/ceph/monmap --keyring /etc/ceph/mon.keyring
    chown -R ceph:ceph /var/lib/ceph
fi
systemctl enable --quiet ceph.target ceph-mon.target "ceph-mon@$name"
systemctl start "ceph-mon@$name"
"""
DAEMONS = r"""
set -e
name=$(hostname) id=$1 block=$2
mkdir -p "/var/lib/ceph/mgr/ceph-$name" "/var/lib/ceph/mds/ceph-$name" "/var/lib/ceph/osd/ceph-$id"
ceph auth get-or-create "mgr.$name" mon 'allow profile mgr' osd 'allow *' mds 'allow *' \
    -o "/var/lib/ceph/mgr/ceph-$name/keyring"
ceph auth get-or-create "mds.$name" mon 'profile mds' mgr 'profile mds' mds 'allow *' \
    osd 'allow *' -o "/var/lib/ceph/mds/ceph-$name/keyring"
osd="/var/lib/ceph/osd/ceph-$id"
if [ ! -e "$osd/ready" ]; then
    # The identity is on disk before Ceph hears of it: an interrupted run goes on with the same.
    [ -s "$osd/fsid" ] || cat /proc/sys/kernel/random/uuid > "$osd/fsid"
    uuid=$(cat "$osd/fsid")
    [ -s "$osd/keyring" ] || ceph-authtool -C "$osd/keyring" --name "osd.$id" --gen-key
    key=$(ceph-authtool "$osd/keyring" --name "osd.$id" --print-key)
    printf '{"cephx_secret": "%s"}' "$key" | ceph osd new "$uuid" "$id" -i -
    [ -e "$block" ] || truncate --size 4G "$block"
    ln -sfn "$block" "$osd/block"
    printf 'bluestore\n' > "$osd/type"
    chown -h ceph:ceph "$osd/block"
    chown -R ceph:ceph /var/lib/ceph
    chown ceph:ceph "$block"
    ceph-osd --setuser ceph --setgroup ceph -i "$id" --mkfs --osd-uuid "$uuid"
fi
chown -R ceph:ceph /var/lib/ceph
# Debian compiles no modules of the manager, and the manager may not write here.
python3 -m compileall -q /usr/share/ceph/mgr
systemctl enable --quiet ceph-mgr.target ceph-osd.target ceph-mds.target \
    "ceph-mgr@$name" "ceph-osd@$id" "ceph-mds@$name"
systemctl start "ceph-mgr@$name" "ceph-osd@$id" "ceph-mds@$name"
"""
POOLS = """
set -e
if ! ceph fs ls --format json | grep -q '"name":"cephfs"'; then
    ceph osd pool create cephfs_metadata 8
    ceph osd pool create cephfs_data 32
    ceph fs new cephfs cephfs_metadata cephfs_data
fi
if [ -n "$1" ] && ! ceph osd pool ls | grep -qx "$1"; then
    ceph osd pool create "$1" 8
    rbd pool init "$1"
fi
# Forced: the monitors know the option only once a manager runs.
ceph config set mgr mgr/devicehealth/enable_monitoring false --force
"""


def up(lab: Lab, log: Path) -> None:
    """Bring Ceph up on booted machines, and keep existing parts. Returns when it is whole."""
    first = lab.nodes[0]
    _keys(lab, first, log)
    _everywhere(lab, MONITOR, log)
    until(
        lambda: len(_status(lab, log).get("quorum_names", [])) == len(lab.nodes),
        within_s=60,
        what="every Ceph monitor is in quorum",
        remedy=f"see {log}, and journalctl -u 'ceph-mon@*' on the machines",
    )
    _everywhere(lab, DAEMONS, log)
    images = "" if lab.profile.stack.rook == "cluster" else lab.profile.ceph.image_pool or ""
    enter(lab, first, ["sh", "-c", POOLS, "pools", images], log=log, within_s=90)
    for node in lab.nodes:
        enter(lab, node, ["systemctl", "start", "mnt-cephfs"], log=log)
    whole(lab, log)


def _keys(lab: Lab, first: Node, log: Path) -> None:
    marker = "etc/ceph/monmap"
    if not (first.root / marker).exists():
        members = [word for node in lab.nodes for word in (node.name, node.address)]
        enter(lab, first, ["sh", "-c", KEYS, "keys", str(FSID), *members], log=log)
    for node in lab.nodes[1:]:
        for name in ("mon.keyring", "ceph.client.admin.keyring", "monmap"):
            content = (first.root / "etc/ceph" / name).read_bytes()
            target = node.root / "etc/ceph" / name
            target.touch(mode=0o600)
            target.write_bytes(content)


def _everywhere(lab: Lab, script: str, log: Path) -> None:
    block = FILE if lab.profile.stack.rook == "cluster" else "/dev/sda2"
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        list(
            pool.map(
                lambda node: enter(
                    lab,
                    node,
                    ["sh", "-c", script, "ceph", str(node.index - 1), block],
                    log=log.with_suffix(f".{node.name}.log"),
                    within_s=180,
                ),
                lab.nodes,
            )
        )


def _status(lab: Lab, log: Path) -> dict[str, Any]:
    asked = next((node for node in lab.nodes if init(lab, node) is not None), lab.nodes[0])
    out = enter(
        lab,
        asked,
        # Without a quorum, a connected client waits much longer than this.
        ["timeout", "12", "ceph", "--connect-timeout", "5", "status", "--format", "json"],
        log=log,
        check=False,
    )
    try:
        status: dict[str, Any] = json.loads(out)
    except ValueError:
        return {}
    return status


def trouble(lab: Lab, log: Path) -> str:
    """Reasons why Ceph is not whole; empty when it is."""
    on = [node for node in lab.nodes if init(lab, node) is not None]
    with ThreadPoolExecutor(len(lab.nodes) + 1) as pool:
        status = pool.submit(_status, lab, log)
        mounts = list(pool.map(lambda node: mounted(lab, node, log), on))
    health = status.result().get("health", {})
    if not isinstance(health, dict) or "status" not in health:
        return "the monitors do not answer"
    if health["status"] != "HEALTH_OK":
        return f"{health['status']}: {', '.join(health.get('checks', {}))}"
    lost = [node.name for node, is_mounted in zip(on, mounts, strict=True) if not is_mounted]
    return f"/mnt/cephfs is not mounted on {', '.join(lost)}" if lost else ""


def mounted(lab: Lab, node: Node, log: Path) -> bool:
    """True if CephFS answers on a machine."""
    ask = ["timeout", "5", "stat", "-f", "-c", "%T", "/mnt/cephfs"]
    return "fuse" in enter(lab, node, ask, log=log, check=False)


def whole(lab: Lab, log: Path, within_s: float = 150) -> None:
    """Wait until Ceph says HEALTH_OK and CephFS is mounted on every machine."""

    until_well(lambda: trouble(lab, log), what="Ceph", within_s=within_s, log=log)
