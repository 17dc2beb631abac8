"""Faults: ways to break one thing on purpose, each with what takes it back. ``FAULTS`` lists them.

``model`` and ``fault`` say what one is, ``life`` leads it from its arming to the proof that it is
gone, ``keeper`` keeps its undo where it is needed, ``seen`` and ``line`` are how others see a
machine, ``budget`` and ``replicas`` say what may be broken, ``permit`` and ``lease`` by whom. What
some faults share is in ``packets``, ``queues``, ``exhausting``, ``disk_limits``, ``tools`` and
``ceph_daemon``; every other module is one fault.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.break_dns import BreakDns
from harness.faults.cut_from_peer import CutFromPeer
from harness.faults.cut_off import CutOff
from harness.faults.cut_one_way import CutOneWay
from harness.faults.cut_port import CutPort
from harness.faults.delay_packets import DelayPackets
from harness.faults.drain import Drain
from harness.faults.exhaust_cpu import ExhaustCpu
from harness.faults.exhaust_memory import ExhaustMemory
from harness.faults.fail_mds import FailMds
from harness.faults.fault import Fault
from harness.faults.fill_disk import FillDisk
from harness.faults.hard_reset import HardReset
from harness.faults.kill_container import KillContainer
from harness.faults.kill_ingress import KillIngress
from harness.faults.kill_pods import KillPods
from harness.faults.kill_speaker import KillSpeaker
from harness.faults.limit_bandwidth import LimitBandwidth
from harness.faults.lose_packets import LosePackets
from harness.faults.osd_out import OsdOut
from harness.faults.power_off import PowerOff
from harness.faults.reboot import Reboot
from harness.faults.skew_clock import SkewClock
from harness.faults.slow_api import SlowApi
from harness.faults.slow_disk import SlowDisk
from harness.faults.stop_containerd import StopContainerd
from harness.faults.stop_etcd import StopEtcd
from harness.faults.stop_monitor import StopMonitor
from harness.faults.stop_osd import StopOsd
from harness.faults.stop_rke2 import StopRke2
from harness.faults.stop_static_pod import StopStaticPod

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
