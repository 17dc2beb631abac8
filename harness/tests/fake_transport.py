"""A shell, a fleet, a network and an API that answer from tables and record every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from harness.core.errors import NotFound, NotListening, Refused, TransportError, Unreachable
from harness.transport.protocols import (
    HTTP,
    AnsibleTask,
    Answer,
    Completed,
    Echoed,
    EntryPoint,
    PortScan,
    Response,
)

K = TypeVar("K")
V = TypeVar("V")

ShellAnswer: TypeAlias = "Completed | TransportError | Callable[[Sequence[str], str], Completed]"


class FakeShell:
    """Answers by machine and the command's first word; ``"*"`` stands for every machine.

    An answer may be an error, which is raised, or a function of the command and its input.
    """

    def __init__(self, answers: Mapping[tuple[str, str], ShellAnswer]) -> None:
        self._answers = answers
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Callable[[str], None] | None = None,
    ) -> Completed:
        self.calls.append((machine, tuple(argv)))
        answer = self._answers.get((machine, argv[0])) or self._answers.get(("*", argv[0]))
        if answer is None:
            raise Unreachable(f"{machine}: no answer is prepared for {argv[0]}")
        if isinstance(answer, TransportError):
            raise answer
        done = answer if isinstance(answer, Completed) else answer(argv, stdin)
        if hear:
            for line in done.stdout.splitlines():
                hear(line)
        return done

    def close(self) -> None:
        """Nothing is open."""


class FakeFleet:
    """Machines that all answer from one table, by command.

    ``steps`` maps (machine, whether tasks are only checked) to what they do there; ``applied``
    records the calls.
    """

    def __init__(
        self,
        machines: Sequence[str] = (),
        answers: Mapping[str, Completed | TransportError] | None = None,
        steps: Mapping[tuple[str, bool], Sequence[AnsibleTask] | TransportError] | None = None,
    ) -> None:
        self._machines = machines
        self._answers = answers or {}
        self._steps = steps or {}
        self.applied: list[bool] = []

    def everywhere(
        self, commands: Mapping[str, Sequence[str]], *, within_s: float
    ) -> Mapping[tuple[str, str], Completed | TransportError]:
        return {
            (machine, name): self._answers.get(name, Unreachable(f"{machine}: nothing is prepared"))
            for machine in self._machines
            for name in commands
        }

    def apply(
        self,
        tasks: Sequence[Mapping[str, object]],
        variables: Mapping[str, object],
        *,
        machines: Sequence[str],
        check: bool,
        within_s: float,
    ) -> Mapping[str, Sequence[AnsibleTask] | TransportError]:
        self.applied.append(check)
        nothing = Unreachable("nothing is prepared")
        return {machine: self._steps.get((machine, check), nothing) for machine in machines}


class FakeExternalClient:
    """A network of tables: open ports by address, and the answers.

    ``answers`` maps (address, port) of an exchange to bytes; ``sites`` maps (address, URL) to an
    Answer; ``certificates`` maps (address, host) to a PEM; ``datagrams`` has the replies, by
    address. Each may be an error instead. An address in no table does not listen.
    """

    def __init__(
        self,
        ports: Mapping[str, Sequence[int]] | None = None,
        *,
        answers: Mapping[tuple[str, int], bytes | TransportError] | None = None,
        sites: Mapping[tuple[str, str], Answer | TransportError] | None = None,
        certificates: Mapping[tuple[str, str], str | TransportError] | None = None,
        datagrams: Mapping[str, Echoed] | None = None,
    ) -> None:
        self._datagrams = datagrams or {}
        self._ports = ports or {}
        self._answers = answers or {}
        self._sites = sites or {}
        self._certificates = certificates or {}

    def scan_ports(self, address: str, ports: Iterable[int]) -> PortScan:
        asked = set(ports)
        if address not in self._ports:
            return PortScan(open=(), refused=0, silent=len(asked))
        found = tuple(sorted(asked & set(self._ports[address])))
        return PortScan(open=found, refused=len(asked) - len(found), silent=0)

    def send(self, address: str, payloads: Mapping[int, bytes]) -> Echoed:
        return self._datagrams.get(address, Echoed(answered=(), refused=()))

    def exchange(self, address: str, port: int, words: bytes, *, within_s: float = 5.0) -> bytes:
        return _told(self._answers, (address, port))

    def get(
        self, host: str, path: str, *, at: str, entry: EntryPoint = HTTP, within_s: float = 5.0
    ) -> Answer:
        return _told(self._sites, (at, f"{entry.scheme}://{entry.host(host)}{path}"))

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
        answer = self.get(host, path, at=at, entry=entry)
        return Response(answer.status, tuple(answer.headers.items()), answer.body.encode())

    def certificate(
        self,
        host: str,
        *,
        at: str,
        port: int = 443,
        authority: str | None = None,
        within_s: float = 5.0,
    ) -> str:
        return _told(self._certificates, (at, host))


def _told(table: Mapping[K, V | TransportError], key: K) -> V:
    answer = table.get(key, NotListening(f"{key}: nothing is prepared"))
    if isinstance(answer, TransportError):
        raise answer
    return answer


class FakeKube:
    """Answers GETs by path or URL; records changes, or refuses them.

    ``objects`` maps a path to an object, or to an error that is raised. ``asked`` maps a URL, or
    ``"anonymous " + URL``, in the same way; ``in_pods`` maps (pod, first word).
    """

    def __init__(
        self,
        objects: Mapping[str, object] | None = None,
        *,
        asked: Mapping[str, Answer | TransportError] | None = None,
        in_pods: Mapping[tuple[str, str], ShellAnswer] | None = None,
        read_only: bool = False,
    ) -> None:
        self.objects: dict[str, object] = dict(objects or {})
        self._asked = asked or {}
        self._pods = FakeShell(in_pods or {})
        self._read_only = read_only
        self.calls: list[tuple[str, object]] = []

    def get(self, path: str, *, within_s: float = 10.0) -> object:
        return self._answer("GET", path, self.objects)

    def exists(self, path: str, *, within_s: float = 10.0) -> bool:
        try:
            self._answer("EXISTS", path, self.objects)
        except NotFound:
            return False
        return True

    def ask(self, url: str, *, anonymous: bool = False, within_s: float = 5.0) -> Answer:
        answer = self._answer("ASK", f"anonymous {url}" if anonymous else url, self._asked)
        assert isinstance(answer, Answer)
        return answer

    def create(
        self, path: str, manifest: Mapping[str, object], *, within_s: float = 10.0
    ) -> object:
        self._change("POST", path, manifest)
        answer = self.objects.get(f"POST {path}", manifest)
        return answer(manifest) if callable(answer) else answer

    def apply(self, manifest: Mapping[str, object], *, within_s: float = 10.0) -> None:
        metadata = manifest["metadata"]
        assert isinstance(metadata, Mapping)
        self._change("APPLY", f"{manifest['kind']}/{metadata['name']}", manifest)

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        self._change("DELETE", path, None)

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        self.calls.append(("EXEC", (namespace, pod, tuple(argv))))
        return self._pods.run(pod, argv, stdin=stdin)

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
        path = f"log {namespace}/{pod}/{container}{' before' if previous else ''}"
        return str(self._answer("GET", path, self.objects))

    def close(self) -> None:
        """Nothing is open."""

    def _answer(self, verb: str, path: str, table: Mapping[str, object]) -> object:
        self.calls.append((verb, path))
        if path not in table:
            raise NotFound(f"{verb} {path}: the API answered 404: no answer is prepared")
        answer = table[path]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def _change(self, verb: str, what: str, manifest: Mapping[str, object] | None) -> None:
        if self._read_only:
            raise Refused(f"{verb} {what}: this API may only be read")
        self.calls.append((verb, manifest if manifest is not None else what))
