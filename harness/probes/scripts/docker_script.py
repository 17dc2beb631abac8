"""Asks the Docker of this machine, through its socket. Part of scripts that are sent to machines.

A question must not start a Docker that is stopped: it would come back into its Swarm, and the old
platform's workers with it. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import socket
import subprocess
from contextlib import closing
from typing import Any

# Docker's JSON, or made from it; reading it raises one of ODD if it is not as documented.
Said = Any
SOCKET = "/var/run/docker.sock"
DOCKER_S = 10.0
WHY = 160  # characters
# Errors from an object that is not as Docker's API documents it.
ODD = (AttributeError, IndexError, KeyError, TypeError, ValueError)
# Errors from a Docker that cannot be understood at all.
TOLD_NOTHING = (OSError, http.client.HTTPException, RuntimeError, *ODD)
LISTENS = ("ss", "-H", "-x", "-l", "-n", "-p")
# In a line of `ss`: the processes that have a socket open.
PROCESS = re.compile(r"pid=(\d+)")
INIT = "1"


class Docker(http.client.HTTPConnection):
    """One call to the Docker of this machine, through its socket."""

    def __init__(self) -> None:
        super().__init__("docker", timeout=DOCKER_S)

    def connect(self) -> None:
        if only_systemd_listens():
            raise ConnectionRefusedError("it is stopped, and systemd would start it if it is asked")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DOCKER_S)
        self.sock.connect(SOCKET)


@functools.lru_cache(maxsize=None)  # noqa: UP033 (cache came with 3.9)
def only_systemd_listens() -> bool:
    """True if Docker is stopped, and systemd starts it for who connects (docker.socket).

    RuntimeError if that cannot be told: no answer would be one, and a question could start it.
    """
    try:
        done = subprocess.run(
            LISTENS, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=DOCKER_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"it was not asked: {error}") from error
    return is_held_by_systemd_alone(done.stdout.decode(errors="replace"))


def is_held_by_systemd_alone(listed: str) -> bool:
    """Whether ``ss`` lists Docker's socket, with the machine's first process alone."""
    places = {SOCKET, os.path.realpath(SOCKET)}
    lines = [line for line in listed.splitlines() if places & set(line.split())]
    holders = [process for line in lines for process in PROCESS.findall(line)]
    return bool(holders) and all(it == INIT for it in holders)


def ask(path: str) -> Said:
    """Docker's answer to a GET; RuntimeError with its message, OSError without an answer."""
    with closing(Docker()) as docker:
        docker.request("GET", path)
        answer = docker.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(str(said.get("message", said))[-WHY:])
        return said
