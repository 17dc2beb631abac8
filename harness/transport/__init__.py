"""The harness's only connections: SSH, the Kubernetes API, the network, a browser.

Every call has its own deadline and is abandoned then. The exit status of a remote command is data;
an exception means that the command could not be run at all.
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
