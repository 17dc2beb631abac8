"""A cluster of several API servers: whom the transport asks when one of them is lost."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.errors import Unreachable
from harness.tests.api_server import (
    EXEC,
    ApiHandler,
    ApiServer,
    api,
    api_server,
    talk,
    write_kubeconfig,
)
from harness.transport.kube import ApiKube

__all__ = ["api"]


@pytest.fixture
def other(api: ApiServer, tmp_path: Path) -> Iterator[ApiServer]:
    (tmp_path / "other").mkdir()
    with api_server(tmp_path / "other", api.authority) as server:
        yield server


@pytest.fixture
def both(api: ApiServer, other: ApiServer) -> Iterator[ApiKube]:
    """The API of a kubeconfig that names the first of two servers."""
    made = ApiKube(api.kubeconfig, [[], [other.url, api.url]])
    yield made
    made.close()


def gone(api: ApiServer, tmp_path: Path, *others: str) -> ApiKube:
    """The API of a kubeconfig that names a server which is lost."""
    lost = "https://127.0.0.1:1"
    kubeconfig = write_kubeconfig(tmp_path / "lost", lost, api.authority.pem)
    return ApiKube(kubeconfig, [[lost, *others]])


def hang_up(handler: ApiHandler) -> None:
    handler.close_connection = True


def break_tls(handler: ApiHandler) -> None:
    """Answer a request that was read with bytes that are no TLS."""
    with socket.socket(fileno=os.dup(handler.connection.fileno())) as raw:
        raw.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    handler.close_connection = True


def test_a_server_that_answers_is_asked_alone(
    api: ApiServer, other: ApiServer, both: ApiKube
) -> None:
    api.answers["/x"] = (200, {"by": "one"})
    assert [both.get("/x") for _ in range(3)] == [{"by": "one"}] * 3
    assert other.asked == []


def test_when_the_kubeconfigs_server_is_lost_another_one_is_asked_and_stays(
    api: ApiServer, tmp_path: Path
) -> None:
    api.answers["/x"] = (200, {"by": "another"})
    kube = gone(api, tmp_path, api.url)
    assert kube.create("/x", {}) == {"by": "another"}
    assert kube.get("/x") == {"by": "another"}
    assert [method for method, *_ in api.asked] == ["POST", "GET"]


def test_an_address_that_servers_share_is_asked_alone(api: ApiServer, tmp_path: Path) -> None:
    shared = write_kubeconfig(tmp_path / "shared", "https://127.0.0.1:1", api.authority.pem)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        ApiKube(shared, [[api.url]]).get("/x")
    assert api.asked == []


def test_what_only_reads_is_asked_again_of_another_server(
    api: ApiServer, other: ApiServer, both: ApiKube
) -> None:
    api.answers["/x"] = hang_up
    api.answers["/y"] = (503, {"message": "etcd is away"})
    other.answers |= {"/x": (200, {"x": 1}), "/y": (200, {"y": 1})}
    assert both.get("/x") == {"x": 1}
    assert both.get("/y") == {"y": 1}
    assert len(api.asked) == 1


@pytest.mark.parametrize("failing", [hang_up, break_tls])
def test_a_write_that_may_have_been_heard_is_not_sent_again_and_the_next_goes_elsewhere(
    api: ApiServer,
    other: ApiServer,
    both: ApiKube,
    failing: Callable[[ApiHandler], None],
) -> None:
    api.answers["/x"] = failing
    other.answers["/x"] = (201, {"made": 1})
    with pytest.raises(Unreachable):
        both.create("/x", {"n": 1})
    assert other.asked == []
    assert both.create("/x", {"n": 2}) == {"made": 1}
    assert len(api.asked) == 1


def test_a_write_that_a_server_could_not_do_is_told_and_the_next_goes_elsewhere(
    api: ApiServer, other: ApiServer, both: ApiKube
) -> None:
    api.answers["/x"] = (500, {"message": "etcdserver: request timed out"})
    other.answers["/x"] = (201, {"made": 1})
    with pytest.raises(Unreachable, match="etcdserver"):
        both.create("/x", {"n": 1})
    assert both.create("/x", {"n": 2}) == {"made": 1}


def test_when_no_server_answers_the_first_ones_reason_is_told(
    api: ApiServer, tmp_path: Path
) -> None:
    api.answers["/x"] = hang_up
    with pytest.raises(Unreachable, match=r"GET /x on https://127\.0\.0\.1:1"):
        gone(api, tmp_path, api.url).get("/x")
    assert len(api.asked) == 1


def test_no_server_is_believed_that_the_authority_did_not_sign(
    api: ApiServer, tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    with api_server(tmp_path / "stranger") as stranger:
        stranger.answers["/x"] = api.answers["/x"] = (200, {})
        kube = gone(api, tmp_path, stranger.url, api.url)
        assert kube.get("/x") == {}
        assert stranger.asked == []


def test_a_command_in_a_pod_goes_through_a_server_that_answers(
    api: ApiServer, tmp_path: Path
) -> None:
    api.answers[EXEC] = lambda handler: talk(handler, b'{"status": "Success"}')
    kube = gone(api, tmp_path, api.url)
    with pytest.raises(Unreachable):
        kube.exec("space", "pod", ("true",))
    assert kube.exec("space", "pod", ("true",)).status == 0
