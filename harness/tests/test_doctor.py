"""``./cutover doctor``: whatever keeps a cluster out of reach is a line with a remedy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import paramiko
import pytest
import typer
from typer.testing import CliRunner

from harness.commands.doctor import DoctorItem, ItemState, doctor, examine, exit_of
from harness.core.errors import (
    ConfigError,
    Denied,
    HarnessError,
    HostKeyUnknown,
    NotFound,
    ScriptFailed,
    TimedOut,
    Unreachable,
)
from harness.core.model import Exit
from harness.settings import SCENARIOS, Profile, load_profile
from harness.settings.drills import Ledger
from harness.tests.fake_transport import (
    FakeExternalClient,
    FakeFleet,
    FakeKube,
    FakeShell,
    ShellAnswer,
)
from harness.transport import Answer, Completed, Reach
from harness.transport.objects import must

UID = "5f0c0b1e-0000-4000-8000-000000000001"
REVIEWS = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
KUBE_SYSTEM = "/api/v1/namespaces/kube-system"
CEPH = "/apis/ceph.rook.io/v1/namespaces/rook-ceph-external/cephclusters/rook-ceph-external"
ROOK: Mapping[str, Any] = {
    "/api/v1/namespaces/rook-ceph": {},
    "/api/v1/namespaces/rook-ceph-external": {},
    CEPH: {},
}


def _profile(**changes: Any) -> Profile:
    contabo = load_profile("contabo")
    image = "python@sha256:" + "a" * 64
    images = {"probe_image": image, "etcd_tools_image": "etcd@sha256:" + "c" * 64}
    kubernetes = contabo.kubernetes.model_copy(update=images)
    ledger = Ledger(database_image="postgres@sha256:" + "b" * 64)
    update = {"uid": UID, "kubernetes": kubernetes, "ledger": ledger, **changes}
    return contabo.model_copy(update=update)


def _said(stdout: str, status: int = 0) -> Completed:
    return Completed(status=status, stdout=stdout, stderr="", took_s=0.02)


def _now(*_: object) -> Completed:
    return _said(f"{time.time():.9f}\n")


def _shell(**answers: ShellAnswer) -> FakeShell:
    """Answers for every machine, by command; ``m3_`` before it answers for the third alone."""
    fine: dict[str, ShellAnswer] = {
        "true": _said(""),
        "python3": _said("3.11.2\n"),
        "sh": _said(""),
        "date": _now,
        "nice": _said(json.dumps({it: {"value": f"/x/{it}"} for it in ("etcd", "etcdutl")})),
    }
    table = {("*", command): answer for command, answer in fine.items()}
    for command, answer in answers.items():
        machine, _, word = command.rpartition("_")
        table["vmi2887103" if machine else "*", word] = answer
    return FakeShell(table)


def _kube(
    *,
    objects: Mapping[str, Any] | None = None,
    may: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    status: int = 200,
) -> FakeKube:
    def review(manifest: Mapping[str, Any]) -> Any:
        return {"status": {"allowed": may(manifest["spec"])}}

    answer = Answer(status=status, body="{}", certificate="")
    return FakeKube(
        {KUBE_SYSTEM: {"metadata": {"uid": UID}}, REVIEWS: review, **ROOK, **(objects or {})},
        asked={f"https://10.0.0.{number}:6443/version": answer for number in (1, 2, 3)},
    )


def _examine(
    shell: FakeShell | None = None, kube: FakeKube | None = None, **changes: Any
) -> list[DoctorItem]:
    profile = _profile(**changes)
    return examine(
        Reach(
            profile=profile,
            shell=shell or _shell(),
            kube=kube or _kube(),
            fleet=FakeFleet(),
            outside=FakeExternalClient(),
        )
    )


def _bad(lines: Sequence[DoctorItem]) -> list[DoctorItem]:
    return [line for line in lines if line.state is not ItemState.OK]


def test_a_cluster_in_order_is_fine_on_every_line() -> None:
    lines = _examine()
    assert _bad(lines) == []
    assert exit_of(lines) is Exit.GO
    whats = [line.what for line in lines if line.where == "vmi2887102"]
    assert whats == ["log in", "python3", "tools", "clock", "etcd's tools", "its API server"]


@pytest.mark.parametrize(
    ("error", "state", "status"),
    [
        (Unreachable("no route", remedy="plug it in"), ItemState.UNREACHABLE, Exit.NOT_PROVEN),
        (TimedOut("silence", remedy="plug it in"), ItemState.UNREACHABLE, Exit.NOT_PROVEN),
        (ScriptFailed("status 1", remedy="plug it in"), ItemState.UNREACHABLE, Exit.NOT_PROVEN),
        (Denied("key refused", remedy="plug it in"), ItemState.WRONG, Exit.NO_GO),
        (HostKeyUnknown("another key", remedy="plug it in"), ItemState.WRONG, Exit.NO_GO),
    ],
)
def test_a_machine_that_cannot_be_logged_in_to_has_one_line(
    error: Any, state: ItemState, status: Exit
) -> None:
    lines = _examine(_shell(m3_true=error))
    (line,) = _bad(lines)
    assert (line.where, line.what, line.state) == ("vmi2887103", "log in", state)
    assert line.remedy == "plug it in"
    assert "What to do" not in line.says
    assert exit_of(lines) is status


def _late(*_: object) -> Completed:
    return _said(f"{time.time() - 90:.9f}\n")


@pytest.mark.parametrize(
    ("answers", "what", "says"),
    [
        ({"m3_python3": _said("", status=127)}, "python3", "exit status 127"),
        ({"m3_python3": _said("3.6.9\n")}, "python3", "3.6.9"),
        ({"m3_sh": _said("nft\nchronyc\n")}, "tools", "chronyc (W1-HOST: the clock's sources)"),
        ({"m3_date": _late}, "clock", "-90"),
        ({"m3_date": _said("date: what?\n")}, "clock", "date gave no time"),
    ],
)
def test_what_is_wrong_on_a_machine_is_named(
    answers: dict[str, ShellAnswer], what: str, says: str
) -> None:
    lines = _examine(_shell(**answers))
    (line,) = _bad(lines)
    assert (line.where, line.what, line.state) == ("vmi2887103", what, ItemState.WRONG)
    assert says in line.says
    assert exit_of(lines) is Exit.NO_GO


def test_a_server_without_etcdutl_is_told_before_the_gate() -> None:
    found = {"etcd": {"value": "/x/etcd"}, "etcdutl": {"error": "there is no etcdutl here"}}
    (line,) = _bad(_examine(_shell(m3_nice=_said(json.dumps(found)))))
    assert (line.where, line.what, line.state) == ("vmi2887103", "etcd's tools", ItemState.WRONG)
    assert "no etcdutl" in line.says
    assert "etcd_tools_image" in line.remedy


def test_an_api_server_that_refuses_us() -> None:
    bad = _bad(_examine(kube=_kube(status=401)))
    assert {line.what for line in bad} == {"its API server"}
    assert all("answers 401" in line.says and line.remedy for line in bad)


def test_an_api_that_cannot_be_used_has_one_line() -> None:
    refused = ConfigError("cannot use the kubeconfig", remedy="fetch it")
    lines = _examine(kube=_kube(objects={KUBE_SYSTEM: refused}))
    (line,) = _bad(lines)
    assert (line.what, line.state, line.remedy) == ("the API", ItemState.CONFIGURATION, "fetch it")
    assert exit_of(lines) is Exit.USAGE


def test_another_cluster_than_the_one_that_was_meant() -> None:
    other = {KUBE_SYSTEM: {"metadata": {"uid": "another"}}}
    (line,) = _bad(_examine(kube=_kube(objects=other)))
    assert (line.what, line.state) == ("identity", ItemState.WRONG)
    assert f"expected {UID}, seen another" in line.says


def test_a_profile_without_a_uid_is_told_which_one_this_is() -> None:
    (line,) = _bad(_examine(uid=None))
    assert (line.what, line.state) == ("identity", ItemState.CONFIGURATION)
    assert f"uid: {UID}" in line.remedy


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/v1/namespaces/rook-ceph", "there is no namespace rook-ceph"),
        (CEPH, "there is no CephCluster rook-ceph-external in rook-ceph-external"),
    ],
)
def test_a_rook_that_is_not_where_the_profile_says(path: str, says: str) -> None:
    (line,) = _bad(_examine(kube=_kube(objects={path: NotFound("404")})))
    assert (line.what, line.state, line.says) == ("Rook", ItemState.CONFIGURATION, says)
    assert "kubectl get cephclusters -A" in line.remedy


def test_a_profile_without_rook_is_not_asked_about_it() -> None:
    stack = _profile().stack.model_copy(update={"rook": None})
    assert "Rook" not in {line.what for line in _examine(stack=stack)}


def test_missing_permissions_are_listed() -> None:
    def may(spec: Mapping[str, Any]) -> bool:
        asked = spec.get("resourceAttributes", {})
        return not (asked.get("subresource") == "exec" and asked["verb"] == "create")

    (line,) = _bad(_examine(kube=_kube(may=may)))
    assert (line.what, line.state) == ("permissions", ItemState.WRONG)
    assert line.says == "not allowed: create pods/exec"


def test_asking_for_permissions_changes_nothing() -> None:
    kube = _kube()
    _examine(kube=kube)
    changed = {verb for verb, _ in kube.calls} - {"GET", "ASK", "EXISTS"}
    assert changed == {"POST"}
    posted = {must(what, "kind") for verb, what in kube.calls if verb == "POST"}
    assert posted == {"SelfSubjectAccessReview"}


def test_the_configuration_decides_before_what_may_follow_from_it() -> None:
    lines = [
        DoctorItem(where="m", what="w", state=state, says="", remedy="")
        for state in (ItemState.UNREACHABLE, ItemState.WRONG, ItemState.CONFIGURATION)
    ]
    assert exit_of(lines[:1]) is Exit.NOT_PROVEN
    assert exit_of(lines[:2]) is Exit.NO_GO
    assert exit_of(lines) is Exit.USAGE


# --- the command itself, on a profile whose machines are ports of this one that nobody serves ---


def _run(tmp_path: Path, *, key: bool, options: Sequence[str] = ()) -> Any:
    text = (SCENARIOS / "clusters/contabo.yaml").read_text()
    text = text.replace("10.0.0.", "127.0.0.").replace("~/", f"{tmp_path}/")
    text = text.replace("    user: root\n", "    user: root\n    port: 1\n")
    (tmp_path / "here.yaml").write_text(text)
    (tmp_path / ".ssh").mkdir()
    if key:
        made = paramiko.ECDSAKey.generate()
        made.write_private_key_file(str(tmp_path / ".ssh/cutover_ed25519"))
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, ["--cluster", str(tmp_path / "here.yaml"), *options])


def test_the_contabo_profile_as_delivered_fails_cleanly(tmp_path: Path) -> None:
    result = _run(tmp_path, key=False)
    assert result.exit_code == Exit.USAGE
    assert not isinstance(result.exception, HarnessError)
    for words in (
        "probe image",
        "database image",
        "etcd's tools",
        "cannot use the SSH key",
        "cannot use the kubeconfig",
    ):
        assert words in result.output
    assert result.output.count("what to do: ") == 7
    assert "7 of 7 need attention" in result.output


def test_machines_that_are_down_are_told_in_json(tmp_path: Path) -> None:
    result = _run(tmp_path, key=True, options=["--json"])
    document = json.loads(result.output)
    assert (document["schema"], document["cluster"]) == (1, "contabo")
    assert document["exit"] == result.exit_code == Exit.USAGE
    states = {
        line["where"]: line["state"] for line in document["lines"] if line["what"] == "log in"
    }
    assert states == dict.fromkeys(("vmi2887101", "vmi2887102", "vmi2887103"), "unreachable")
    assert all(line["remedy"] for line in document["lines"])


def test_what_drills_need_is_asked_for_only_where_they_may_be_carried_out() -> None:
    def may(spec: Mapping[str, Any]) -> bool:
        asked: Mapping[str, Any] = spec.get("resourceAttributes", {})
        return asked.get("resource") != "serviceaccounts" or asked.get("verb") != "get"

    assert _bad(_examine(kube=_kube(may=may))) == []
    (line,) = _bad(_examine(kube=_kube(may=may), allow_disruption=True))
    assert line.says == "not allowed: get serviceaccounts"
