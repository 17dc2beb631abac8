"""A red run collects evidence from every machine and from the cluster, without any secret."""

from __future__ import annotations

import re
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
import zstandard

from harness import checks
from harness.core.waiting import until
from harness.gate import RunState
from harness.lab.shape import Lab, Node
from harness.record.journal import JournalReader
from harness.record.redaction import TOKEN
from harness.settings import ROOT
from harness.tests.lab import objects
from harness.tests.lab.world import Ruling, World


@pytest.fixture(scope="module")
def canaries() -> dict[str, str]:
    """One secret for each way in which a secret can reach a report."""
    ways = ("password", "bearer", "url", "environment", "log", "object")
    return {way: f"canary{secrets.token_hex(10)}" for way in ways}


@pytest.fixture(scope="module")
def planted(
    lab: Lab, canaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A lab with secrets in journals, in a pod and in a Secret, and a failed unit."""
    world = World(lab, tmp_path_factory.mktemp("evidence"))
    world.still_whole()
    key = world.lab.ssh_key.read_text().splitlines()[2]
    kubeconfig = yaml.safe_load(world.lab.profile.access.kubeconfig.read_text())
    lines = (
        f"the login of odoo failed: password={canaries['password']}",
        f"> Authorization: Bearer {canaries['bearer']}",
        f"no connection to postgres://odoo:{canaries['url']}@10.0.0.1/shop",
        f"somebody pasted {key} and {ceph_key(world)}",
        f"and then {kubeconfig['users'][0]['user']['client-key-data'][:20000]}",
    )
    for node in world.lab.nodes:
        for line in lines:
            world.do(node, "logger", "--size=32KiB", "--priority=user.warning", "--", line)
    world.do(world.one, "systemd-run", "--unit=broken", "--wait", "false", check=False)
    with objects.namespace(world, "test-canaries") as space:
        talker = objects.pod("talker", world.two.name, "sh", "-c", 'echo "$WORDS"; exit 1')
        talker["spec"]["restartPolicy"] = "Never"
        talker["spec"]["containers"][0]["env"] = [
            {"name": "PGPASSWORD", "value": canaries["environment"]},
            {"name": "WORDS", "value": f"token: {canaries['log']}"},
        ]
        secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "shop"}}
        space.apply(talker, {**secret, "stringData": {"a": canaries["object"]}})
        until(
            lambda: space.get("pod", "talker")["status"].get("phase") == "Failed",
            within_s=60,
            what="the pod has said its words and failed",
        )
        try:
            yield world
        finally:
            world.do(world.one, "systemctl", "reset-failed", "broken")
    world.whole()


@pytest.fixture(scope="module")
def red(planted: World) -> Ruling:
    """A gate's verdict on it, with evidence."""
    return planted.gate("W1-HOST", evidence=True)


def ceph_key(world: World) -> str:
    keyring = (world.one.root / "etc/ceph/ceph.client.admin.keyring").read_text()
    return keyring.partition("key = ")[2].split()[0]


def test_no_file_of_a_red_run_holds_a_secret_and_equal_ones_are_still_equal(
    planted: World, red: Ruling, canaries: dict[str, str]
) -> None:
    assert "broken.service" in red.reason("W1-HOST")
    folder = ROOT / "reports" / red.document["run"]
    key = planted.lab.ssh_key.read_text().splitlines()[2]
    client = yaml.safe_load(planted.lab.profile.access.kubeconfig.read_text())["users"][0]["user"]
    forbidden = {**canaries, "SSH key": key, "Ceph key": ceph_key(planted)}
    forbidden["kubeconfig"] = client["client-key-data"]
    for name, content in contents(folder):
        found = [way for way, secret in forbidden.items() if secret.encode() in content]
        assert not found, f"{name} holds {found}"

    run_state = RunState.of(JournalReader(folder), checks.CHECKS)
    assert sum(run_state.redacted["places"].values()) > 3 * len(planted.lab.nodes)
    tokens = {journal_token(run_state, folder, node) for node in planted.lab.nodes}
    assert len(tokens) == 1, tokens


def journal_token(run_state: RunState, folder: Path, node: Node) -> str:
    """The token for the password in a machine's journal."""
    pieces = {(piece.target, piece.what): piece for piece in run_state.collected}
    piece = pieces[node.name, "journal, warnings and worse"]
    assert piece.file is not None, piece.error
    text = (folder / piece.file).read_text()
    found = re.findall(rf"of odoo failed: password=({TOKEN.pattern})", text)
    assert found, text[-2000:]
    return str(found[-1])


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a run, and every file in its bundle."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes()
    with (
        (folder / "bundle.tar.zst").open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for member in archive:
            held = archive.extractfile(member)
            if held is not None:
                yield f"{member.name} in the bundle", held.read()


def test_every_machine_and_the_cluster_give_evidence(planted: World, red: Ruling) -> None:
    run_state = RunState.of(JournalReader(ROOT / "reports" / red.document["run"]), checks.CHECKS)
    had = {(it.target, it.what) for it in run_state.collected if it.file and not it.error}
    of_machines = ("journal of the node's units", "failed units", "clock", "Ceph's status")
    wanted = {(node.name, what) for node in planted.lab.nodes for what in of_machines}
    of_cluster = ("pods", "events", "nodes", "log of test-canaries/talker, main")
    wanted |= {("the cluster", what) for what in of_cluster}
    assert wanted <= had, {(it.target, it.what, it.error) for it in run_state.collected if it.error}
