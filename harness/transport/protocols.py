"""The ways to a cluster, as probes and faults see them; the real ones and the fakes both fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import TransportError
from harness.settings import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a remote command left behind.

    ``status`` is the exit status, or -1 when a signal ended the command. ``took_s`` is wall time
    on our side, from sending the command (not from connecting) to its end.
    """

    status: int
    stdout: str
    stderr: str
    took_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleTask:
    """What one task did on a machine, or would do: ``diff`` are the lines that (would) change."""

    task: str
    changed: bool
    failed: bool = False
    diff: tuple[str, ...] = ()
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one web server answered; ``certificate`` is the PEM that it showed.

    ``headers`` have names in small letters; of several of one name, the last.
    """

    status: int
    body: str
    certificate: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """How a web server is entered: ``http`` or ``https``, at a port of its address."""

    scheme: str
    port: int

    def host(self, name: str) -> str:
        """The host as a request names it: with the port where that is not the scheme's own."""
        return name if self in (HTTP, HTTPS) else f"{name}:{self.port}"


HTTP, HTTPS = EntryPoint("http", 80), EntryPoint("https", 443)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortScan:
    """What a scan of TCP ports found: which are open, how many refused, how many were silent.

    A silent one did not answer at all, or the network said that it cannot be reached.
    """

    open: tuple[int, ...]
    refused: int
    silent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoed:
    """What came of datagrams to UDP ports: those that answered, and those that refused by ICMP.

    Of the others nothing came back: they are open, or a firewall drops what is sent to them.
    """

    answered: tuple[int, ...]
    refused: tuple[int, ...]


class Shell(Protocol):
    """Commands on machines."""

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run one command on a machine and wait for it.

        A command that outlives ``within_s`` is killed there. Raises only HarnessErrors.
        ``hear`` is told each line of its standard output as soon as it comes.
        """
        ...

    def close(self) -> None: ...


class Kube(Protocol):
    """The Kubernetes API, as plain JSON objects. Paths may carry a query (``?labelSelector=…``)."""

    def get(self, path: str, *, within_s: float = 10.0) -> object:
        """The object or list at an API path such as ``/api/v1/nodes``; raises TransportError.

        NotFound when the API has none there.
        """
        ...

    def exists(self, path: str, *, within_s: float = 10.0) -> bool:
        """Is there an object at an API path? What it holds is not asked for, a Secret's neither."""
        ...

    def ask(self, url: str, *, anonymous: bool = False, within_s: float = 5.0) -> Answer:
        """One GET at one server's own address, past any load balancer; its status is data.

        Asked as the operator, the server must prove itself with the cluster's authority and gets
        our credentials. Asked anonymously it may show any certificate, because it gets nothing.
        """
        ...

    def create(
        self, path: str, manifest: Mapping[str, object], *, within_s: float = 10.0
    ) -> object:
        """Post an object to a collection and return what the API made of it."""
        ...

    def apply(self, manifest: Mapping[str, object], *, within_s: float = 10.0) -> None:
        """Create the object, or bring it to this state (server-side apply)."""
        ...

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        """Delete the object at an API path; one that is not there is deleted already."""
        ...

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        """Run one command in a pod's first container."""
        ...

    def log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        lines: int = 400,
        within_s: float = 10.0,
    ) -> str:
        """The last lines that a container logged; ``previous``: the one that it replaced."""
        ...

    def close(self) -> None: ...


class Fleet(Protocol):
    """The same on all machines side by side: nothing is raised or left out."""

    def everywhere(
        self, commands: Mapping[str, Sequence[str]], *, within_s: float
    ) -> Mapping[tuple[str, str], Completed | TransportError]:
        """What each (machine, command) said, or why it could not be asked."""
        ...

    def apply(
        self,
        tasks: Sequence[Mapping[str, object]],
        variables: Mapping[str, object],
        *,
        machines: Sequence[str],
        check: bool,
        within_s: float,
    ) -> Mapping[str, Sequence[AnsibleTask] | TransportError]:
        """Carry tasks out; with ``check`` they only say what they would change."""
        ...


class ExternalClient(Protocol):
    """The network as a client outside the cluster sees it; see ``transport.external_client``."""

    def scan_ports(self, address: str, ports: Iterable[int]) -> PortScan:
        """Which of the TCP ports take a connection."""
        ...

    def send(self, address: str, payloads: Mapping[int, bytes]) -> Echoed:
        """What UDP ports do when each is sent its payload; raises TransportError."""
        ...

    def exchange(self, address: str, port: int, words: bytes, *, within_s: float = 5.0) -> bytes:
        """What a port answers to some words; raises TransportError."""
        ...

    def get(
        self, host: str, path: str, *, at: str, entry: EntryPoint = HTTP, within_s: float = 5.0
    ) -> Answer:
        """What the web server at an address answers for a host; its certificate is not checked.

        Raises TransportError; Denied when no TLS comes about.
        """
        ...

    def certificate(
        self,
        host: str,
        *,
        at: str,
        port: int = 443,
        authority: str | None = None,
        within_s: float = 5.0,
    ) -> str:
        """The valid certificate (PEM) of a host at an address; Denied when it is not valid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Everything that a run may use: the profile and the ways to its cluster."""

    profile: Profile
    shell: Shell
    kube: Kube
    fleet: Fleet
    outside: ExternalClient
