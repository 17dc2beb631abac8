"""Room for pods when a machine is lost, and images that end with the Swarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.probes.scheduling import requested
from harness.tests.clean_case import Seen, case, clean
from harness.tests.clean_cluster import CLUSTER, NAMES

GIB = 1 << 30
FITS = "the pods of a lost machine fit on the others"
IMAGES = "no image comes from a registry of the Swarm"
ONE, TWO, THREE = NAMES


def judged(check: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    seen: Seen = clean()
    change(seen["scheduling"][CLUSTER.name])
    return CHECKS[check](case(seen))


def pod(name: str, at: str, gib: float, **more: Any) -> dict[str, Any]:
    like = clean()["scheduling"][CLUSTER.name]["pods"][0]
    return {**like, "name": f"odoo/{name}", "node": at, "bytes": int(gib * GIB), **more}


def pods(*those: dict[str, Any]) -> Callable[[Any], object]:
    return lambda it: it.update(pods=list(those))


def test_what_fits_in_any_order_passes() -> None:
    assert judged(FITS).outcome is Outcome.PASS
    assert judged(IMAGES).outcome is Outcome.PASS
    assert CHECKS[FITS](case({})).outcome is Outcome.NOT_PROVEN
    assert CHECKS[IMAGES](case({})).outcome is Outcome.NOT_PROVEN


def test_a_big_pod_does_not_fit_though_the_sum_would() -> None:
    verdict = judged(FITS, pods(pod("big", ONE, 6), pod("a", TWO, 4), pod("b", THREE, 4)))
    assert verdict.outcome is Outcome.FAIL
    assert f"{ONE}: expected its pods to fit" in verdict.reason
    assert "no room for odoo/big (6.00 GiB); 8.0 GiB are free on the others" in verdict.reason
    assert verdict.measured == {"unplaced_count": 1}


def test_pods_that_fit_only_when_they_are_packed_well_are_not_proven_to() -> None:
    there = [pod("small", ONE, 2), pod("small2", ONE, 2), pod("big", ONE, 4)]
    verdict = judged(FITS, pods(*there, pod("x", TWO, 4), pod("y", THREE, 4)))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "odoo/big (4.00 GiB) may find no room: it depends on the order" in verdict.reason


@pytest.mark.parametrize(
    "bound",
    [
        {"owner": "DaemonSet"},
        {"owner": "Node"},
        {"owner": ""},
        {"selector": {"name": ONE}},
        {
            "affinities": [
                {
                    "nodeSelectorTerms": [
                        {
                            "matchFields": [
                                {"key": "metadata.name", "operator": "In", "values": [ONE]}
                            ]
                        }
                    ]
                }
            ]
        },
    ],
)
def test_a_pod_that_stays_with_its_machine_needs_no_room_elsewhere(bound: dict[str, Any]) -> None:
    rest = pod("a", TWO, 4), pod("b", THREE, 4)
    assert judged(FITS, pods(pod("big", ONE, 6, **bound), *rest)).outcome is Outcome.PASS


def test_a_machine_that_takes_no_pods_or_is_tainted_has_no_room() -> None:
    def cordoned(it: Any) -> None:
        it["nodes"][TWO]["takes_pods"] = False
        pods(pod("a", ONE, 4), pod("b", THREE, 5))(it)

    def tainted(it: Any) -> None:
        it["nodes"][TWO]["taints"] = [{"key": "cp", "effect": "NoSchedule"}]
        pods(pod("a", ONE, 4), pod("b", THREE, 5))(it)

    def tolerated(it: Any) -> None:
        tainted(it)
        for one in it["pods"]:
            one["tolerations"] = [{"operator": "Exists"}]

    assert judged(FITS, cordoned).outcome is Outcome.FAIL
    assert judged(FITS, tainted).outcome is Outcome.FAIL
    assert judged(FITS, tolerated).outcome is Outcome.PASS


@given(st.lists(st.integers(1, 5), max_size=4), st.integers(0, 7), st.integers(0, 7))
def test_a_pass_fits_in_truth_and_what_does_not_fit_never_passes(
    sizes: Sequence[int], second: int, third: int
) -> None:
    there = [pod(f"p{n}", ONE, size) for n, size in enumerate(sizes)]
    rest = [
        pod("a", TWO, second, owner="DaemonSet"),
        pod("b", THREE, third, owner="DaemonSet"),
    ]

    def only_one_is_full(it: Any) -> None:
        it["nodes"][ONE]["bytes"] = 100 * GIB
        pods(*there, *rest)(it)

    room = (8 - second, 8 - third)
    truth = any(
        all(
            sum(size for size, at in zip(sizes, ways, strict=True) if at == side) <= room[side]
            for side in (0, 1)
        )
        for ways in product((0, 1), repeat=len(sizes))
    )
    outcome = judged(FITS, only_one_is_full).outcome
    if outcome is Outcome.PASS:
        assert truth
    if not truth:
        assert outcome is Outcome.FAIL


def container(memory: str | None, name: str = "c", **more: Any) -> dict[str, Any]:
    resources = {"requests": {"memory": memory}} if memory else {}
    return {"name": name, "resources": resources, **more}


@pytest.mark.parametrize(
    ("spec", "status", "mib"),
    [
        ({"containers": [container("1Mi"), container("2Mi", "d")]}, {}, 3),
        ({"containers": [container(None)]}, {}, 0),
        ({"containers": [container("1Mi")], "initContainers": [container("5Mi", "i")]}, {}, 5),
        (
            {
                "containers": [container("1Mi")],
                "initContainers": [
                    container("2Mi", "s", restartPolicy="Always"),
                    container("5Mi", "i"),
                ],
            },
            {},
            7,
        ),
        ({"containers": [container("1Mi")], "overhead": {"memory": "120Mi"}}, {}, 121),
        (
            {"containers": [container("1Mi")], "resources": {"requests": {"memory": "9Mi"}}},
            {},
            9,
        ),
        (
            {"containers": [container("1Mi")]},
            {"containerStatuses": [{"name": "c", "allocatedResources": {"memory": "4Mi"}}]},
            4,
        ),
        ({"containers": [container("1048576")]}, {}, 1),
        ({"containers": [container("1048576000m")]}, {}, 1),
    ],
)
def test_a_pod_requests_what_the_scheduler_reckons(
    spec: dict[str, Any], status: dict[str, Any], mib: int
) -> None:
    assert requested(spec, status) == mib * (1 << 20)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("registry.saasodoo.example/odoo:latest", True),
        ("registry.saasodoo.example:443/odoo@sha256:00", True),
        ("docker.io/registry.saasodoo.example/odoo", False),
        ("registry.saasodoo.example.org/odoo", False),
        ("odoo:18", False),
        ("library/odoo", False),
    ],
)
def test_an_image_of_the_registry_in_the_swarm_is_named(image: str, found: bool) -> None:
    verdict = judged(IMAGES, pods(pod("web", ONE, 1, images=[image])))
    assert (verdict.outcome is Outcome.FAIL) == found
    assert (
        f"odoo/web: expected no image of a registry in the Swarm, seen {image}" in verdict.reason
    ) == found


def test_without_a_declared_registry_nothing_is_proven() -> None:
    seen = case(clean())
    bare = replace(seen, cluster=replace(seen.cluster, swarm_registries=()))
    assert CHECKS[IMAGES](bare).outcome is Outcome.NOT_PROVEN
