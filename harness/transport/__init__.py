"""The only ways out of the harness: SSH to machines, the Kubernetes API, the network from outside,
and fakes of them.

Every call has a deadline of its own and is abandoned at it. The exit status of a remote command
is data; an exception means that the command could not be asked at all.
"""

from __future__ import annotations

from harness.transport.protocols import (
    HTTP,
    HTTPS,
    AnsibleTask,
    Answer,
    Completed,
    Echoed,
    EntryPoint,
    ExternalClient,
    Fleet,
    Kube,
    PortScan,
    Reach,
    Shell,
)
from harness.transport.reach import connect, enter_network

__all__ = [
    "HTTP",
    "HTTPS",
    "AnsibleTask",
    "Answer",
    "Completed",
    "Echoed",
    "EntryPoint",
    "ExternalClient",
    "Fleet",
    "Kube",
    "PortScan",
    "Reach",
    "Shell",
    "connect",
    "enter_network",
]
