"""The databases of the old and the new platform, compared row by row through SSH tunnels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import ClassVar

from harness.backup.equality.compare import compared
from harness.backup.equality.mariadb import compare as mariadb
from harness.backup.equality.mariadb.session import Server as MariaDb
from harness.backup.equality.session import Server
from harness.core.errors import ConfigError, NotProven
from harness.core.model import JSON
from harness.facts.databases import DATABASES, Compared
from harness.facts.schema import Unknown, attempt, dump
from harness.probes.probe import Timing
from harness.settings.databases import DatabaseServer, Equality, Place
from harness.transport import Reach
from harness.transport.objects import must
from harness.transport.ssh import Tunnels

_EVERY = "every database"


class Databases:
    """Compares every database of both sides; reads only."""

    name: ClassVar[str] = DATABASES.name
    sentence: ClassVar[str] = "every database of the old and the new platform"
    # It reads every row, on machines whose speed other probes measure.
    timing: ClassVar[Timing] = Timing.ALONE
    within_s: ClassVar[float] = 12 * 3600.0

    def targets(self, reach: Reach) -> Sequence[str]:
        return [reach.profile.name]

    def observe(self, reach: Reach, target: str) -> JSON:
        return dump(compare(reach))


def compare(
    reach: Reach, databases: Collection[str] = (), tell: Callable[[str], object] = lambda _: None
) -> dict[str, Compared]:
    """Compare the declared pairs of servers, or some databases of them by their full names.

    A pair that cannot be asked is Unknown. NotProven when the profile declares no pair, ConfigError
    when a password cannot be read.
    """
    if not reach.profile.equality:
        raise NotProven("the profile declares no databases", remedy="declare `equality:`")
    chosen = list(_chosen(reach.profile.equality, databases))
    for side in (it for pair, _ in chosen for it in (pair.source, pair.target)):
        password_of(side.user, side.password_file)
    found: dict[str, Compared] = {}
    with closing(Tunnels(reach.profile.access.ssh, reach.profile.cluster().machines)) as tunnels:
        for pair, names in chosen:
            seen = attempt(partial(_compared, reach, tunnels, pair, names, tell))
            if isinstance(seen, Unknown):
                found |= {pair.full_name(name): seen for name in names or (_EVERY,)}
            else:
                found |= {pair.full_name(name): it for name, it in seen.value.items()}
    return found


def _chosen(
    pairs: Sequence[Equality], databases: Collection[str]
) -> Iterator[tuple[Equality, tuple[str, ...]]]:
    """The pairs to compare, each with the names of its databases; none stands for all."""
    named = {f"{it.name}/" for it in pairs if it.name}
    for pair in pairs:
        if not databases:
            yield pair, pair.databases
            continue
        prefix = pair.full_name("")
        others = tuple(named - {prefix})
        mine = (it for it in databases if it.startswith(prefix) and not it.startswith(others))
        if chosen := tuple(it.removeprefix(prefix) for it in mine):
            yield pair, chosen


def _compared(
    reach: Reach,
    tunnels: Tunnels,
    pair: Equality,
    databases: Collection[str],
    tell: Callable[[str], object],
) -> dict[str, Compared]:
    if pair.kind == "mariadb":
        one, other = (mariadb_of(reach, tunnels, it) for it in (pair.source, pair.target))
        return mariadb.compared(one, other, databases, tell=tell)
    source, target = (server_of(reach, tunnels, it) for it in (pair.source, pair.target))
    return compared(source, target, databases, tell=tell)


def server_of(reach: Reach, tunnels: Tunnels, declared: DatabaseServer) -> Server:
    """A declared PostgreSQL behind a tunnel; ConfigError if its password cannot be read."""
    password = password_of(declared.user, declared.password_file)
    socket = _socket(reach, tunnels, declared)
    return Server(str(socket.parent), declared.port, declared.user, password)


def mariadb_of(reach: Reach, tunnels: Tunnels, declared: DatabaseServer) -> MariaDb:
    """A declared MariaDB behind a tunnel; ConfigError if its password cannot be read."""
    password = password_of(declared.user, declared.password_file)
    return MariaDb(str(_socket(reach, tunnels, declared)), declared.user, password)


def _socket(reach: Reach, tunnels: Tunnels, declared: DatabaseServer) -> Path:
    """The socket file of a tunnel to a server."""
    return tunnels.unix_forward(*place_of(reach, declared), declared.port)


def place_of(reach: Reach, declared: Place) -> tuple[str, str]:
    """A machine, and the address at which it reaches a server."""
    if declared.service is None:
        assert declared.machine is not None
        return declared.machine, str(declared.address)
    space, _, name = declared.service.partition("/")
    found = reach.kube.get(f"/api/v1/namespaces/{space}/services/{name}")
    return reach.profile.cluster().servers[0].name, must(found, "spec", "clusterIP")


def password_of(user: str, file: Path) -> str:
    """What a password file holds; ConfigError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"cannot read the password of {user}: {error}",
            remedy="give `password_file:` a file with the password alone",
        ) from error
