"""Faults of a machine's clock and kernel, and of the API: when they are refused, and when seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from harness.core.errors import InjectFailed, TransportError
from harness.faults.commands import perform
from harness.faults.kinds.machine import Booting, HardReset, PowerOff, Reboot, SkewClock
from harness.faults.kinds.slow_api import SlowApi
from harness.faults.model import API, Act
from harness.tests.fake_transport import FakeKube, FakeShell
from harness.tests.fault_examples import ASKED, ID, has_ended, pod, whole_cluster
from harness.tests.stage import reach
from harness.transport import Answer, Completed, Reach

IN_CONTAINER = {
    ("*", "systemd-detect-virt"): Completed(status=0, stdout="systemd-nspawn\n", stderr="")
}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEVELS = f"cutover-{ID}"
SLOW = SlowApi(id=ID, machine="one", namespace="shop", account="default")


def skew(seconds: int = 300, **more: Any) -> SkewClock:
    return SkewClock(id=ID, machine="one", seconds=seconds, **more)


def leases(one: str, two: str) -> Reach:
    times = {"one": one, "two": two}
    items = [{"metadata": {"name": it}, "spec": {"renewTime": at}} for it, at in times.items()]
    return whole_cluster({LEASES: {"items": items}})


def test_what_would_reach_the_hosts_kernel_is_refused_in_a_container() -> None:
    inside = whole_cluster(answers=IN_CONTAINER)
    clock = skew(service="chrony").refuse(inside)
    reset = HardReset(id=ID, machine="one").refuse(inside)
    assert clock == "one is a container (systemd-nspawn): its clock is the host's"
    assert reset == "one is a container (systemd-nspawn): a reset would hit the host's kernel"


BEFORE, AFTER = "2026-11-26T23:58:01Z", "2026-11-27T00:02:40Z"


def said_to_run(*started: str) -> Mapping[str, Any]:
    """The pods of a machine, as the API has them; an empty text is one that does not run."""
    states: list[dict[str, Any]] = [
        {"running": {"startedAt": it}} if it else {"waiting": {}} for it in started
    ]
    pods = [
        {**pod("web-1"), "status": {"containerStatuses": [{"name": "main", "state": state}]}}
        for state in states
    ]
    return {"/api/v1/pods?fieldSelector=spec.nodeName%3Done": {"items": pods}}


@pytest.mark.parametrize("kind", [PowerOff, Reboot])
def test_what_the_api_remembers_of_pods_is_no_sign_that_a_machine_is_back(
    kind: type[Booting],
) -> None:
    """A machine that is back before Kubernetes misses it was Ready all the time."""
    planned = kind(id=ID, machine="one").resolved(whole_cluster(said_to_run(BEFORE)), Random(1))
    fault = planned.model_copy(update={"boot": "b0"}) if kind is Reboot else planned
    assert not fault.healed(whole_cluster(said_to_run(BEFORE)))
    assert not fault.healed(whole_cluster(said_to_run(AFTER, BEFORE)))
    assert fault.healed(whole_cluster(said_to_run(AFTER, "", AFTER)))


def test_a_clock_that_went_back_over_the_boot_does_not_hide_that_a_machine_is_back() -> None:
    fault = PowerOff(id=ID, machine="one").resolved(whole_cluster(said_to_run(AFTER)), Random(1))
    assert not fault.healed(whole_cluster(said_to_run(AFTER, BEFORE)))
    assert fault.healed(whole_cluster(said_to_run(BEFORE)))


def test_the_service_that_keeps_the_time_is_found() -> None:
    def active(argv: Sequence[str], _: str) -> Completed:
        return Completed(status=0 if argv[-1] == "systemd-timesyncd" else 4, stdout="", stderr="")

    there = whole_cluster(answers={("*", "systemctl"): active})
    found = skew().resolved(there, Random(1))
    assert found.service == "systemd-timesyncd"
    _, commands = found.undo(there)
    assert len(list(commands)) == 1  # it steps by itself


def test_a_clock_that_nothing_would_set_right_again_is_not_touched() -> None:
    nothing = Completed(status=3, stdout="inactive", stderr="")
    alone = whole_cluster(answers={("*", "systemctl"): nothing})
    assert "no known time service" in (skew().resolved(alone, Random(1)).refuse(alone) or "")


def test_a_skew_that_nobody_would_see_is_refused() -> None:
    whole = whole_cluster()
    assert "could not be observed" in (skew(30, service="chrony").refuse(whole) or "")
    assert skew(-60, service="chrony").refuse(whole) is None


@pytest.mark.parametrize(
    ("one", "active", "healed"),
    [
        ("2026-11-24T12:05:01.000000Z", True, False),
        ("2026-11-24T11:55:02.000000Z", True, False),
        ("2026-11-24T12:00:08.000000Z", False, True),
        ("2026-11-24T12:01:00.000000Z", False, False),
    ],
)
def test_a_wrong_clock_is_seen_by_the_signs_of_life_that_it_dates(
    one: str, active: bool, healed: bool
) -> None:
    cluster = leases(one, "2026-11-24T12:00:00.000000Z")
    assert skew().active(cluster) is active
    assert skew().healed(cluster) is healed


def level(waiting: Mapping[str, int]) -> Reach:
    """API servers at which so many requests of the level wait; the others do not know it."""
    whole = whole_cluster()
    asked = {
        url: replace(answer, body=f"{answer.body}{LEVELS}, {waiting[url[8:16]]}, 3\n")
        if url[8:16] in waiting
        else answer
        for url, answer in ASKED.items()
    }
    return replace(whole, kube=FakeKube(asked=asked))


def test_a_slow_api_is_seen_when_requests_wait_at_every_server() -> None:
    assert SLOW.active(level({"10.0.0.1": 7, "10.0.0.2": 1}))
    assert not SLOW.active(level({"10.0.0.1": 7, "10.0.0.2": 0}))
    assert not SLOW.active(level({"10.0.0.1": 7}))


def test_a_program_that_ended_instead_of_holding_seats_says_why() -> None:
    free = level({"10.0.0.1": 0, "10.0.0.2": 0})
    ended = replace(free, shell=FakeShell(has_ended("ssl.SSLError: certificate has expired")))
    with pytest.raises(InjectFailed, match=r"on one ended early: .*expired"):
        SLOW.active(ended)


def test_it_is_gone_when_no_server_knows_the_level_any_more() -> None:
    assert SLOW.healed(level({}))
    assert not SLOW.healed(level({"10.0.0.2": 0}))


def test_a_server_that_does_not_say_is_no_sign() -> None:
    silent = {url: Answer(status=503, body="", certificate="") for url in ASKED}
    with pytest.raises(TransportError, match="answered with 503"):
        SLOW.healed(replace(whole_cluster(), kube=FakeKube(asked=silent)))


def test_only_the_declared_account_is_put_into_the_level() -> None:
    flow = json.loads(list(SLOW.acts(whole_cluster()))[1].stdin)
    (rule,) = flow["spec"]["rules"]
    account = {"namespace": "shop", "name": "default"}
    assert rule["subjects"] == [{"kind": "ServiceAccount", "serviceAccount": account}]
    assert flow["spec"]["priorityLevelConfiguration"] == {"name": LEVELS}


def test_an_account_that_is_not_there_is_refused() -> None:
    nobody = SlowApi(id=ID, machine="one", namespace="shop", account="nobody")
    assert nobody.refuse(whole_cluster()) == "there is no service account shop/nobody"


def test_the_api_is_only_told_to_create_and_to_delete() -> None:
    kube = FakeKube()
    there = replace(reach(), kube=kube)
    perform(there, Act(place=API, argv=("POST", "/apis/things"), stdin='{"kind": "Thing"}'))
    perform(there, Act(place=API, argv=("DELETE", "/apis/things/one")))
    assert kube.calls == [("POST", {"kind": "Thing"}), ("DELETE", "/apis/things/one")]
    with pytest.raises(InjectFailed, match="may not send PUT /apis/things"):
        perform(there, Act(place=API, argv=("PUT", "/apis/things")))
