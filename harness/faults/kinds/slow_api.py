"""The API answers one service account late: other requests hold all its seats.

Every request to an API server needs a seat of its priority level (API priority and fairness), or
waits in that level's queue. The account gets a level of its own with the least share, and a unit
on a server holds that level's seats with requests of the same account: see ``slow_api_script``.
All other requests keep their seats, except for that least share.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import Field

from harness.core.declared import Machine
from harness.core.errors import TransportError
from harness.faults import commands
from harness.faults.fault import Fault
from harness.faults.kinds import slow_api_script
from harness.faults.model import API, NOTHING, Act, Argv, BlastRadius
from harness.transport import Reach
from harness.transport.remote_script import RemoteScript

_SCRIPT = RemoteScript(slow_api_script)
_GROUP = "flowcontrol.apiserver.k8s.io"
_LEVELS = f"/apis/{_GROUP}/v1/prioritylevelconfigurations"
_FLOWS = f"/apis/{_GROUP}/v1/flowschemas"
KEPT = (_FLOWS, _LEVELS)
_DUMP = "/debug/api_priority_and_fairness/dump_priority_levels"
# Requests that hold or await a seat at each API server: more than the seats of the least share.
_WIDTH = 10
_QUEUE = 100
# Before every flow schema of Kubernetes itself, so that this one matches any account.
_PRECEDENCE = 50
_START = 'cat > "$1" && shift && exec "$@"'


class SlowApi(Fault):
    """Delay the requests of one service account; all other requests are not delayed.

    ``hold_s`` is how long each seat is held. A request waits until the ten requests before it have
    had a seat: with the default least share of three seats, about three times as long. The API
    refuses (429) a request that would wait longer than a quarter of its own time limit.
    """

    name: ClassVar[str] = "slow-api"
    blast_radius: ClassVar[frozenset[BlastRadius]] = NOTHING

    namespace: str
    account: str
    hold_s: float = Field(default=0.5, ge=0.1, le=4)

    @property
    def target(self) -> str:
        return f"{self.namespace}/{self.account}"

    def refuse(self, reach: Reach) -> str | None:
        if not reach.profile.cluster().machine(self.machine).is_server:
            return f"{self.machine} is no server: it has no kubectl with admin rights"
        there = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{self.account}"
        if not reach.kube.exists(there):
            return f"there is no service account {self.target}"
        return None

    def acts(self, reach: Reach) -> Iterable[Act]:
        yield Act(place=API, argv=("POST", _LEVELS), stdin=json.dumps(self._level))
        yield Act(place=API, argv=("POST", _FLOWS), stdin=json.dumps(self._flow))
        user = f"system:serviceaccount:{self.namespace}:{self.account}"
        urls = ",".join(_url(reach, server) for server in reach.profile.cluster().servers)
        hold = (f"{self.hold_s:g}", str(_WIDTH), user, urls, *commands.kubectl(reach))
        run = commands.in_unit(self.id, "python3", "-I", "-S", self._program, *hold)
        argv = ("sh", "-c", _START, "start", self._program, *run)
        yield Act(place=self.machine, argv=argv, stdin=_SCRIPT.text)

    def undo(self, reach: Reach) -> tuple[str, Iterable[Argv]]:
        gone = ("delete", "--ignore-not-found", "--wait=false")
        return self.machine, [
            commands.stop_unit(self.id),
            ("rm", "-f", self._program),
            commands.kubectl(reach, *gone, f"flowschemas.{_GROUP}", self._called),
            commands.kubectl(reach, *gone, f"prioritylevelconfigurations.{_GROUP}", self._called),
        ]

    def active(self, reach: Reach) -> bool:
        """Every API server says that requests of this level wait for a seat."""
        if all(
            int(self._at(reach, server).get("WaitingRequests", 0)) > 0
            for server in reach.profile.cluster().servers
        ):
            return True
        commands.must_go_on(reach, self.machine, self.id)
        return False

    def healed(self, reach: Reach) -> bool:
        if any(reach.kube.exists(f"{path}/{self._called}") for path in KEPT):
            return False
        return not any(self._at(reach, server) for server in reach.profile.cluster().servers)

    def _at(self, reach: Reach, server: Machine) -> Mapping[str, str]:
        """One API server's state of the priority level; empty when it has no such level."""
        answer = reach.kube.ask(f"{_url(reach, server)}{_DUMP}")
        if answer.status != 200:
            raise TransportError(f"{server.name}: GET {_DUMP} was answered with {answer.status}")
        rows = csv.DictReader(answer.body.splitlines(), skipinitialspace=True)
        return next((row for row in rows if row["PriorityLevelName"] == self._called), {})

    @property
    def _called(self) -> str:
        return f"cutover-{self.id}"

    @property
    def _program(self) -> str:
        return f"/run/cutover-{self.id}.py"

    @property
    def _level(self) -> Mapping[str, object]:
        limited = {
            "nominalConcurrencyShares": 1,
            "lendablePercent": 0,
            "borrowingLimitPercent": 0,
            "limitResponse": {
                "type": "Queue",
                "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": _QUEUE},
            },
        }
        return self._object("PriorityLevelConfiguration", {"type": "Limited", "limited": limited})

    @property
    def _flow(self) -> Mapping[str, object]:
        account = {"namespace": self.namespace, "name": self.account}
        everything = {
            "verbs": ["*"],
            "apiGroups": ["*"],
            "resources": ["*"],
            "clusterScope": True,
            "namespaces": ["*"],
        }
        rule = {
            "subjects": [{"kind": "ServiceAccount", "serviceAccount": account}],
            "resourceRules": [everything],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
        return self._object(
            "FlowSchema",
            {
                "priorityLevelConfiguration": {"name": self._called},
                "matchingPrecedence": _PRECEDENCE,
                "rules": [rule],
            },
        )

    def _object(self, kind: str, spec: Mapping[str, object]) -> Mapping[str, object]:
        return {
            "apiVersion": f"{_GROUP}/v1",
            "kind": kind,
            "metadata": {"name": self._called},
            "spec": spec,
        }


def _url(reach: Reach, server: Machine) -> str:
    return f"https://{server.address}:{reach.profile.kubernetes.api_port}"
