"""The API transport against a real HTTPS server in this process."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import websocket

from harness.core.errors import (
    ConfigError,
    Conflict,
    Denied,
    NotFound,
    NotListening,
    TimedOut,
    TransportError,
    Unreachable,
)
from harness.core.waiting import until
from harness.probes.certificates import Authority
from harness.tests.api_server import (
    EXEC,
    TOKEN,
    ApiHandler,
    ApiServer,
    api,
    kube,
    talk,
    write_kubeconfig,
)
from harness.transport.kube import ApiKube

__all__ = ["api", "kube"]


def test_get_gives_the_object_and_sends_the_token_and_the_query(
    api: ApiServer, kube: ApiKube
) -> None:
    api.answers["/api/v1/nodes"] = (200, {"items": [1]})
    assert kube.get("/api/v1/nodes?labelSelector=a%3Db") == {"items": [1]}
    method, path, headers, _ = api.asked[0]
    assert (method, path) == ("GET", "/api/v1/nodes?labelSelector=a%3Db")
    assert headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (409, Conflict),
        (429, Unreachable),
        (500, Unreachable),
        (503, Unreachable),
    ],
)
def test_a_refusal_is_the_fitting_error_with_the_servers_words(
    api: ApiServer, kube: ApiKube, status: int, error: type[TransportError]
) -> None:
    api.answers["/x"] = (status, {"message": "because of the moon"})
    with pytest.raises(error, match="because of the moon") as caught:
        kube.get("/x", within_s=2)
    assert type(caught.value) is error


def test_a_read_that_the_api_is_too_busy_for_is_sent_again_and_a_write_is_not(
    api: ApiServer, kube: ApiKube
) -> None:
    def busy_once(asked: ApiHandler) -> None:
        is_first = len(api.asked) == 1
        said: Any = {"message": "storage is (re)initializing"} if is_first else {"items": []}
        asked.say(429 if is_first else 200, said)

    api.answers["/x"] = busy_once
    assert kube.get("/x") == {"items": []}
    api.asked.clear()
    with pytest.raises(Unreachable, match="initializing"):
        kube.create("/x", {})
    assert len(api.asked) == 1


def test_what_exists_is_asked_for_by_its_metadata_alone(api: ApiServer, kube: ApiKube) -> None:
    api.answers["/api/v1/namespaces/x/secrets/one"] = (200, {"metadata": {"name": "one"}})
    api.answers["/api/v1/namespaces/x/secrets/two"] = (403, {"message": "secrets are forbidden"})
    assert kube.exists("/api/v1/namespaces/x/secrets/one")
    assert (
        api.asked[0][2]["accept"].partition(";")[2] == "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    )
    assert not kube.exists("/api/v1/namespaces/x/secrets/none")
    with pytest.raises(Denied, match="secrets are forbidden"):
        kube.exists("/api/v1/namespaces/x/secrets/two")


def test_an_answer_that_is_not_json(api: ApiServer, kube: ApiKube) -> None:
    api.answers["/x"] = (200, "<html>")
    with pytest.raises(TransportError, match="not JSON"):
        kube.get("/x")


def _hang() -> None:
    threading.Event().wait(5)


def test_a_server_that_never_answers_costs_the_deadline_and_no_more(
    api: ApiServer, kube: ApiKube
) -> None:
    api.answers["/x"] = lambda _: _hang()
    began = time.monotonic()
    with pytest.raises(TimedOut):
        kube.get("/x", within_s=0.4)
    assert time.monotonic() - began < 3


def test_a_server_that_dribbles_costs_the_deadline_and_no_more(
    api: ApiServer, kube: ApiKube
) -> None:
    def dribble(handler: ApiHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(b" ")
            threading.Event().wait(0.1)

    api.answers["/x"] = dribble
    began = time.monotonic()
    with pytest.raises(TimedOut):
        kube.get("/x", within_s=0.5)
    assert time.monotonic() - began < 3


def test_a_server_that_hangs_up_during_tls_is_not_one_of_another_authority(
    api: ApiServer, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)

        threading.Thread(target=hang_up, daemon=True).start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Unreachable, match="EOF occurred"):
            ApiKube(write_kubeconfig(tmp_path / "stopped", url, api.authority.pem)).get("/x")


def test_another_authority_is_denied(api: ApiServer, tmp_path: Path) -> None:
    wrong = write_kubeconfig(tmp_path / "wrong", api.url, Authority().pem)
    with pytest.raises(Denied, match="not signed by the authority"):
        ApiKube(wrong).get("/x")
    with pytest.raises(Denied, match="not signed by the authority"):
        ApiKube(wrong).ask(f"{api.url}/x")
    assert api.asked == []


def test_nobody_listens(api: ApiServer, tmp_path: Path) -> None:
    closed = write_kubeconfig(tmp_path / "closed", "https://127.0.0.1:1", api.authority.pem)
    with pytest.raises(Unreachable, match="see that the API server runs") as error:
        ApiKube(closed).get("/x")
    assert ": [Errno 111] Connection refused\n" in str(error.value)
    assert "object at" not in str(error.value)
    with pytest.raises(NotListening, match="connection refused"):
        ApiKube(closed).ask("https://127.0.0.1:1/x")
    with pytest.raises(Unreachable):
        ApiKube(closed).exec("space", "pod", ("true",))


@pytest.mark.parametrize("content", [None, "", "}{", "apiVersion: v1\nkind: Config\n"])
def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match="cannot use the kubeconfig"):
        ApiKube(path).get("/x")
    with pytest.raises(ConfigError, match="cannot use the kubeconfig"):
        ApiKube(path).ask("https://127.0.0.1:1/")


def test_a_kubeconfig_that_skips_verification_is_refused(tmp_path: Path) -> None:
    path = write_kubeconfig(
        tmp_path / "k", "https://127.0.0.1:1", "", **{"insecure-skip-tls-verify": True}
    )
    with pytest.raises(ConfigError, match="skips the verification"):
        ApiKube(path).get("/x")


def test_proxies_of_the_environment_are_passed_by(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    api.answers["/x"] = (200, {})
    api.answers[EXEC] = lambda handler: talk(handler, b'{"status": "Success"}')
    kube = ApiKube(api.kubeconfig)
    assert kube.get("/x") == {}
    assert kube.exec("space", "pod", ("true",)).status == 0


def test_apply_finds_the_path_of_a_kind_and_sends_a_server_side_apply(
    api: ApiServer, kube: ApiKube
) -> None:
    resources = [
        {"name": "things/status", "kind": "Thing", "namespaced": True},
        {"name": "things", "kind": "Thing", "namespaced": True},
        {"name": "spaces", "kind": "Space", "namespaced": False},
    ]
    api.answers["/apis/g/v1"] = (200, {"resources": resources})
    api.answers["/apis/g/v1/namespaces/n/things/t"] = (200, {})
    api.answers["/apis/g/v1/spaces/s"] = (200, {})
    thing = {"apiVersion": "g/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}}
    kube.apply(thing)
    kube.apply({"apiVersion": "g/v1", "kind": "Space", "metadata": {"name": "s"}})
    assert [method for method, *_ in api.asked] == ["GET", "PATCH", "PATCH"]
    _, path, headers, body = api.asked[1]
    assert path == "/apis/g/v1/namespaces/n/things/t?fieldManager=cutover&force=true"
    assert headers["content-type"] == "application/apply-patch+yaml"
    assert json.loads(body) == thing
    with pytest.raises(TransportError, match="has no Ghost"):
        kube.apply({"apiVersion": "g/v1", "kind": "Ghost", "metadata": {"name": "x"}})


def test_create_returns_what_the_api_made_of_it(api: ApiServer, kube: ApiKube) -> None:
    api.answers["/reviews"] = lambda handler: handler.say(201, {"status": {"allowed": True}})
    assert kube.create("/reviews", {"spec": 1}) == {"status": {"allowed": True}}
    assert api.asked[0][0] == "POST"
    assert json.loads(api.asked[0][3]) == {"spec": 1}


def test_a_log_is_text(api: ApiServer, kube: ApiKube) -> None:
    path = "/api/v1/namespaces/a/pods/b/log"

    def answer(handler: ApiHandler) -> None:
        text = b"one\ntwo \xff\n" if "previous=true" in handler.path else b"{}"
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    api.answers[path] = answer
    assert kube.log("a", "b", "c", previous=True) == "one\ntwo \ufffd\n"
    assert kube.log("a", "b", "c") == "{}"
    with pytest.raises(TransportError, match="404"):
        kube.log("a", "other", "c")


def test_deleting_what_is_not_there_is_fine(api: ApiServer, kube: ApiKube) -> None:
    kube.delete("/api/v1/namespaces/gone")
    assert api.asked[0][:2] == ("DELETE", "/api/v1/namespaces/gone")


def test_asking_one_server_as_operator_and_as_a_stranger(api: ApiServer, kube: ApiKube) -> None:
    api.answers["/readyz"] = (503, "[-]etcd failed")
    answer = kube.ask(f"{api.url}/readyz?verbose")
    assert (answer.status, answer.body) == (503, "[-]etcd failed")
    assert answer.certificate.startswith("-----BEGIN CERTIFICATE-----")
    kube.ask(f"{api.url}/readyz", anonymous=True)
    operator, stranger = (headers for _, _, headers, _ in api.asked)
    assert operator["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in stranger
    assert api.asked[0][1] == "/readyz?verbose"


def test_exec_gives_status_and_both_outputs(api: ApiServer, kube: ApiKube) -> None:
    failure = {
        "status": "Failure",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    }
    api.answers[EXEC] = lambda handler: talk(handler, json.dumps(failure).encode())
    done = kube.exec("space", "pod", ("echo", "a b"))
    assert (done.status, done.stdout, done.stderr) == (7, "out", "err")
    _, path, headers, _ = api.asked[0]
    assert "command=echo&command=a+b" in path
    assert headers["sec-websocket-protocol"] == "v5.channel.k8s.io"


def test_exec_sends_its_input_and_its_end(api: ApiServer, kube: ApiKube) -> None:
    api.answers[EXEC] = lambda handler: talk(handler, b'{"status": "Success"}')
    text = "x" * 100_000
    done = kube.exec("space", "pod", ("cat",), stdin=text, within_s=10)
    assert done.stdout == f"out{text}"


def test_exec_of_a_command_that_never_ran(api: ApiServer, kube: ApiKube) -> None:
    failure = {"status": "Failure", "message": "no such container"}
    api.answers[EXEC] = lambda handler: talk(handler, json.dumps(failure).encode())
    with pytest.raises(TransportError, match="no such container"):
        kube.exec("space", "pod", ("true",))


def test_exec_whose_connection_is_lost(api: ApiServer, kube: ApiKube) -> None:
    api.answers[EXEC] = lambda handler: handler.upgrade()
    with pytest.raises(Unreachable, match="connection"):
        kube.exec("space", "pod", ("true",))


@pytest.mark.parametrize(("status", "error"), [(403, Denied), (404, TransportError)])
def test_exec_that_the_api_refuses(
    api: ApiServer, kube: ApiKube, status: int, error: type[Exception]
) -> None:
    api.answers[EXEC] = (status, {"message": "no such luck"})
    with pytest.raises(error, match=f"the API answered {status}: no such luck"):
        kube.exec("space", "pod", ("true",))


def test_exec_that_never_ends_costs_the_deadline_and_no_more(api: ApiServer, kube: ApiKube) -> None:
    def hang(handler: ApiHandler) -> None:
        handler.upgrade()
        _hang()

    api.answers[EXEC] = hang
    began = time.monotonic()
    with pytest.raises(TimedOut):
        kube.exec("space", "pod", ("true",), within_s=0.5)
    assert time.monotonic() - began < 3


def test_an_exec_that_is_given_up_is_closed_by_the_thread_that_reads_from_it(
    api: ApiServer, kube: ApiKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed_by: list[threading.Thread] = []
    close: Callable[[websocket.WebSocket], None] = websocket.WebSocket.shutdown

    def watched(socket: websocket.WebSocket) -> None:
        closed_by.append(threading.current_thread())
        close(socket)

    def hang(handler: ApiHandler) -> None:
        handler.upgrade()
        _hang()

    monkeypatch.setattr(websocket.WebSocket, "shutdown", watched)
    api.answers[EXEC] = hang
    with pytest.raises(TimedOut):
        kube.exec("space", "pod", ("true",), within_s=0.5)
    until(lambda: closed_by, within_s=4, what="the connection is closed")
    assert [it.name.startswith("within 0.5 s") for it in closed_by] == [True]


def test_two_threads_may_exec_and_get_at_once(api: ApiServer, kube: ApiKube) -> None:
    api.answers[EXEC] = lambda handler: talk(handler, b'{"status": "Success"}')
    api.answers["/x"] = (200, {"fine": True})
    seen: list[Any] = []
    works = [
        lambda: seen.append(kube.get("/x") == {"fine": True}),
        lambda: seen.append(kube.exec("space", "pod", ("true",)).status == 0),
    ]
    threads = [threading.Thread(target=works[n % 2]) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [True] * 12


# --- several servers -------------------------------------------------------------------------
