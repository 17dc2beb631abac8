"""Instances as programs of this computer: for work on what asks the platform, without a cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from . import archives, settings
from .orchestrator import Instance, wait_answer


class Processes:
    """Each instance is a process of this one's user, on a free port; all end with this process."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}
        self._instances: dict[str, Instance] = {}

    def create(self, it: Instance) -> None:
        self._data(it).mkdir(parents=True, exist_ok=True)
        self.point(it)
        self.scale(it, 1)

    def scale(self, it: Instance, replicas: int) -> None:
        if running := self._running.pop(it.id, None):
            running.terminate()
            running.wait(30)
        if replicas:
            it = self._instances.get(it.id, it)
            own = {
                "HOST": "127.0.0.1",
                "PORT": str(self._port(it)),
                "DATA_FOLDER": str(self._data(it)),
            }
            environment = {**os.environ, **it.environment(), **own}
            here = Path(__file__).parent
            self._running[it.id] = subprocess.Popen(
                [sys.executable, "-m", here.name], env=environment, cwd=here.parent
            )

    def point(self, it: Instance) -> None:
        self._instances[it.id] = it

    def resize(self, it: Instance) -> None:
        """Folders of this computer have no quota."""

    def archive(self, it: Instance, what: str, backup: str) -> None:
        work = {"backup": archives.make, "restore": archives.restore}[what]
        work(it, self._data(it), backup)

    def remove(self, it: Instance) -> None:
        self.scale(it, 0)
        archives.free(self._data(it))

    def internal_url(self, it: Instance) -> str:
        return f"http://127.0.0.1:{self._port(it)}"

    def external_url(self, it: Instance) -> str:
        return self.internal_url(it)

    def wait_ready(self, it: Instance) -> None:
        wait_answer(f"{self.internal_url(it)}/")

    def _data(self, it: Instance) -> Path:
        return settings.INSTANCES / it.folder

    def _port(self, it: Instance) -> int:
        if it.id not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[it.id] = free.getsockname()[1]
        return self._ports[it.id]


def no_server(name: str) -> None:
    """A program of this computer makes no server: the move needs Swarm or Kubernetes."""
    raise NotImplementedError(f"{name}: a server of its own needs Swarm or Kubernetes")
