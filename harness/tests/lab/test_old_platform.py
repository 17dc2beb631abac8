"""A customer's way through the old platform, whose instance-service asks Docker for instances."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from harness.facts.journeys import Walk
from harness.facts.schema import Known, dump, read
from harness.journeys.walk import walk
from harness.lab.swarm import docker, manager
from harness.settings import load_profile
from harness.settings.files import SCENARIOS, read_yaml
from harness.tests.lab.forked import forked
from harness.tests.lab.world import World
from harness.transport import connect

FRONT = {"addresses": ["10.0.0.2"], "port": 8080, "scheme": "http", "ingress_class": "traefik"}
SHARE = {"machine": "vmi2887102", "path": "/mnt/cephfs/odoo_instances"}
KEPT = {"machine": "vmi2887102", "path": "/mnt/cephfs/odoo_backups/active", "kept": True}
SERVER = {
    "machine": "vmi2887102",
    "address": "127.0.0.1",
    "password_file": "${state}/labs/lab/access/postgres-password",
}
LEFTOVERS = {
    "namespaces": ["saasodoo"],
    "names": ["*odoo-c{number}-{instance:8}*"],
    "folders": [
        {**SHARE, "names": "odoo_data_c{number}_{instance:8}"},
        {**KEPT, "names": "{customer}*"},
    ],
    "databases": [{"server": SERVER, "names": "odoo_c{number}_{instance:8}"}],
}
BACKUPS_GONE = {
    "machine": KEPT["machine"],
    "command": ["find", KEPT["path"], "-name", "{customer}*", "-delete"],
}


def of_the_old_platform(world: World) -> str:
    """The lab's profile with its journey sent to Swarm's front; its path."""
    told: dict[str, Any] = read_yaml(SCENARIOS / "clusters/lab.yaml")
    del told["lab"]
    way = read_yaml(SCENARIOS / "journeys/lab.yaml")["instance"]
    # A backup has what the later steps need of Docker: a stop, a start, and the customer's folder.
    before = [it["does"] for it in way["steps"]].index("back up") + 1
    way["steps"] = [*way["steps"][:before], way["steps"][-1]]
    # Kubernetes shows nothing of what Docker makes.
    for step in way["steps"]:
        step.pop("makes", None)
    way["removes"][-1] = BACKUPS_GONE
    told["ingress"], told["journeys"] = FRONT, {"leftovers": LEFTOVERS, "instance": way}
    path = world.scratch / "old.yaml"
    path.write_text(yaml.safe_dump(told))
    return str(path)


def go(arguments: Sequence[str]) -> None:
    """Walk the journey of a profile, in its own process, which stays in the lab's network."""
    with connect(load_profile(arguments[0])) as reach:
        walked = walk(reach, "instance", str, str, lambda: None, str)
        sys.stdout.write(json.dumps(dump(walked)))


@pytest.mark.slow
def test_docker_makes_backs_up_and_deletes_an_instance_without_leftovers(world: World) -> None:
    done = forked(go, [of_the_old_platform(world)], 300)
    assert done.returncode == 0, done.stderr
    walked = read(Walk, json.loads(done.stdout))
    assert walked.stopped is None, walked.stopped
    assert [it.does for it in walked.steps][-1] == "delete"
    assert (walked.leftovers, walked.left) == (Known(()), Known(()))
    services = docker(
        world.lab, manager(world.lab), "service", "ls", "--format={{.Name}}", log=world.log
    )
    assert f"odoo-c{walked.customer.partition('-')[2]}" not in services
