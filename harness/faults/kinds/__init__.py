"""The faults, grouped by what they break; ``FAULTS`` lists them by name.

``packets`` has the nftables rules that the faults of the network share.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.fault import Fault
from harness.faults.kinds import (
    ceph,
    disk_speed,
    kubernetes,
    machine,
    network,
    pods,
    resources,
    slow_api,
    traffic_control,
    volumes,
)

_ALL: tuple[type[Fault], ...] = (
    ceph.FailMds,
    ceph.OsdOut,
    ceph.StopMonitor,
    ceph.StopOsd,
    disk_speed.SlowDisk,
    kubernetes.Drain,
    kubernetes.StopContainerd,
    kubernetes.StopEtcd,
    kubernetes.StopRke2,
    kubernetes.StopStaticPod,
    machine.HardReset,
    machine.PowerOff,
    machine.Reboot,
    machine.SkewClock,
    network.BreakDns,
    network.CutFromPeer,
    network.CutOff,
    network.CutOneWay,
    network.CutPort,
    network.LosePackets,
    pods.KillContainer,
    pods.KillIngress,
    pods.KillPods,
    pods.KillPrimary,
    pods.KillSpeaker,
    resources.ExhaustCpu,
    resources.ExhaustMemory,
    resources.FillDisk,
    slow_api.SlowApi,
    traffic_control.DelayPackets,
    traffic_control.LimitBandwidth,
    volumes.FillPrimaryVolume,
)
FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _ALL}
