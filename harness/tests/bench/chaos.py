"""Faults beside a peer's, on the running lab: ``python -m harness.tests.bench.chaos PYTHON``.

PYTHON is that of an environment with chaostoolkit and chaostoolkit-kubernetes. In one run on the
same three pods and the same node, both kill a pod and drain a machine in turn. Prints as JSON, for
each, the seconds from the call to the effect (the pod's UID is gone, the node is cordoned and
empty of the pods) and from there, or from the call that heals, until all is as before. Starting
an interpreter and loading clients is not counted. It is no test: a loaded machine would fail it
for no reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

from harness.core.waiting import until
from harness.faults.fault import Fault
from harness.faults.fault_lifecycle import FaultLifecycle
from harness.faults.kinds.kubernetes import Drain
from harness.faults.kinds.pods import KillPods
from harness.probes import pods
from harness.settings import load_profile
from harness.transport import Reach, connect

_SPACE = "cutover-bench"
_LABEL = "app=bench"
_ROUNDS = 3
_WITHIN_S = 180.0
# The peer: it loads its clients, says so, and makes its call when it is told to.
_PEER = """
import sys
from chaosk8s.pod.actions import terminate_pods
from chaosk8s.node.actions import drain_nodes, uncordon_node
calls = {
    "kill": lambda: terminate_pods(label_selector="app=bench", ns="cutover-bench", rand=True,
                                   grace_period=0),
    "drain": lambda: drain_nodes(name=sys.argv[1], delete_pods_with_local_storage=True),
    "uncordon": lambda: uncordon_node(name=sys.argv[1]),
}
print("ready", flush=True)
for line in sys.stdin:
    calls[line.strip()]()
    print("done", flush=True)
"""


def deployment() -> dict[str, Any]:
    """Three pods that only wait, one a machine."""
    labels = {"app": "bench"}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    container = {"name": "main", "image": "lab/workload:1", "command": ["sleep", "infinity"]}
    pod = {
        "terminationGracePeriodSeconds": 1,
        "topologySpreadConstraints": [spread],
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bench", "namespace": _SPACE},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def listed(reach: Reach) -> dict[str, Any]:
    """The pods by UID."""
    found: Any = reach.kube.get(f"/api/v1/namespaces/{_SPACE}/pods?labelSelector=app%3Dbench")
    return {it["metadata"]["uid"]: it for it in found["items"]}


def all_ready(reach: Reach) -> bool:
    alive = [it for it in listed(reach).values() if "deletionTimestamp" not in it["metadata"]]
    return len(alive) == 3 and all(pods.is_ready(it["status"]) for it in alive)


def drained(reach: Reach, machine: str) -> bool:
    node: Any = reach.kube.get(f"/api/v1/nodes/{machine}")
    here = [it for it in listed(reach).values() if it["spec"].get("nodeName") == machine]
    return bool(node["spec"].get("unschedulable")) and not here


def timed(call: Callable[[], object], effect: Callable[[], bool]) -> float:
    """Seconds from the call, made beside us, until its effect is there."""
    thread = threading.Thread(target=call)
    began = time.monotonic()
    thread.start()
    until(effect, within_s=_WITHIN_S, what="the effect", every_s=0.02)
    took_s = time.monotonic() - began
    thread.join()
    return round(took_s, 2)


def wait(condition: Callable[[], bool]) -> float:
    """Seconds until the condition holds."""
    return timed(lambda: None, condition)


def kill(reach: Reach, call: Callable[[], object]) -> dict[str, float]:
    before = set(listed(reach))
    seen = timed(call, lambda: bool(before - set(listed(reach))))
    return {"effect_s": seen, "healed_s": wait(lambda: all_ready(reach))}


def drain(
    reach: Reach, machine: str, call: Callable[[], object], heal: Callable[[], object]
) -> dict[str, float]:
    seen = timed(call, lambda: drained(reach, machine))

    def schedulable() -> bool:
        node: Any = reach.kube.get(f"/api/v1/nodes/{machine}")
        return not node["spec"].get("unschedulable")

    healed = timed(heal, schedulable)
    until(lambda: all_ready(reach), within_s=_WITHIN_S, what="the pods ready")
    return {"effect_s": seen, "healed_s": healed}


def ours(reach: Reach, fault: Fault) -> FaultLifecycle:
    """A life that is armed: arming is part of the call, and is counted by the caller."""
    return FaultLifecycle(fault.resolved(reach, Random(1)), reach, lambda _event: None)


def _begin(lifecycle: FaultLifecycle) -> None:
    lifecycle.arm()
    lifecycle.inject()


def measure(reach: Reach, peer: Callable[[str], None], machine: str) -> dict[str, Any]:
    found: dict[str, Any] = {"ours": [], "peer": []}
    for number in range(_ROUNDS):
        name = f"be0c{number}"
        pod = KillPods(id=f"{name}a", machine=machine, namespace=_SPACE, selector=_LABEL)
        node = Drain(id=f"{name}b", machine=machine)
        killing, draining = ours(reach, pod), ours(reach, node)
        found["ours"].append(
            {
                "kill": kill(reach, partial(_begin, killing)),
                "drain": drain(reach, machine, partial(_begin, draining), draining.heal),
            }
        )
        killing.heal()
        found["peer"].append(
            {
                "kill": kill(reach, lambda: peer("kill")),
                "drain": drain(reach, machine, lambda: peer("drain"), lambda: peer("uncordon")),
            }
        )
    return found


@contextmanager
def peer_of(python: str, kubeconfig: str, machine: str) -> Iterator[Callable[[str], None]]:
    """The peer, its clients loaded; it makes a call when told its name."""
    process = subprocess.Popen(
        [python, "-c", _PEER, machine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"KUBECONFIG": kubeconfig, "PATH": "/usr/bin:/bin"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout
    stdout.readline()

    def call(name: str) -> None:
        stdin.write(f"{name}\n")
        stdin.flush()
        assert stdout.readline() == "done\n", f"the peer could not {name}"

    try:
        yield call
    finally:
        stdin.close()
        process.wait(timeout=60)


def main(python: str) -> None:
    profile = load_profile("lab")
    machine = profile.machines[-1].name
    with (
        connect(profile) as reach,
        peer_of(python, str(profile.access.kubeconfig), machine) as peer,
    ):
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _SPACE}}
        reach.kube.apply(space)
        try:
            reach.kube.apply(deployment())
            until(lambda: all_ready(reach), within_s=_WITHIN_S, what="the pods ready")
            found = measure(reach, peer, machine)
        finally:
            reach.kube.delete(f"/api/v1/namespaces/{_SPACE}")
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
