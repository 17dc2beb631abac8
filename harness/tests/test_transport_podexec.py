"""Commands in pods as containerd and a pod of several containers answer them."""

from __future__ import annotations

import json

import pytest

from harness.tests.api_server import EXEC, ApiHandler, ApiServer, api, kube, talk
from harness.transport.kube import ApiKube

__all__ = ["api", "kube"]

STARTED = (
    "Internal error occurred: error executing command in container: failed to exec in container: "
    'failed to start exec "9e0b97613a877": OCI runtime exec failed: exec failed: {}: unknown'
)


@pytest.mark.parametrize(
    ("says", "status"),
    [
        (
            'unable to start container process: exec: "python3": executable file not found in '
            "$PATH",
            127,
        ),
        ("executable file `python3` not found in $PATH: No such file or directory", 127),
        (
            'unable to start container process: exec: "/bin/df": stat /bin/df: no such file or '
            "directory",
            127,
        ),
        ('unable to start container process: exec: "/data": permission denied', 126),
    ],
)
def test_a_program_that_containerd_does_not_find_has_the_status_of_a_shells(
    api: ApiServer, kube: ApiKube, says: str, status: int
) -> None:
    failure = {
        "status": "Failure",
        "reason": "InternalError",
        "code": 500,
        "message": STARTED.format(says),
        "details": {"causes": [{"message": STARTED.format(says)}]},
    }
    api.answers[EXEC] = lambda handler: talk(handler, json.dumps(failure).encode())
    done = kube.exec("space", "pod", ("python3", "-"))
    assert done.status == status
    assert says in done.stderr


def test_a_pod_of_several_containers_is_asked_in_its_first_one(
    api: ApiServer, kube: ApiKube
) -> None:
    names = "[set-up postgres exporter]"  # the API names those of the beginning too, and first
    says = f"a container name must be specified for pod pod, choose one of: {names}"

    def choose(handler: ApiHandler) -> None:
        if "container=postgres" in handler.path:
            talk(handler, b'{"status": "Success"}')
        else:
            handler.say(400, {"kind": "Status", "message": says, "reason": "BadRequest"})

    spec = {
        "initContainers": [{"name": "set-up"}],
        "containers": [{"name": "postgres"}, {"name": "exporter"}],
    }
    api.answers[EXEC] = choose
    api.answers["/api/v1/namespaces/space/pods"] = (200, {"items": [{"spec": spec}]})
    done = kube.exec("space", "pod", ("psql",))
    assert (done.status, done.stdout) == (0, "out")
    assert [path.partition("?")[2] for _, path, _, _ in api.asked][1] == (
        "fieldSelector=metadata.name%3Dpod"
    )
