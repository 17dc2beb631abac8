"""Calls from the pods of services: the program in a pod, what the probe makes of it, the checks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.checks import CHECKS
from harness.core.model import Outcome, Verdict
from harness.probes import service_calls
from harness.probes.scripts import calls_script
from harness.settings.services import Services
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.fake_transport import FakeKube
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.tests.test_parity import answer, serving
from harness.transport import Completed
from harness.transport.remote_script import PYTHON

THROUGH, READS = (
    "each service reaches what it calls from its own pods",
    "each service reads its database",
)
DECLARED: dict[str, Any] = {
    "namespace": "saasodoo",
    "names": {"user-service": {"port": 8001}, "postgres": {"port": 5432}},
    "callers": {
        "user-service": {
            "selector": "app=user-service",
            "calls": ["postgres"],
            "reads": {"path": "/users/1", "has": {"/id": 1}, "says": "mail"},
        }
    },
}


def declared(**caller: Any) -> Services:
    callers = {"user-service": DECLARED["callers"]["user-service"] | caller}
    return Services.model_validate(DECLARED | {"callers": callers})


def look(done: Completed | Callable[..., Completed], *, is_ready: bool = True) -> Any:
    """What the probe sees of a pod in which every command answers like this."""
    conditions = [{"type": "Ready", "status": str(is_ready)}]
    pod = {
        "metadata": {"name": "user-service-1"},
        "status": {"podIP": "10.42.0.9", "conditions": conditions},
    }
    path = "/api/v1/namespaces/saasodoo/pods?labelSelector=app%3Duser-service"
    words = ("python3", "sh")
    kube = FakeKube(
        {path: {"items": [pod]}}, in_pods={("user-service-1", it): done for it in words}
    )
    profile = PROFILE.model_copy(update={"services": declared()})
    return observe("service-calls", reach(kube=kube, like=profile), "contabo")["user-service"]


def judged(check: str, change: Callable[[Any], object] = lambda _: None) -> Verdict:
    there = clean()
    change(there["service-calls"][CLUSTER.name])
    return CHECKS[check](case(there))


# --- in a pod ---


def test_the_program_connects_reads_and_says_what_did_not_work() -> None:
    with serving(answer({"id": 1})) as port, socket.create_server(("127.0.0.1", 0)) as silent:
        shut = silent.getsockname()[1]
        silent.close()
        calls = [
            {"host": "127.0.0.1", "port": port, "path": None},
            {"host": "127.0.0.1", "port": port, "path": "/users/1"},
            {"host": "127.0.0.1", "port": shut, "path": None},
            {"host": "no-such-service.invalid", "port": 80, "path": None},
        ]
        ran = subprocess.run(
            [*PYTHON, json.dumps(calls)],
            input=Path(calls_script.__file__).read_text(encoding="utf-8"),
            capture_output=True,
            text=True,
            check=True,
        )
    connected, read, refused, unknown = json.loads(ran.stdout)
    assert (connected["error"], connected["status"]) == (None, None)
    assert (read["status"], json.loads(read["body"])) == (200, {"id": 1})
    assert "refused" in refused["error"]
    assert "its name is not known" in unknown["error"]


def test_a_name_that_is_known_only_sometimes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True, True, True, False])

    def ask(*_: object, **__: object) -> list[object]:
        if next(answers):
            return []
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    found = calls_script.call("postgres", 5432, None)
    says = "its name is not known each time, after 3 answers: Name or service not known"
    assert found["error"] == says


def test_a_pod_without_python_asks_for_a_name_as_often(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    nc = tmp_path / "nc"
    nc.write_text(f"""#!/bin/sh
