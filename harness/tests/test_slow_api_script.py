"""What holds the seats of a slow API, against a server that behaves as the API does."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from pathlib import Path

import pytest

from harness.faults.kinds import slow_api_script
from harness.probes.certificates import Authority
from harness.tests.api_server import ApiServer, api
from harness.tests.strict_tls import as_python_3_13

__all__ = ["api"]
USER = "system:serviceaccount:shop:default"


def kubectl(folder: Path, authority: Authority) -> list[str]:
    """A program that prints a kubeconfig as kubectl does."""
    certificate, key = authority.issue("cutover")
    user = {"client-certificate-data": certificate, "client-key-data": key}
    trust = {"certificate-authority-data": authority.pem}

    def coded(words: dict[str, str]) -> dict[str, str]:
        return {name: base64.b64encode(text.encode()).decode() for name, text in words.items()}

    shown = {"users": [{"user": coded(user)}], "clusters": [{"cluster": coded(trust)}]}
    (folder / "shown.json").write_text(json.dumps(shown))
    return ["sh", "-c", f"cat {folder}/shown.json", "kubectl"]


def test_a_request_gives_its_body_only_after_it_has_held_its_seat(
    api: ApiServer, tmp_path: Path
) -> None:
    api.answers[slow_api_script.REVIEWS] = (201, {})
    ours = slow_api_script.context(kubectl(tmp_path, api.authority))
    began = time.monotonic()
    slow_api_script.hold(api.url, USER, 0.3, ours)
    assert time.monotonic() - began >= 0.3
    ((method, path, headers, body),) = api.asked
    assert (method, path) == ("POST", slow_api_script.REVIEWS)
    assert headers["impersonate-user"] == USER
    assert json.loads(body)["kind"] == "SelfSubjectAccessReview"


def test_a_server_of_another_authority_gets_nothing(api: ApiServer, tmp_path: Path) -> None:
    ours = slow_api_script.context(kubectl(tmp_path, Authority()))
    with pytest.raises(ssl.SSLCertVerificationError):
        slow_api_script.hold(api.url, USER, 0.1, ours)
    assert not api.asked


def test_certificates_of_rke2_are_taken_by_the_python_of_debian_13(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_python_3_13(monkeypatch)
    ours = slow_api_script.context(kubectl(tmp_path, Authority()))
    assert not ours.verify_flags & ssl.VERIFY_X509_STRICT
    assert (ours.verify_mode, ours.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_server_that_hangs_up_is_an_error_that_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        ours = slow_api_script.context(kubectl(tmp_path, Authority()))
        deaf.close()
        with pytest.raises((OSError, http.client.HTTPException)):
            slow_api_script.hold(url, USER, 0.1, ours)
