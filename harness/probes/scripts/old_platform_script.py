"""Runs on a machine, as ``python3 -``: what is left of a Swarm there, as one line of JSON.

``state``       Docker's word for this machine in a Swarm ("inactive" without one); None if no
                Docker runs, or if it does not answer
``why``         why a Docker that runs did not answer; else empty
``comes_back``  Docker keeps a Swarm on its disk, which it joins when it starts
``installed``   Docker's program or its unit is here, so that it can start
``services``    the services whose containers run here
``sockets``     every socket that listens, as ``sockets_script`` describes it
``vxlan``       the UDP ports of the VXLAN devices in the machine's own network namespace

Needs root, changes nothing. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

from harness.probes.scripts import docker_script, sockets_script

LABEL = "com.docker.swarm.service.name"
ROOT = "/var/lib/docker"
PROGRAMS = "/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin:/usr/local/sbin:/opt/bin:/snap/bin"
UNITS = ("/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system")


def docker() -> dict[str, object]:
    """What Docker says of the Swarm, and of the containers of its services."""
    state, why, services, root = None, "", [], ROOT
    try:
        info = docker_script.ask("/info")
        wanted = quote(json.dumps({"label": [LABEL]}))
        containers = docker_script.ask("/containers/json?filters=" + wanted)
        services = sorted({str(it["Labels"][LABEL]) for it in containers})
        state, root = str(info["Swarm"]["LocalNodeState"]), str(info["DockerRootDir"])
    except docker_script.TOLD_NOTHING as error:
        # Without a socket, or with one that refuses or would only start it, no Docker runs.
        if not isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            why = f"{type(error).__name__}: {error}"
    return {
        "state": state,
        "why": why,
        "comes_back": comes_back(root),
        "installed": is_installed(),
        "services": services,
    }


def comes_back(root: str) -> bool:
    """True if Docker keeps a Swarm below its root: the file is gone once it has left."""
    return Path(root, "swarm", "docker-state.json").exists()


def is_installed() -> bool:
    """True if Docker's program or its unit is here."""
    units = (Path(folder, "docker.service") for folder in UNITS)
    return shutil.which("dockerd", path=PROGRAMS) is not None or any(it.exists() for it in units)


def vxlan() -> list[int]:
    """The UDP port of each VXLAN device here; those of Docker's overlays are elsewhere."""
    words = ("ip", "-json", "-details", "link", "show", "type", "vxlan")
    devices = json.loads(sockets_script.command(*words) or "[]")
    return sorted(
        {int(it["linkinfo"]["info_data"]["port"]) for it in devices if it.get("linkinfo")}
    )


def main() -> None:
    found = {**docker(), "sockets": sockets_script.sockets(), "vxlan": vxlan()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
