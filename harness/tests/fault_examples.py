"""One example of every fault, and what a whole cluster answers to those who look at it.

A fault that is new in ``FAULTS`` needs its example here: the contract test says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.faults.fault import Fault
from harness.faults.power_off import PowerOff
from harness.faults.reboot import Reboot
from harness.faults.stop_etcd import StopEtcd
from harness.faults.stop_rke2 import StopRke2
from harness.faults.stop_static_pod import StopStaticPod
from harness.settings import Profile
from harness.tests.stage import PROFILE
from harness.transport import Completed, Reach
from harness.transport.fake import FakeFleet, FakeKube, FakeOutside, FakeShell, ShellAnswer

ID = "f00d"

EXAMPLES: tuple[Fault, ...] = (
    PowerOff(id=ID, machine="one"),
    Reboot(id=ID, machine="one", boot="b1"),
    StopEtcd(id=ID, machine="one"),
    StopRke2(id=ID, machine="one"),
    StopStaticPod(id=ID, machine="one", part="kube-apiserver"),
)

_READY = {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"bootID": "b1"}}
_POD = {"metadata": {"uid": "u1"}, "status": {**_READY, "podIP": "10.42.0.9"}}

OBJECTS: Mapping[str, Any] = {
    "/api/v1/nodes/one": {"metadata": {"name": "one"}, "spec": {}, "status": _READY},
    "/api/v1/namespaces/kube-system/pods/etcd-one": _POD,
    "/api/v1/namespaces/kube-system/pods/kube-apiserver-one": _POD,
}
ANSWERS: Mapping[tuple[str, str], ShellAnswer] = {
    ("*", "ping"): Completed(status=0, stdout="1 received", stderr=""),
}


def whole_cluster() -> Reach:
    """A cluster that is well, of two machines, as a fault's observers see it."""
    power = {"cut": ["off", "{machine}"], "restore": ["on", "{machine}"]}
    return Reach(
        profile=Profile.model_validate({**PROFILE, "power": power}),
        shell=FakeShell(ANSWERS),
        kube=FakeKube(json.loads(json.dumps(OBJECTS)), read_only=True),
        fleet=FakeFleet(("one", "two")),
        outside=FakeOutside(),
    )
