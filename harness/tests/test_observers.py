"""How somebody else sees a server: a refused connection is an answer, and silence is none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from harness.core.errors import NotListening, TimedOut, TransportError
from harness.faults import observers
from harness.faults.kinds.kubernetes import StopEtcd, StopStaticPod
from harness.faults.observers import answers_peer
from harness.tests.fake_transport import FakeKube
from harness.tests.fault_examples import ID, whole_cluster
from harness.transport import Answer, Completed

READY = "https://10.0.0.1:6443/readyz"
API = StopStaticPod(id=ID, machine="one", part="kube-apiserver")
ETCD = StopEtcd(id=ID, machine="one")


@pytest.mark.parametrize(("fault", "url"), [(API, READY), (ETCD, f"{READY}/etcd")])
def test_a_server_that_says_no_or_refuses_us_is_seen_as_stopped(
    fault: StopStaticPod, url: str
) -> None:
    for answer in (Answer(status=500, body="", certificate=""), NotListening("refused")):
        stopped = replace(whole_cluster(), kube=FakeKube(asked={url: answer}))
        assert fault.active(stopped)
        assert not fault.healed(stopped)


def test_a_server_that_does_not_answer_at_all_is_not_seen() -> None:
    silent = replace(whole_cluster(), kube=FakeKube(asked={READY: TimedOut("no answer")}))
    with pytest.raises(TimedOut):
        API.active(silent)


PING = "1 packets transmitted, 0 received, 100% packet loss, time 0ms\n"


def test_a_machine_is_cut_off_only_if_a_ping_ran_and_was_lost() -> None:
    lost = whole_cluster(answers={("*", "ping"): Completed(status=1, stdout=PING, stderr="")})
    assert not answers_peer(lost, "one")
    for status, said in (
        (2, "ping: connect: Network is unreachable"),
        (127, "sh: ping"),
        (137, ""),
    ):
        mute = whole_cluster(
            answers={("*", "ping"): Completed(status=status, stdout="", stderr=said)}
        )
        with pytest.raises(TransportError, match=f"ended with {status}"):
            answers_peer(mute, "one")


def test_a_machine_without_a_route_has_not_seen_its_peer_silent() -> None:
    argv = [sys.executable, "-I", "-S", "-", "ask"]
    for words, status in (
        (["tcp", "127.0.0.1", "1"], 0),
        (["tcp", "no.such.host.invalid", "1"], 1),
    ):
        done = subprocess.run(
            [*argv, *words],
            input=observers.ASKING.text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout == "") == (status, bool(status))


def test_what_answers_nothing_that_is_known_is_no_answer() -> None:
    for status, said, words in (
        (0, '"closed"', "got 'closed'"),
        (0, "[]", r"valid string, seen \[\]"),
        (1, '"silent"', "ended with status 1"),
        (137, "", "ended with status 137"),
    ):
        answers = {("*", "python3"): Completed(status=status, stdout=said, stderr="")}
        with pytest.raises(TransportError, match=words):
            observers.port_state(whole_cluster(answers=answers), "two", "tcp", "10.0.0.1", 6443)
