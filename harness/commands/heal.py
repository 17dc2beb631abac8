"""``./cutover heal [RUN]``: undo what an interrupted run left, from journals and on machines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.checks import CHECKS
from harness.commands.output import AsJson, Cluster, say, say_json
from harness.core.errors import ConfigError, HarnessError
from harness.core.model import Exit
from harness.drill.recovery import (
    RecoveryResult,
    recover_from_journal,
    recover_leftovers,
    sweep_folders,
    sweep_namespaces,
)
from harness.gate import RunState
from harness.record.bundle import Signer, pack
from harness.record.history import run_folder
from harness.record.journal import Journal, JournalReader, Record
from harness.record.records import FaultEvent, Kind
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
    as_json: AsJson = False,
) -> None:
    """Undo every fault that is still there: from the journals, and from traces on the machines.

    Also removes the namespaces that killed runs left, with their claims and volumes, and the files
    of killed scripts on machines; those of active runs stay.

    Example: ./cutover heal --cluster contabo

    May be run at any time, any number of times, and while a drill runs: it ends that drill's fault.

    Ends with 0 (nothing is left), 2 (wrong usage) or 5 (something is left, or a machine could not
    be asked).
    """
    profile = load_profile(cluster)
    named = None if run is None else run_folder(ROOT / "reports", run)
    unread: list[str] = []
    with connect(profile) as reach:
        # Traces on machines first: a broken journal must not prevent their undo.
        mended = [*recover_leftovers(reach)]
        for folder in _newest() if named is None else [named]:
            try:
                mended += _mend_run(folder, profile, reach, unread)
            except Exception as error:  # one bad journal does not stop the others
                unread.append(f"{folder.name}: {_in_words(error)}")
        mended += sweep_folders(reach)
        # Last: checking that their owners are gone takes a while.
        mended += sweep_namespaces(reach, _said)
    if named is not None:
        mended += [
            RecoveryResult(what="its journal", place=named.name, trouble=it) for it in unread
        ]
    left = [it for it in mended if it.trouble]
    status = Exit.UNHEALED if left else Exit.GO
    if as_json:
        told = [asdict(it) for it in mended]
        say_json({"schema": 1, "mended": told, "unread": unread, "exit": int(status)})
    else:
        for words in unread:
            say(f"left out: {words}")
        for it in mended:
            say(f"{it.place:<14} {it.what}: {it.trouble or 'taken back'}")
        say("something is left" if left else "nothing is left")
    raise typer.Exit(int(status))


def _said(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _newest() -> Sequence[Path]:
    """The newest runs, on any cluster."""
    found = sorted((ROOT / "reports").glob("*/journal.jsonl"), reverse=True)
    return [path.parent for path in found if not path.parent.is_symlink()][:_NEWEST]


def _left(folder: Path, profile: Profile) -> Mapping[str, FaultEvent]:
    """The faults of a run that are not known to be gone; none of another cluster's run.

    NotProven when its journal cannot be read.
    """
    return _left_of(JournalReader(folder), profile)


def _left_of(records: Iterable[Record], profile: Profile) -> Mapping[str, FaultEvent]:
    run_state = RunState.of(records, CHECKS)
    return run_state.left if run_state.manifest.cluster.name == profile.name else {}


def _in_words(error: Exception) -> str:
    said = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    return said.partition("\n")[0]


def _mend_run(
    folder: Path, profile: Profile, reach: Reach, unread: list[str]
) -> Sequence[RecoveryResult]:
    """Undo what one run left, record it in its journal, and draw its reports again.

    An active run records its fault's end itself. Reports that cannot be drawn are listed in
    ``unread``; the undo still counts.
    """
    if not _left(folder, profile):
        return []
    signer = Signer.load(None)
    redactor = Redactor(secrets_of(profile) | signer.secrets, signer.derived("redaction"))
    left: dict[str, FaultEvent] = {}
    try:
        journal = Journal.reopen(
            folder, redactor, accept=lambda records: left.update(_left_of(records, profile))
        )
    except ConfigError:
        return []
    with journal:
        mended = [*recover_from_journal(reach, left)]
        for it in mended:
            if it.trouble is None:
                journal.append(Kind.FAULT, it.fault, FaultEvent(event="healed", by="heal"))
                journal.append(Kind.FAULT, it.fault, FaultEvent(event="heal-proved", by="heal"))
    try:
        draw(folder, CHECKS)
        pack(folder, signer)
    except Exception as error:
        unread.append(f"{folder.name}: its reports cannot be drawn again: {_in_words(error)}")
    return mended
