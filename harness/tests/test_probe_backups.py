"""The probe of the claims that hold backups, and of what lies in the shared one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.probes import backups
from harness.probes.scripts import layout_script
from harness.settings import Backups
from harness.tests.mutilated import mutilate
from harness.tests.probe_rig import PROFILE, observe, reach
from harness.tests.test_probe_pods import Cluster
from harness.transport import Completed


def claim(name: str, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "odoo", "name": name, "labels": more.get("labels", {})},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "500Gi"}},
        },
        "status": more.get("status", {"phase": "Bound", "capacity": {"storage": "500Gi"}}),
    }


# The claim of the recorded cluster.
ODOO = PROFILE.model_copy(
    update={"backups": Backups(claim="odoo-backups-storage", namespace="odoo")}
)
LAYOUT = {"top": [{"name": "active", "kind": "folder"}], "active": []}


class Claims(Cluster):
    """A cluster with these claims, in which our pod lists the layout, or ``fails``."""

    def __init__(self, *claims: Mapping[str, Any], fails: str = "", sick: bool = False) -> None:
        super().__init__({})
        self.claims, self.fails, self.sick_pods = claims, fails, sick

    def get(self, path: str, *, within_s: float = 10.0) -> Any:
        if path == "/api/v1/persistentvolumeclaims":
            return {"items": list(self.claims)}
        if "labelSelector" in path:
            created = {"creationTimestamp": "2026-01-01T00:00:00Z"}
            names = ("cutover-probe-backups-old", "somebody-elses")
            return {"items": [{"metadata": {"name": name, **created}} for name in names]}
        if self.sick_pods:
            self.sick = [m["metadata"]["name"] for m in self.manifests]
        return super().get(path, within_s=within_s)

    def exec(self, *_: Any, **__: Any) -> Completed:
        if self.fails:
            return Completed(status=1, stdout="", stderr=f"Traceback\n{self.fails}")
        return Completed(status=0, stdout=json.dumps(LAYOUT), stderr="")


OURS = claim("odoo-backups-storage")


def test_claims_that_speak_of_backups_are_found_and_the_shared_one_is_looked_into() -> None:
    labelled = claim("acme-data", labels={"role": "Backup"})
    cluster = Claims(OURS, claim("acme-backup", status={}), labelled, claim("acme-filestore"))
    seen = observe("backup-claims", reach(kube=cluster, like=ODOO), "contabo")
    assert {it["name"]: it["why"] for it in seen["claims"]} == {
        "odoo-backups-storage": "odoo-backups-storage",
        "acme-backup": "acme-backup",
        "acme-data": "role=Backup",
    }
    assert [(it["phase"], it["bytes"]) for it in seen["claims"]][:2] == [
        ("Bound", 500 << 30),
        ("Pending", 500 << 30),
    ]
    assert seen["layout"] == {"value": LAYOUT}
    (made,) = cluster.manifests
    spec = made["spec"]
    (volume,), (container,) = spec["volumes"], spec["containers"]
    assert volume["persistentVolumeClaim"]["readOnly"] is True
    assert container["volumeMounts"][0]["readOnly"] is True
    assert (spec["securityContext"]["runAsUser"], "nodeName" in spec) == (65534, False)
    where = "/api/v1/namespaces/odoo/pods"
    assert cluster.deleted() == [
        f"{where}/cutover-probe-backups-old",
        f"{where}/{made['metadata']['name']}",
    ]


def test_a_claim_that_is_being_deleted_is_not_bound() -> None:
    # As the API shows one that was deleted while a pod of the platform still has it mounted.
    going = claim("odoo-backups-storage")
    going["metadata"] |= {
        "deletionTimestamp": "2026-11-30T08:12:44Z",
        "deletionGracePeriodSeconds": 0,
        "finalizers": ["kubernetes.io/pvc-protection"],
    }
    seen = observe("backup-claims", reach(kube=Claims(going), like=ODOO), "contabo")
    assert seen["claims"][0]["phase"] == "Terminating"
    assert seen["layout"] == {"error": "the claim is Terminating: it cannot be looked into"}


def _recorded_claims() -> list[dict[str, Any]]:
    path = Path(__file__).with_name("recorded") / "claims-velero-labels.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["items"])


def test_a_label_of_velero_makes_no_claim_one_for_backups() -> None:
    seen = observe("backup-claims", reach(kube=Claims(*_recorded_claims()), like=ODOO), "contabo")
    assert [it["name"] for it in seen["claims"]] == ["odoo-backups-storage"]


@pytest.mark.parametrize(
    ("labels", "tells"),
    [
        ({"role": "backup"}, True),
        ({"backup-of": "acme"}, True),
        ({"app.kubernetes.io/component": "backups"}, True),
        ({"saasodoo.io/type": "Backup"}, True),
        ({"backup": "true"}, False),
        ({"velero.io/schedule-name": "daily-backup"}, False),
        ({"backup.velero.io/backup-volumes": "data"}, False),
        ({"recurring-job-group.longhorn.io/backup-daily": "enabled"}, False),
        ({"velero.io/exclude-from-backup": "true", "role": "backup"}, True),
    ],
    ids=str,
)
def test_a_label_tells_what_a_claim_holds_and_not_what_is_done_with_it(
    labels: dict[str, str], tells: bool
) -> None:
    cluster = Claims(OURS, claim("acme-data", labels=labels))
    seen = observe("backup-claims", reach(kube=cluster, like=ODOO), "contabo")
    assert ("acme-data" in [it["name"] for it in seen["claims"]]) is tells


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_an_odd_claim_costs_itself_alone(data: st.DataObject) -> None:
    others = [claim("acme-backup"), claim("acme-data")]
    cluster = Claims(*mutilate([json.loads(json.dumps(it)) for it in others], data), OURS)
    seen = observe("backup-claims", reach(kube=cluster, like=ODOO), "contabo")
    names = [it["name"] for it in seen["claims"]]
    assert "odoo-backups-storage" in names
    assert seen["layout"] == {"value": LAYOUT}
    assert set(names) <= {"odoo-backups-storage", "acme-backup", "acme-data"}
    assert {name.rpartition("/")[2] for name in seen["odd"]} <= {"acme-backup", "acme-data"}


def test_a_claim_that_cannot_be_looked_into_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "_READY_WITHIN_S", 0.0)
    for cluster, why in (
        (Claims(claim("odoo-backups-storage", status={"phase": "Lost"})), "the claim is Lost"),
        (Claims(OURS, fails="PermissionError: denied"), "listing it as user 65534: "),
        (Claims(OURS, sick=True), "was not ready within 0 s: "),
    ):
        seen = observe("backup-claims", reach(kube=cluster, like=ODOO), "contabo")
        assert why in seen["layout"]["error"]
    assert observe("backup-claims", reach(kube=Claims(), like=ODOO), "contabo")["layout"] is None


def test_a_layout_is_listed_with_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "active/acme").mkdir(parents=True)
    (tmp_path / "dump").touch()
    (tmp_path / "link").symlink_to("active")
    layout_script.main([str(tmp_path)])
    assert json.loads(capsys.readouterr().out) == {
        "top": [
            {"name": "active", "kind": "folder"},
            {"name": "dump", "kind": "file"},
            {"name": "link", "kind": "other"},
        ],
        "active": [{"name": "acme", "kind": "folder"}],
    }
