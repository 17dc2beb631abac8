"""How somebody else sees a server: a refused connection is an answer, and silence is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import NotListening, TimedOut
from harness.faults.stop_etcd import StopEtcd
from harness.faults.stop_static_pod import StopStaticPod
from harness.tests.fault_examples import ID, whole_cluster
from harness.transport import Answer
from harness.transport.fake import FakeKube

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
