"""Where a member of etcd answers: by RKE2's configuration, by kubeadm's arguments, by neither."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NotProven
from harness.facts.schema import Known, Unknown
from harness.probes import host_facts
from harness.probes.etcd_access import EtcdAccess, configured, etcd_access
from harness.probes.scripts import host_facts_script as script
from harness.tests.fake_transport import FakeShell
from harness.tests.probe_rig import PROFILE, reach
from harness.transport import Completed

RKE2 = (Path(__file__).parent / "recorded/etcd_config_rke2.yaml").read_text(encoding="utf-8")
CONFIG = "/var/lib/rancher/rke2/server/db/etcd/config"
TLS = "/var/lib/rancher/rke2/server/tls/etcd"
RKE2_ACCESS = EtcdAccess(
    gateways=("https://127.0.0.1:2382",),
    metrics=("http://127.0.0.1:2381",),
    client="https://127.0.0.1:2379",
    peer={
        "ca": f"{TLS}/peer-ca.crt",
        "cert": f"{TLS}/peer-server-client.crt",
        "key": f"{TLS}/peer-server-client.key",
    },
)


def pod(*arguments: str, command: Sequence[str] = ("etcd",)) -> str:
    container = {"name": "etcd", "command": list(command), "args": list(arguments)}
    return yaml.safe_dump({"kind": "Pod", "spec": {"containers": [container]}})


KUBEADM = pod(
    command=(
        "etcd",
        "--listen-client-urls=https://10.0.0.1:2379,https://127.0.0.1:2379",
        "--listen-metrics-urls=http://127.0.0.1:2381",
        "--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt",
        "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key",
        "--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
    )
)


def test_rke2_has_a_port_for_http_and_an_authority_for_peers() -> None:
    assert configured({CONFIG: RKE2}) == RKE2_ACCESS


def test_a_static_pod_leads_to_the_file_that_it_names() -> None:
    manifest = pod(f"--config-file={CONFIG}")
    assert configured({"etcd.yaml": manifest, CONFIG: RKE2}) == RKE2_ACCESS


def test_the_older_form_of_rke2_serves_http_at_its_client_port() -> None:
    older = "".join(it for it in RKE2.splitlines(keepends=True) if "client-http" not in it)
    access = replace(RKE2_ACCESS, gateways=("https://127.0.0.1:2379",))
    assert configured({CONFIG: older}) == access


def test_the_arguments_of_kubeadm_win_over_a_file_that_etcd_does_not_read() -> None:
    access = configured({"etcd.yaml": KUBEADM, CONFIG: RKE2})
    assert access.gateways == ("https://127.0.0.1:2379",)
    assert access.peer is not None
    assert access.peer["ca"] == "/etc/kubernetes/pki/etcd/ca.crt"


@pytest.mark.parametrize("text", ["", "# nothing", "kind: Pod", "kind: Pod\nspec: 3"])
def test_what_configures_nothing_leaves_rke2s_own_places(text: str) -> None:
    assert configured({"etcd.yaml": text}) == EtcdAccess()
    assert configured({"etcd.yaml": text, CONFIG: RKE2}) == RKE2_ACCESS


BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
UNREADABLE = {
    "[": "is not valid YAML",
    "a: b: c": "is not valid YAML",
    "- 1": "is no configuration of etcd: expected settings by their names",
    "3": "is no configuration of etcd: expected settings by their names",
    f"{RKE2}\n{RKE2}": "given twice",
    f"a0: &a0 x\n{BOMB}": "its aliases repeat too much",
    "a: &a [*a]": "its aliases repeat too much",
    "[" * 1000: "is not valid YAML",
    "a: !!python/object:os.system x": "is not valid YAML",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda it: it[:20])
def test_a_configuration_that_is_not_understood_is_named_and_none_is_guessed(text: str) -> None:
    manifest = pod(f"--config-file={CONFIG}")
    says = f"{CONFIG} (is not valid YAML: .*)?{UNREADABLE[text]}"
    for files in ({}, {"pod": manifest}):
        with pytest.raises(NotProven, match=says) as told:
            configured({**files, CONFIG: text, "other": RKE2})
        assert "\n" not in str(told.value)


def test_a_configuration_that_is_not_understood_costs_the_items_of_etcd_and_no_other() -> None:
    items = {"boot": {"value": 1}, "etcd listens": {"value": True}, "etcd status": {"error": "x"}}
    report = json.dumps({"started": 0.0, "ended": 0.0, "items": items})
    shell = FakeShell(
        {
            ("*", "sh"): Completed(status=0, stdout=f"{CONFIG}\0- 1\0", stderr=""),
            ("*", "python3"): Completed(status=0, stdout=report, stderr=""),
        }
    )
    seen = host_facts.look(reach(shell), "vmi2887101", ["boot", "etcd listens", "etcd status"])
    unclear = Unknown(f"{CONFIG} {UNREADABLE['- 1']}")
    assert seen == {"boot": Known(1), "etcd listens": unclear, "etcd status": unclear}


def test_an_address_of_every_interface_is_asked_on_the_loopback() -> None:
    everywhere = RKE2.replace("https://127.0.0.1:2382", "https://0.0.0.0:2382")
    assert configured({CONFIG: everywhere}) == RKE2_ACCESS


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda it: st.lists(it) | st.dictionaries(st.text(), it),
    )
)
def test_no_configuration_ends_the_look(document: object) -> None:
    manifest = yaml.safe_dump({"kind": "Pod", "spec": document})
    assert configured({"pod": manifest}).gateways
    with suppress(NotProven):
        assert configured({"a": yaml.safe_dump(document), "pod": manifest}).gateways


def test_the_files_are_read_on_the_server(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(RKE2)
    paths = (str(tmp_path / "nowhere.yaml"), str(tmp_path / "config"))
    kubernetes = PROFILE.kubernetes.model_copy(update={"etcd_configuration": paths})

    def run(argv: Sequence[str], stdin: str) -> Completed:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        return Completed(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    profile = PROFILE.model_copy(update={"kubernetes": kubernetes})
    assert etcd_access(FakeShell({("*", "sh"): run}), profile, "vmi2887101") == RKE2_ACCESS
    assert etcd_access(FakeShell({}), profile, "vmi2887101") == EtcdAccess()


class Gateway(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        said = b'{"leader": "7"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


class GrpcAlone(Gateway):
    def do_POST(self) -> None:
        self.close_connection = True


@pytest.fixture(params=[Gateway])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def _etcd(*gateways: str) -> script.Etcd:
    files = {"ca": "", "cert": "", "key": ""}
    return script.Etcd(
        {"gateways": [*gateways], "metrics": [], "client": "", "own": files, "peer": files}
    )


def test_the_first_address_that_listens_is_asked(url: str) -> None:
    assert _etcd(closed(), url).call("/status") == {"leader": "7"}
    with pytest.raises(ConnectionRefusedError, match="nothing listens at"):
        _etcd(closed()).call("/status")


@pytest.mark.parametrize("url", [GrpcAlone], indirect=True)
def test_a_port_that_speaks_grpc_alone_is_named(url: str) -> None:
    with pytest.raises(RuntimeError, match="speaks no HTTP"):
        _etcd(url).call("/status")
