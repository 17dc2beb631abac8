"""The switch of a profile's databases: both sides behind their connections, and its writers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from harness.core.errors import ConfigError
from harness.facts.switch import BACK, THERE, Switched
from harness.ledger.result import LedgerResult
from harness.ledger.writers import WriterSetup
from harness.ledger.writers.protocol import DatabasePlace
from harness.move.direction import Limits
from harness.move.queues import drained
from harness.move.rehearsal import Rehearsal, remains, removed
from harness.move.side import Address, Side
from harness.probes.databases import place_of, server_of
from harness.probes.queues import queues_of
from harness.settings import Profile
from harness.settings.databases import DatabaseServer, Equality
from harness.settings.switch import Switch
from harness.transport import Reach
from harness.transport.ssh import Tunnels


def declared(profile: Profile) -> tuple[Switch, Equality]:
    """The declared switch, and its pair of servers; ConfigError without one."""
    if profile.switch is None:
        raise ConfigError(
            f"the profile {profile.name} declares no switch",
            remedy="say in `switch:` where each PostgreSQL reaches the other; contabo.yaml "
            "shows how",
        )
    pairs = {it.name: it for it in profile.equality if it.kind == "postgresql"}
    if profile.switch.pair not in pairs:
        raise ConfigError(
            f"`equality:` has no pair {profile.switch.pair!r} of PostgreSQL",
            remedy="correct `switch.pair`",
        )
    if profile.switch.drained and profile.queues is None:
        raise ConfigError(
            "`switch.drained` names queues, and the profile declares no RabbitMQ",
            remedy="declare `queues:`",
        )
    return profile.switch, pairs[profile.switch.pair]


def rehearse(
    reach: Reach,
    *,
    folder: Path,
    run: str,
    seed: int,
    tell: Callable[[str], object],
    hide: Callable[[str], object],
    on_begin: Callable[[], object],
) -> tuple[Switched, Mapping[str, LedgerResult]]:
    """Rehearse the switch there and back; Refused or ConfigError before anything is made.

    ``hide`` gets the passwords; ``on_begin`` is called before anything is made.
    """
    switch, pair = declared(reach.profile)
    with _sides(reach) as (tunnels, source, target):
        for side in (source, target):
            hide(side.server.password)
        rehearsal = Rehearsal(
            source=source,
            target=target,
            places={
                source.name: _place(reach, pair.source, source),
                target.name: _place(reach, pair.target, target),
            },
            limits=Limits(
                step_s=switch.within_s,
                copy_s=switch.copy_min * 60,
                freeze_s=switch.freeze_s,
                transaction_s=switch.transaction_s,
            ),
            stage=WriterSetup(
                run=run,
                seed=seed,
                reach=reach,
                space="",
                tunnels=tunnels,
                services={},
                password="",
            ),
            folder=folder,
            rate_per_s=switch.rate_per_s,
            tell=tell,
            on_begin=on_begin,
            queues=_queues(reach, tunnels, switch),
        )
        return rehearsal.carry_out()


def rehearsal_remains(reach: Reach) -> list[str]:
    """What is there of a rehearsal on both servers, under way or killed; reads only."""
    with _sides(reach) as (_, source, target):
        return remains((source, target))


def remove_rehearsal(reach: Reach) -> list[str]:
    """Remove what a killed rehearsal left on both servers; what could not be removed."""
    with _sides(reach) as (_, source, target):
        return [str(it) for it in removed((source, target))]


@contextmanager
def _sides(reach: Reach) -> Iterator[tuple[Tunnels, Side, Side]]:
    switch, pair = declared(reach.profile)
    with closing(Tunnels(reach.profile.access.ssh, reach.profile.cluster().machines)) as tunnels:
        source, target = (
            Side(name, server_of(reach, tunnels, server), Address(at.host, at.port))
            for name, server, at in (
                ("source", pair.source, switch.source_at),
                ("target", pair.target, switch.target_at),
            )
        )
        with closing(source), closing(target):
            yield tunnels, source, target


def _queues(reach: Reach, tunnels: Tunnels, switch: Switch) -> dict[str, Callable[[], str]]:
    """What waits until the queues of each leg's origin are drained, if some are declared."""
    declared = reach.profile.queues
    if declared is None or not switch.drained:
        return {}
    return {
        leg: partial(
            drained,
            partial(queues_of, reach, tunnels, server),
            switch.drained,
            side=side,
            within_s=switch.drain_min * 60,
        )
        for leg, side, server in (
            (THERE, "source", declared.source),
            (BACK, "target", declared.target),
        )
    }


def _place(reach: Reach, server: DatabaseServer, side: Side) -> DatabasePlace:
    """Where the ledger's writers reach a side; a Service is reached through every machine."""
    machine, address = place_of(reach, server)
    return DatabasePlace(
        address=address,
        port=server.port,
        user=server.user,
        password=side.server.password,
        name="",
        machine=None if server.service else machine,
    )
