"""Seeded defects of weeks 7 and 9: a pod without room, and an image that is lost with Swarm."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from harness.tests.lab.asking import ask
from harness.tests.lab.world import World

FITS = "the pods of a lost machine fit on the others"
IMAGES = "no image comes from a registry of the Swarm"
REGISTRY = "registry.lab.example:8080"
BIG = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "big"},
    "spec": {
        "selector": {"matchLabels": {"app": "big"}},
        "template": {
            "metadata": {"labels": {"app": "big"}},
            "spec": {
                "containers": [
                    {
                        "name": "big",
                        "image": f"{REGISTRY}/none:1",
                        "resources": {"requests": {"memory": "900Gi"}},
                    }
                ]
            },
        },
    },
}


@pytest.fixture
def big(world: World) -> Iterator[None]:
    """A pod that no machine has room for, so it never starts."""
    path = world.scratch / "big.json"
    path.write_text(json.dumps(BIG))
    world.kubectl("apply", f"--filename={path}")
    world.kubectl("wait", "deployment/big", "--for=jsonpath={.status.replicas}=1", "--timeout=50s")
    try:
        yield
    finally:
        world.kubectl("delete", "deployment", "big", "--cascade=foreground")


def test_a_lab_as_it_is_has_room_and_no_image_of_the_swarm(world: World) -> None:
    world.whole()
    found = ask(world.lab.name, "scheduling", FITS, IMAGES)
    assert {outcome for outcome, _ in found.values()} == {"pass"}, found


@pytest.mark.defect(
    "the pods of a lost machine fit on the others", "no image comes from a registry of the Swarm"
)
@pytest.mark.usefixtures("big")
def test_a_pod_without_room_and_an_image_of_the_swarm_are_found(world: World) -> None:
    found = ask(world.lab.name, "scheduling", FITS, IMAGES)
    assert {outcome for outcome, _ in found.values()} == {"fail"}, found
    assert "no room for default/big-" in found[FITS][1]
    words = f"expected no image of a registry in the Swarm, seen {REGISTRY}/none:1"
    assert words in found[IMAGES][1]
