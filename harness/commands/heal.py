"""``./cutover heal [RUN]``: undo what an interrupted run left, from journals and on machines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.checks import CHECKS
from harness.commands.output import AsJson, Cluster, say, say_json, say_progress
from harness.core.errors import ConfigError, Refused, in_a_line
from harness.core.model import Exit
from harness.drill.recovery import (
    RecoveryResult,
    recover_from_journal,
    recover_leftovers,
    remove_made,
    sweep_folders,
    sweep_namespaces,
    sweep_rehearsal,
)
from harness.gate import RunState
from harness.record.bundle import Signer, pack
from harness.record.history import run_folder
from harness.record.journal import Journal, JournalReader, Record
from harness.record.records import FaultEvent, Kind, Made
from harness.record.redaction import Redactor, secrets_of
from harness.report import draw
from harness.settings import ROOT, Profile, load_profile
from harness.transport import Reach, connect

# Older runs are read only when they are named.
_NEWEST = 20


def heal(
    run: Annotated[
        str | None,
        typer.Argument(help="A run; by default every one that left a fault.", show_default=False),
    ] = None,
    cluster: Cluster = "lab",
    removed: Annotated[
        list[str] | None,
        typer.Option(
            help="What a killed run made and is gone: a customer, writes, or dump.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Undo every fault that is still there: from the journals, and from traces on the machines.

    Also removes what killed restores and rehearsals left at the databases, the namespaces that
    killed runs left, with their claims and volumes, and the files of killed scripts on machines;
    those of active runs stay. A rehearsal is found by its names, also without its journal. A
    killed journey's customer, and what requests of W7-PARITY made, is removed as far as that needs
    no password. So are the writes of a killed shift, with the log-in that the profile declares.
    The rest is named, until --removed says that it is gone.

    Example: ./cutover heal --cluster contabo

    May be run at any time, any number of times, and while a drill runs: it ends that drill's fault.

    Ends with 0 (nothing is left), 2 (wrong usage) or 5 (something is left, or a machine or a
    database could not be asked).
    """
    profile = load_profile(cluster)
    named = None if run is None else run_folder(ROOT / "reports", run)
    unread: list[str] = []
    with connect(profile) as reach:
        recovered = [*_recover_all(reach, named, unread, removed or ())]
    left = [it for it in recovered if it.trouble]
    status = Exit.UNHEALED if left else Exit.GO
    if as_json:
        told = [asdict(it) for it in recovered]
        say_json({"schema": 1, "mended": told, "unread": unread, "exit": int(status)})
    else:
        for words in unread:
            say(f"left out: {words}")
        for it in recovered:
            say(f"{it.place:<14} {it.what}: {it.trouble or 'taken back'}")
        nothing = "nothing else is left" if unread else "nothing is left"
        again = "something is left or unknown: put right what these lines name, then run this again"
        say(again if left else nothing)
    raise typer.Exit(int(status))


def _recover_all(
    reach: Reach, named: Path | None, unread: list[str], by_hand: Collection[str]
) -> Iterator[RecoveryResult]:
    """Undo what the named run left, or the newest ones, and what is found without a journal.

    What cannot be read is listed in ``unread``.
    """
    # Traces on machines first: a broken journal must not prevent their undo.
    yield from recover_leftovers(reach)
    for folder in _newest() if named is None else [named]:
        try:
            yield from _recover_run(folder, reach, unread, by_hand)
        except Exception as error:  # one bad journal does not stop the others
            unread.append(f"{folder.name}: {in_a_line(error)}")
    if named is not None:
        for words in unread:
            yield RecoveryResult(what="its journal", place=named.name, trouble=words)
    yield from sweep_folders(reach)
    try:
        yield from sweep_rehearsal(reach, "heal", say_progress)
    except Refused as error:  # a rehearsal may be under way: nothing is left by it
        unread.append(f"the databases: {in_a_line(error)}")
    # Last: checking that their owners are gone takes a while.
    yield from sweep_namespaces(reach, say_progress)


def _newest() -> Sequence[Path]:
    """The newest runs, on any cluster."""
    found = sorted((ROOT / "reports").glob("*/journal.jsonl"), reverse=True)
    return [path.parent for path in found if not path.parent.is_symlink()][:_NEWEST]


def _state_of(records: Iterable[Record], profile: Profile) -> RunState | None:
    """What a run left; None for a run on another cluster.

    NotProven when its journal cannot be read.
    """
    run_state = RunState.of(records, CHECKS)
    return run_state if run_state.manifest.cluster.name == profile.name else None


def _journal(journal: Journal, it: RecoveryResult, made: Mapping[str, Made]) -> None:
    """Record that a leftover of the run is gone."""
    if it.made:
        gone = Made(event="removed", kind=made[it.made]["kind"], name=made[it.made]["name"])
        journal.append(Kind.MADE, it.made, {**gone, "by": "heal"})
        return
    journal.append(Kind.FAULT, it.fault, FaultEvent(event="healed", by="heal"))
    journal.append(Kind.FAULT, it.fault, FaultEvent(event="heal-proved", by="heal"))


def _recover_run(
    folder: Path, reach: Reach, unread: list[str], by_hand: Collection[str]
) -> Sequence[RecoveryResult]:
    """Undo what one run left, record it in its journal, and draw its reports again.

    An active run records its fault's end itself. Reports that cannot be drawn are listed in
    ``unread``; the undo still counts.
    """
    before = _state_of(JournalReader(folder), reach.profile)
    if before is None or not (before.left or before.made):
        return []
    signer = Signer.load(None)
    redactor = Redactor(secrets_of(reach.profile) | signer.secrets, signer.derived("redaction"))
    found: list[RunState] = []
    try:
        journal = Journal.reopen(
            folder, redactor, accept=lambda records: found.append(RunState.of(records, CHECKS))
        )
    except ConfigError:
        return []
    with journal:
        (run_state,) = found
        recovered = [*recover_from_journal(reach, run_state.left)]
        made = run_state.made
        there = {what: it for what, it in made.items() if it["name"] not in by_hand}
        recovered += [
            RecoveryResult(what=f"the {what}", place="platform", made=what)
            for what in made.keys() - there.keys()
        ]
        recovered += remove_made(reach, there, f"heal {folder.name}", say_progress)
        for it in recovered:
            if it.trouble is None:
                _journal(journal, it, run_state.made)
    try:
        draw(folder, CHECKS)
        pack(folder, signer)
    except Exception as error:
        unread.append(f"{folder.name}: its reports cannot be drawn again: {in_a_line(error)}")
    return recovered
