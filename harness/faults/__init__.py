"""Faults: ways to break one thing on purpose, each with what takes it back. ``FAULTS`` lists them.

``model`` and ``fault`` say what one is, ``life`` leads it from its arming to the proof that it is
gone, ``keeper`` keeps its undo where it is needed, ``seen`` is how others see a machine, ``budget``
says what may be broken at all, and every other module is one fault.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.fault import Fault
from harness.faults.power_off import PowerOff
from harness.faults.reboot import Reboot
from harness.faults.stop_etcd import StopEtcd
from harness.faults.stop_rke2 import StopRke2
from harness.faults.stop_static_pod import StopStaticPod

FAULTS: Mapping[str, type[Fault]] = {
    fault.name: fault for fault in (PowerOff, Reboot, StopEtcd, StopRke2, StopStaticPod)
}
