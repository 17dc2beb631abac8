"""The move of a profile's database by a dump: both servers, and the place of its programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial

from harness.backup.restore.side import PodShell
from harness.core.errors import ConfigError
from harness.drill.restore import side_at
from harness.facts.dump import Dumped
from harness.move.dump import Move, carry_out, folder_removed, remains, removed
from harness.move.side import Address, Side
from harness.probes.databases import server_of
from harness.settings import Profile
from harness.settings.databases import Equality
from harness.settings.dump import Dump
from harness.transport import Reach
from harness.transport.ssh import Tunnels


def declared(profile: Profile) -> tuple[Dump, Equality]:
    """The declared dump, and its pair of servers; ConfigError without one."""
    if profile.dump is None:
        raise ConfigError(
            f"the profile {profile.name} declares no dump",
            remedy="say in `dump:` which database is dumped, and where; contabo.yaml shows how",
        )
    for pair in profile.equality:
        if (pair.kind, pair.name) == ("postgresql", profile.dump.pair):
            return profile.dump, pair
    raise ConfigError(
        f"`equality:` has no pair {profile.dump.pair!r} of PostgreSQL",
        remedy="correct `dump.pair`",
    )


def rehearse(
    reach: Reach,
    tell: Callable[[str], object],
    hide: Callable[[str], object],
    on_begin: Callable[[str, str], object],
) -> Dumped:
    """Dump, restore and compare; Refused or ConfigError before anything is made.

    ``hide`` gets the passwords; ``on_begin`` gets the place and the folder of the dump before
    anything is made.
    """
    with _move(reach, tell) as move:
        for side in (move.source, move.target):
            hide(side.server.password)
        begins = partial(on_begin, move.place.place, move.folder)
        return carry_out(replace(move, on_begin=begins))


def dump_remains(reach: Reach) -> list[str]:
    """What is there of such a move, under way or killed; reads only."""
    with _move(reach) as move:
        return remains(move)


def remove_dump(reach: Reach) -> list[str]:
    """Remove what a killed move left; what could not be removed."""
    with _move(reach) as move:
        return removed(move)


def remove_folder(reach: Reach, place: str, folder: str) -> list[str]:
    """Remove a dump from the machine or the pod that its record names; why it is still there."""
    return folder_removed(PodShell(reach.kube) if "/" in place else reach.shell, place, folder)


@contextmanager
def _move(reach: Reach, tell: Callable[[str], object] = str) -> Iterator[Move]:
    dump, pair = declared(reach.profile)
    ssh, machines = reach.profile.access.ssh, reach.profile.cluster().machines
    with closing(Tunnels(ssh, machines)) as tunnels:
        sides = []
        for name, server, at in (
            ("source", pair.source, dump.source_at),
            ("target", pair.target, dump.target_at),
        ):
            address = Address(at.host, at.port)
            sides.append(Side(name, server_of(reach, tunnels, server), address))
        source, target = sides
        with closing(source), closing(target):
            yield Move(
                database=dump.database,
                source=source,
                target=target,
                place=side_at(reach, dump, target.server, dump.folder),
                pg_dump=dump.pg_dump,
                pg_restore=dump.pg_restore,
                within_s=dump.within_min * 60,
                room=dump.room,
                tell=tell,
            )
