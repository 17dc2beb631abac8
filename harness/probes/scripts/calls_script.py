"""Runs in a pod, as ``python3 - CALLS``: each call of a list, {"host", "port", "path" or null}.

Prints for each {"error": text or null, "status", "body", "took_ms"}. Without a path a call is a
TCP connection by the host's name, with one it is a GET over HTTP. Before, the name is asked for
several times: one DNS server of several may not know it. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time

WITHIN_S = 5.0
MOST_BYTES = 256 * 1024
# Each question comes from another port, so a Service sends it to another one of its DNS servers: if
# one of two does not know the name, one of a thousand tries (1 in 2^10) finds nothing. One that is
# silent costs 5 s a question: then the questions end early, as all calls of a pod share a minute.
ASKED = 10


def call(host: str, port: int, path: str | None) -> dict[str, object]:
    """One call; an error names what did not work: the name, the connection, or the answer."""
    began = time.monotonic()
    error: str | None = None
    status: int | None = None
    body = ""
    answers = 0
    try:
        while answers < ASKED and time.monotonic() - began < WITHIN_S:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers += 1
        began = time.monotonic()
        if path is None:
            socket.create_connection((host, port), timeout=WITHIN_S).close()
        else:
            connection = http.client.HTTPConnection(host, port, timeout=WITHIN_S)
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            status, body = answer.status, answer.read(MOST_BYTES).decode("utf-8", "replace")
            connection.close()
    except socket.gaierror as known:
        when = f" each time, after {answers} answers" if answers else ""
        error = f"its name is not known{when}: {known}"
    except (OSError, http.client.HTTPException) as known:
        error = str(known) or type(known).__name__
    took_ms = round((time.monotonic() - began) * 1000, 1)
    return {"error": error, "status": status, "body": body, "took_ms": took_ms}


def main(calls: str) -> None:
    found = [call(it["host"], it["port"], it["path"]) for it in json.loads(calls)]
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
