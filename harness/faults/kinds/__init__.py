"""The faults, one small module each; ``FAULTS`` lists them.

Shared parts are in ``booting``, ``packets``, ``queues``, ``exhausting`` and
``disk_limits``.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.fault import Fault
from harness.faults.kinds.break_dns import BreakDns
from harness.faults.kinds.cut_from_peer import CutFromPeer
from harness.faults.kinds.cut_off import CutOff
from harness.faults.kinds.cut_one_way import CutOneWay
from harness.faults.kinds.cut_port import CutPort
from harness.faults.kinds.delay_packets import DelayPackets
from harness.faults.kinds.drain import Drain
from harness.faults.kinds.exhaust_cpu import ExhaustCpu
from harness.faults.kinds.exhaust_memory import ExhaustMemory
from harness.faults.kinds.fail_mds import FailMds
from harness.faults.kinds.fill_disk import FillDisk
from harness.faults.kinds.hard_reset import HardReset
from harness.faults.kinds.kill_container import KillContainer
from harness.faults.kinds.kill_ingress import KillIngress
from harness.faults.kinds.kill_pods import KillPods
from harness.faults.kinds.kill_speaker import KillSpeaker
from harness.faults.kinds.limit_bandwidth import LimitBandwidth
from harness.faults.kinds.lose_packets import LosePackets
from harness.faults.kinds.osd_out import OsdOut
from harness.faults.kinds.power_off import PowerOff
from harness.faults.kinds.reboot import Reboot
from harness.faults.kinds.skew_clock import SkewClock
from harness.faults.kinds.slow_api import SlowApi
from harness.faults.kinds.slow_disk import SlowDisk
from harness.faults.kinds.stop_containerd import StopContainerd
from harness.faults.kinds.stop_etcd import StopEtcd
from harness.faults.kinds.stop_monitor import StopMonitor
from harness.faults.kinds.stop_osd import StopOsd
from harness.faults.kinds.stop_rke2 import StopRke2
from harness.faults.kinds.stop_static_pod import StopStaticPod

_ALL: tuple[type[Fault], ...] = (
    BreakDns,
    CutFromPeer,
    CutOff,
    CutOneWay,
    CutPort,
    DelayPackets,
    Drain,
    ExhaustCpu,
    ExhaustMemory,
    FailMds,
    FillDisk,
    HardReset,
    KillContainer,
    KillIngress,
    KillPods,
    KillSpeaker,
    LimitBandwidth,
    LosePackets,
    OsdOut,
    PowerOff,
    Reboot,
    SkewClock,
    SlowApi,
    SlowDisk,
    StopContainerd,
    StopEtcd,
    StopMonitor,
    StopOsd,
    StopRke2,
    StopStaticPod,
)
FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _ALL}
