"""Faults: ways to break one thing on purpose, each with what takes it back. ``FAULTS`` lists them.

``model`` and ``fault`` say what one is, ``life`` leads it from its arming to the proof that it is
gone, ``keeper`` keeps its undo where it is needed, ``seen`` and ``line`` are how others see a
machine, ``budget`` says what may be broken at all. What some faults share is in ``packets``,
``queues``, ``exhausting`` and ``disk_limits``; every other module is one fault.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.break_dns import BreakDns
from harness.faults.cut_from_peer import CutFromPeer
from harness.faults.cut_off import CutOff
from harness.faults.cut_one_way import CutOneWay
from harness.faults.cut_port import CutPort
from harness.faults.delay_packets import DelayPackets
from harness.faults.exhaust_cpu import ExhaustCpu
from harness.faults.exhaust_memory import ExhaustMemory
from harness.faults.fault import Fault
from harness.faults.fill_disk import FillDisk
from harness.faults.limit_bandwidth import LimitBandwidth
from harness.faults.lose_packets import LosePackets
from harness.faults.power_off import PowerOff
from harness.faults.reboot import Reboot
from harness.faults.slow_disk import SlowDisk
from harness.faults.stop_etcd import StopEtcd
from harness.faults.stop_rke2 import StopRke2
from harness.faults.stop_static_pod import StopStaticPod

FAULTS: Mapping[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        BreakDns,
        CutFromPeer,
        CutOff,
        CutOneWay,
        CutPort,
        DelayPackets,
        ExhaustCpu,
        ExhaustMemory,
        FillDisk,
        LimitBandwidth,
        LosePackets,
        PowerOff,
        Reboot,
        SlowDisk,
        StopEtcd,
        StopRke2,
        StopStaticPod,
    )
}
