"""Claims of class cephfs: served, shared, limited, grown and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from harness.tests.lab import objects
from harness.tests.lab.objects import Namespace
from harness.tests.lab.world import World
from harness.waiting import until

MIB = 1 << 20


@pytest.fixture
def claims(world: World) -> Iterator[Namespace]:
    with objects.namespace(world, "test-claims") as one:
        yield one


def bound(claims: Namespace, name: str, within_s: float = 60) -> str:
    """The volume that a claim got."""
    until(
        lambda: claims.get("pvc", name)["status"].get("phase") == "Bound",
        within_s=within_s,
        what=f"claim {name} is bound",
    )
    return str(claims.get("pvc", name)["spec"]["volumeName"])


def write(claims: Namespace, pod: str, name: str, mib: int) -> str:
    """What writing a file of that size says."""
    data = f"/data/{name}"
    return claims.run(pod, "dd", "if=/dev/urandom", f"of={data}", "bs=1M", f"count={mib}")


def pods_on_every_machine(claims: Namespace, claim: str) -> list[str]:
    names = [node.name for node in claims.world.lab.nodes]
    claims.apply(*(objects.pod(name, name, claim=claim) for name in names))
    claims.ready(*names)
    return names


def test_every_machine_writes_a_shared_claim_and_reads_what_the_others_wrote(
    claims: Namespace,
) -> None:
    claims.apply(objects.claim("shared", "64Mi"))
    bound(claims, "shared")
    pods = pods_on_every_machine(claims, "shared")
    written = {}
    for pod in pods:
        write(claims, pod, pod, 2)
        written[pod] = claims.run(pod, "sha256sum", f"/data/{pod}")
    for reader, writer in permutations(pods, 2):
        assert claims.run(reader, "sha256sum", f"/data/{writer}") == written[writer]


def test_a_full_claim_gives_edquot_and_one_that_grew_takes_more(claims: Namespace) -> None:
    claims.apply(objects.claim("limited", "32Mi"))
    bound(claims, "limited")
    pod = pods_on_every_machine(claims, "limited")[0]
    assert "quota exceeded" in write(claims, pod, "too-much", 64)
    assert claims.get("pvc", "limited")["status"]["capacity"]["storage"] == "32Mi"
    claims.apply(objects.claim("limited", "128Mi"))
    until(
        lambda: claims.get("pvc", "limited")["status"]["capacity"]["storage"] == "128Mi",
        within_s=30,
        what="the claim has grown",
    )
    assert "quota exceeded" not in write(claims, pod, "enough", 64)
    assert "quota exceeded" in write(claims, pod, "too-much", 128)


def test_a_deleted_claim_takes_its_data_along_unless_it_is_to_be_kept(claims: Namespace) -> None:
    world = claims.world
    claims.apply(objects.claim("going", "16Mi"), objects.claim("staying", "16Mi"))
    going, staying = bound(claims, "going"), bound(claims, "staying")
    keep = '{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}'
    world.kubectl("patch", "pv", staying, f"--patch={keep}")
    folders = {
        name: claims.get("pv", name)["spec"]["hostPath"]["path"] for name in (going, staying)
    }
    claims.kubectl("delete", "pvc", "going", "staying", "--wait=false")
    until(
        lambda: (
            not claims.get("pv", going)
            and claims.get("pv", staying)["status"]["phase"] == "Released"
        ),
        within_s=60,
        what="one volume is gone and the other released",
    )
    world.do(world.two, "test", "!", "-e", folders[going])
    world.do(world.two, "test", "-d", folders[staying])
    world.kubectl("delete", "pv", staying)
    world.do(world.two, "rmdir", folders[staying])


def test_claims_are_served_while_a_machine_is_gone(claims: Namespace) -> None:
    world = claims.world
    world.power_off(world.two)
    try:
        claims.apply(objects.claim("meanwhile", "16Mi"))
        # CephFS's server was there: another takes over, and waits for the lost machine's client.
        bound(claims, "meanwhile", within_s=180)
    finally:
        world.power_on(world.two)
