"""The connections to a cluster, as probes and faults use them; real ones and fakes both fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.core.errors import TransportError
from harness.settings import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The result of a remote command.

    ``status`` is the exit status, or -1 when a signal ended the command. ``took_s`` is wall time in
    the harness, from sending the command (not from connecting) to its end.
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
class Response:
    """One answer of a web server, byte for byte: every header field in the order of the answer.

    ``is_whole`` is false if the body goes on after what was read.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """Where a web server takes requests: ``http`` or ``https``, at a port of its address."""

    scheme: str
    port: int

    def host(self, name: str) -> str:
        """The host as a request names it: with the port if that is not the scheme's default."""
        return name if self in (HTTP, HTTPS) else f"{name}:{self.port}"


HTTP, HTTPS = EntryPoint("http", 80), EntryPoint("https", 443)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortScan:
    """What a scan of TCP ports found: which are open, how many refused, how many were silent.

    A silent port did not answer, or the network reported it as unreachable.
    """

    open: tuple[int, ...]
    refused: int
    silent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoed:
    """The replies of UDP ports: the ports that answered, and those that refused by ICMP.

    The other ports sent no reply: they are open, or a firewall drops the datagrams.
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
        """True if an object is at an API path; asks for no content, not even a Secret's."""
        ...

    def ask(self, url: str, *, anonymous: bool = False, within_s: float = 5.0) -> Answer:
        """One GET at one server's own address, past any load balancer; its status is data.

        With the operator's credentials, the server must show a certificate of the cluster's
        authority. Anonymously, any certificate will do, because no credentials are sent.
        """
        ...

    def create(
        self, path: str, manifest: Mapping[str, object], *, within_s: float = 10.0
    ) -> object:
        """Post an object to a collection and return what the API made of it."""
        ...

    def apply(self, manifest: Mapping[str, object], *, within_s: float = 10.0) -> None:
        """Create the object, or change it to this state (server-side apply)."""
        ...

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        """Delete the object at an API path; a missing object is no error."""
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
        """The last lines that a container logged; ``previous``: of the container before."""
        ...

    def close(self) -> None: ...


class Fleet(Protocol):
    """Commands on all machines in parallel: nothing is raised or left out."""

    def everywhere(
        self, commands: Mapping[str, Sequence[str]], *, within_s: float
    ) -> Mapping[tuple[str, str], Completed | TransportError]:
        """The result of each (machine, command), or why it could not be run."""
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
        """Run tasks; with ``check`` they only report what they would change."""
        ...


class ExternalClient(Protocol):
    """The network as a client outside the cluster sees it; see ``transport.network``."""

    def scan_ports(self, address: str, ports: Iterable[int]) -> PortScan:
        """Which of the TCP ports accept a connection."""
        ...

    def send(self, address: str, payloads: Mapping[int, bytes]) -> Echoed:
        """Send each UDP port its payload and report the replies; raises TransportError."""
        ...

    def exchange(self, address: str, port: int, words: bytes, *, within_s: float = 5.0) -> bytes:
        """What a port answers to these bytes; raises TransportError."""
        ...

    def get(
        self, host: str, path: str, *, at: str, entry: EntryPoint = HTTP, within_s: float = 5.0
    ) -> Answer:
        """What the web server at an address answers for a host; its certificate is not checked.

        Raises TransportError; Denied if TLS fails.
        """
        ...

    def request(
        self,
        method: str,
        host: str,
        path: str,
        *,
        at: str,
        entry: EntryPoint = HTTP,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        within_s: float = 5.0,
    ) -> Response:
        """The whole answer to a request; otherwise as ``get``."""
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
    """Everything that a run may use: the profile and the connections to its cluster."""

    profile: Profile
    shell: Shell
    kube: Kube
    fleet: Fleet
    outside: ExternalClient
