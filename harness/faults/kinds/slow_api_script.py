"""Runs on a server, as ``python3 FILE HOLD_S WIDTH USER URL,URL… KUBECTL…``, until it is stopped.

Holds seats of a priority level at each API server, all with requests of one user: ``WIDTH`` a
server, in parallel. The API server asks for a request's body once the request has its seat, and
keeps the seat until the body arrives. Here that takes HOLD_S seconds, and the server does no work.
Standard library of Python 3.8 only.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

# Every authenticated user may create a SelfSubjectAccessReview.
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
REVIEW = json.dumps(
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
    }
).encode()
# Longer than any request waits in a queue.
WAIT_S = 30.0
AGAIN_S = 1.0


def context(kubectl: list[str]) -> ssl.SSLContext:
    """The CA and the client certificate of kubectl's own configuration."""
    told = subprocess.run(
        [*kubectl, "config", "view", "--raw", "--minify", "--output=json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=True,
    )
    config = json.loads(told.stdout)
    user = config["users"][0]["user"]
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    ours = ssl.create_default_context(cadata=authority.decode())
    # Python 3.13 wants extensions that the certificates of RKE2 do not carry.
    ours.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    parts = (user["client-certificate-data"], user["client-key-data"])
    # In memory: a key on a disk would stay there if this program is killed.
    with os.fdopen(os.memfd_create("client.pem"), "wb") as both:
        both.write(b"\n".join(base64.b64decode(part) for part in parts))
        both.flush()
        ours.load_cert_chain(f"/proc/self/fd/{both.fileno()}")
    return ours


def hold(url: str, user: str, hold_s: float, ours: ssl.SSLContext) -> None:
    """Send one request: it waits for a seat, keeps it for ``hold_s``, and gives it back."""
    at = urlsplit(url)
    line = http.client.HTTPSConnection(str(at.hostname), at.port, timeout=WAIT_S, context=ours)
    try:
        line.putrequest("POST", REVIEWS)
        line.putheader("Content-Type", "application/json")
        line.putheader("Content-Length", str(len(REVIEW)))
        line.putheader("Impersonate-User", user)
        line.putheader("Expect", "100-continue")
        line.endheaders()
        line.sock.recv(64)  # "100 Continue": the request has its seat; or a refusal
        threading.Event().wait(hold_s)
        line.send(REVIEW)
        line.getresponse().read()
    finally:
        line.close()


def holding(url: str, user: str, hold_s: float, ours: ssl.SSLContext) -> None:
    while True:
        try:
            hold(url, user, hold_s, ours)
        except (OSError, http.client.HTTPException):
            threading.Event().wait(AGAIN_S)


def main(hold_s: str, width: str, user: str, urls: str, *kubectl: str) -> None:
    ours = context(list(kubectl))
    threads = [
        threading.Thread(target=holding, args=(url, user, float(hold_s), ours))
        for url in urls.split(",")
        for _ in range(int(width))
    ]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