echo "$*" >>{asked}
test "$(wc -l <{asked})" != "$FAILS_AT"
""")
    nc.chmod(0o755)

    def run(fails_at: int) -> tuple[int, int]:
        asked.unlink(missing_ok=True)
        known = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAILS_AT": str(fails_at)}
        command = ["sh", "-c", service_calls._CONNECT, "sh", "postgres", "5432"]
        status = subprocess.run(command, env=known, check=False).returncode
        return status, len(asked.read_text().splitlines())

    assert run(fails_at=0) == (0, calls_script.ASKED)
    assert run(fails_at=4) == (1, 4)


# --- the probe ---


def test_a_pod_makes_the_calls_and_only_declared_fields_are_kept() -> None:
    results = [
        {"error": None, "status": None, "body": "", "took_ms": 1.0},
        {"error": None, "status": 200, "body": '{"id": 1, "mail": "m", "x": 2}', "took_ms": 2.0},
    ]
    seen = look(Completed(status=0, stdout=json.dumps(results) + "\n", stderr=""))["value"]
    assert seen["calls"] == {"postgres:5432": {"value": {"error": None, "took_ms": 1.0}}}
    assert seen["read"]["value"]["fields"] == {"/id": "1"}
    assert seen["read"]["value"]["says"] is True


@pytest.mark.parametrize(
    ("status", "error"), [(0, None), (1, "no connection (status 1)"), (124, "no connection")]
)
def test_a_pod_without_python_connects_with_what_it_has_and_reads_nothing(
    status: int, error: str | None
) -> None:
    def run(argv: Any, _: str) -> Completed:
        return Completed(status=127 if argv[0] == "python3" else status, stdout="", stderr="")

    seen = look(run)["value"]
    (call,) = seen["calls"].values()
    assert (call["value"]["error"] or "").startswith(error or "")
    assert "python3 did not run" in seen["read"]["error"]


def test_a_pod_that_can_run_nothing_and_one_that_is_not_ready_prove_nothing() -> None:
    seen = look(Completed(status=127, stdout="", stderr=""))["value"]
    (call,) = seen["calls"].values()
    assert "neither python3 nor nc nor bash" in call["error"]
    nothing = look(Completed(status=0, stdout="", stderr=""), is_ready=False)
    assert "no pod of saasodoo with app=user-service is ready" in nothing["error"]


# --- the checks ---


@pytest.mark.parametrize("check", [THROUGH, READS])
def test_services_that_find_each_other_pass(check: str) -> None:
    assert judged(check).outcome is Outcome.PASS


def call(**known: Any) -> Callable[[Any], Any]:
    return lambda it: it["user-service"]["value"]["calls"]["postgres:5432"]["value"].update(known)


def read(**known: Any) -> Callable[[Any], Any]:
    return lambda it: it["user-service"]["value"]["read"]["value"].update(known)


@pytest.mark.parametrize(
    ("check", "change", "says"),
    [
        (
            THROUGH,
            call(error="its name is not known"),
            "user-service → postgres:5432: expected a connection from user-service-1, seen its",
        ),
        (READS, read(error="timed out"), "user-service /users/1: expected an answer, seen timed"),
        (READS, read(status=503), "expected status 200, seen 503"),
        (READS, read(says=False), "expected “mail” in the answer, seen {"),
        (READS, read(fields={"/id": '"1"'}), 'expected /id 1, seen "1"'),
        (READS, read(fields={}), "expected /id 1, seen nothing"),
    ],
)
def test_a_call_that_does_not_get_through_fails_and_says_where(
    check: str, change: Callable[[Any], object], says: str
) -> None:
    verdict = judged(check, change)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (THROUGH, lambda it: it.pop("traefik")),
        (THROUGH, lambda it: it.update({"user-service": {"error": "no pod is ready"}})),
        (THROUGH, lambda it: it["user-service"]["value"].update(calls={})),
        (READS, lambda it: it["user-service"]["value"].update(read={"error": "no python3"})),
        (READS, lambda it: it["user-service"]["value"].update(read=None)),
    ],
)
def test_a_call_that_was_not_made_is_not_proven(
    check: str, change: Callable[[Any], object]
) -> None:
    assert judged(check, change).outcome is Outcome.NOT_PROVEN


def test_a_name_that_no_declared_caller_calls_is_not_proven() -> None:
    cluster = replace(CLUSTER, service_calls={"traefik": ("user-service:8001",)})
    verdict = CHECKS[THROUGH](replace(case(clean()), cluster=cluster))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "postgres:5432: no caller is declared that calls it" in verdict.reason


@pytest.mark.parametrize(
    ("caller", "says"),
    [
        ({"calls": ["redis"]}, "callers use what is not in `names:`: redis"),
        ({"reads": {"path": "/health"}}, "what of the answer the database gives"),
    ],
)
def test_a_caller_that_says_too_little_is_a_mistake(caller: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        declared(**caller)
