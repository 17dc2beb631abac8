"""Runs on a server, as ``python3 FILE HOLD_S WIDTH USER URL,URL… KUBECTL…``, until it is stopped.

Holds seats of a priority level at each API server, all with requests of one user: ``WIDTH`` a
server, side by side. The API server asks for the body of a request once the request has its seat,
and keeps the seat until the body is there: here that takes HOLD_S seconds, and no work.
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

# Everybody who is logged in may ask what he may do.
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
    """The trust and the client certificate of kubectl's own configuration."""
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
    parts = (user["client-certificate-data"], user["client-key-data"])
    # In memory: a key that lies on a disk stays there if this is killed.
    with os.fdopen(os.memfd_create("client.pem"), "wb") as both:
        both.write(b"\n".join(base64.b64decode(part) for part in parts))
        both.flush()
        ours.load_cert_chain(f"/proc/self/fd/{both.fileno()}")
    return ours


def hold(url: str, user: str, hold_s: float, ours: ssl.SSLContext) -> None:
    """One request: waits for its seat, keeps it for so long, and gives it back."""
    at = urlsplit(url)
    line = http.client.HTTPSConnection(str(at.hostname), at.port, timeout=WAIT_S, context=ours)
    try:
        line.putrequest("POST", REVIEWS)
        line.putheader("Content-Type", "application/json")
        line.putheader("Content-Length", str(len(REVIEW)))
        line.putheader("Impersonate-User", user)
        line.putheader("Expect", "100-continue")
        line.endheaders()
        line.sock.recv(64)  # "100 Continue": it has its seat; or it was refused
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
