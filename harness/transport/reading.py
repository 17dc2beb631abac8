"""Read-only connections to a cluster, for ``plan``: every call that could change it is refused.

The commands that only read are listed; every other command is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from harness.core.errors import Refused
from harness.transport.protocols import Answer, Completed, Kube, Reach, Shell
from harness.transport.remote_script import PYTHON, RemoteScript

# The first words of commands that only read.
READING: frozenset[tuple[str, ...]] = frozenset(
    {
        ("cat",),
        ("df",),
        ("getfattr",),
        ("grep",),
        ("ip", "-json", "route", "get"),
        ("ip", "-json", "route", "show"),
        ("journalctl", "--quiet", "--output=cat"),
        ("modprobe", "--dry-run"),
        ("nft", "--check"),
        ("nft", "list"),
        ("ping",),
        ("pgrep",),
        ("printenv",),
        ("stat",),
        ("systemctl", "cat"),
        ("systemctl", "is-active"),
        ("systemctl", "list-units"),
        ("systemctl", "show"),
        ("systemd-detect-virt",),
        ("tc", "qdisc", "show"),
        ("test",),
        *(("ceph", *words) for words in (("status",), ("osd", "tree"), ("osd", "dump"))),
        ("ceph", "osd", "perf"),
        ("ceph", "fsid"),
        *(("ceph", *words) for words in (("quorum_status",), ("fs", "status"), ("mds", "stat"))),
    }
)
# These programs can also change things; with these words they only read.
_READING_VERBS = ((), ("list",), ("ask",))


def reading(reach: Reach, scripts: Collection[RemoteScript]) -> Reach:
    """The same connections, read-only; ``scripts`` are programs that only read."""
    shell = ReadingShell(reach.shell, scripts)
    return replace(reach, shell=shell, kube=ReadingKube(reach.kube, shell))


class ReadingShell:
    """Runs commands that only read; Refused for any other."""

    def __init__(self, shell: Shell, scripts: Collection[RemoteScript]) -> None:
        self._shell = shell
        self._programs = frozenset(script.text for script in scripts)

    def run(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
        hear: Callable[[str], None] | None = None,
    ) -> Completed:
        self.must_read(machine, argv, stdin)
        return self._shell.run(machine, argv, stdin=stdin, within_s=within_s, hear=hear)

    def must_read(self, place: str, argv: Sequence[str], stdin: str) -> None:
        """Refused when the command is not one of those that only read."""
        words = tuple(argv)
        if words[:4] == PYTHON and stdin in self._programs and words[4:5] in _READING_VERBS:
            return
        plain = _without_options(words)
        if any(known in (words[: len(known)], plain[: len(known)]) for known in READING):
            return
        raise Refused(f"{place}: `{' '.join(words)[:80]}` is not known to only read")

    def close(self) -> None:
        self._shell.close()


class ReadingKube:
    """Passes reads to the API; Refused for every change."""

    def __init__(self, kube: Kube, shell: ReadingShell) -> None:
        self._kube = kube
        self._shell = shell

    def get(self, path: str, *, within_s: float = 10.0) -> object:
        return self._kube.get(path, within_s=within_s)

    def exists(self, path: str, *, within_s: float = 10.0) -> bool:
        return self._kube.exists(path, within_s=within_s)

    def ask(self, url: str, *, anonymous: bool = False, within_s: float = 5.0) -> Answer:
        return self._kube.ask(url, anonymous=anonymous, within_s=within_s)

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
        return self._kube.log(
            namespace, pod, container, previous=previous, lines=lines, within_s=within_s
        )

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        stdin: str = "",
        within_s: float = 30.0,
    ) -> Completed:
        self._shell.must_read(f"{namespace}/{pod}", argv, stdin)
        return self._kube.exec(namespace, pod, argv, stdin=stdin, within_s=within_s)

    def create(
        self, path: str, manifest: Mapping[str, object], *, within_s: float = 10.0
    ) -> NoReturn:
        raise Refused(f"POST {path}: this API may only be read")

    def apply(self, manifest: Mapping[str, object], *, within_s: float = 10.0) -> NoReturn:
        raise Refused(f"apply {manifest['kind']}: this API may only be read")

    def delete(self, path: str, *, within_s: float = 10.0) -> NoReturn:
        raise Refused(f"DELETE {path}: this API may only be read")

    def close(self) -> None:
        self._kube.close()


def _without_options(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command without its options: ``ceph --connect-timeout 8 status`` asks for the status."""
    plain: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("--connect-timeout", "--format"):
            skip = True
        elif not word.startswith("-"):
            plain.append(word)
    return tuple(plain)
