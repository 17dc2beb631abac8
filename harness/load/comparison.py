"""The same load on the old and on the new platform, in alternating runs.

Alternating runs share what changes meanwhile: the time of day, other work on the machines, a full
cache. Once the old platform is gone, its runs come from a file, and share nothing of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import ConfigError, Garbled, NotProven
from harness.facts.loads import Compared, Offered, Recorded
from harness.facts.schema import dump, read
from harness.load.running import offer
from harness.load.spec import LoadSpec, old_spec, staged_spec
from harness.settings import Profile
from harness.settings.loads import LoadBaseline, find_load

Tell = Callable[[str], object]


def compare(name: str, profile: Profile, tell: Tell, confirm: Callable[[], None]) -> Compared:
    """Offer a load to both platforms in turn, the old one first.

    ``confirm`` raises Refused when the old platform may not get a load any more. NotProven when a
    run cannot begin, or the recorded runs are of another load.
    """
    declared = _declared(profile)
    new = staged_spec(find_load(name), profile)
    if name in declared.recorded:
        return _with_recorded(name, declared, new, tell)
    old = old_spec(new, declared)
    runs: list[tuple[Offered, Offered]] = []
    for number in range(1, declared.pairs + 1):
        confirm()
        before = _run(old, f"{name}, pair {number} of {declared.pairs}: the old platform", tell)
        after = _run(new, f"{name}, pair {number} of {declared.pairs}: the new platform", tell)
        runs.append((before, after))
    return Compared(old=tuple(it for it, _ in runs), new=tuple(it for _, it in runs))


def record(name: str, profile: Profile, tell: Tell, confirm: Callable[[], None]) -> Recorded:
    """Offer a load to the old platform alone, for comparisons when it is gone."""
    declared = _declared(profile)
    spec = old_spec(staged_spec(find_load(name), profile), declared)
    runs = []
    for number in range(1, declared.pairs + 1):
        confirm()
        runs.append(_run(spec, f"{name}, run {number} of {declared.pairs}", tell))
    day = datetime.now(UTC).date().isoformat()
    return Recorded(what=spec.what, day=day, runs=tuple(runs))


def write(path: Path, recorded: Recorded) -> None:
    """Write recorded runs; a file that is there is not replaced (FileExistsError)."""
    with path.open("x", encoding="utf-8") as file:
        json.dump(dump(recorded), file, indent=1)
        file.write("\n")


def recorded_in(path: Path) -> Recorded:
    """The recorded runs in a file; ConfigError when it holds none."""
    try:
        return read(Recorded, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, Garbled) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path} holds no recorded runs of a load: {why}",
            remedy="./cutover load NAME --record FILE writes one",
        ) from error


def _with_recorded(name: str, declared: LoadBaseline, new: LoadSpec, tell: Tell) -> Compared:
    found = recorded_in(declared.recorded[name])
    if found.what != new.what:
        raise NotProven(
            f"the old platform got another load on {found.day} ({found.what}), not {new.what}",
            remedy="offer the recorded load, or record the old platform again while it is there",
        )
    times = len(found.runs)
    after = [_run(new, f"{name}, run {it + 1} of {times}", tell) for it in range(times)]
    return Compared(old=found.runs, new=tuple(after), recorded=found.day)


def _declared(profile: Profile) -> LoadBaseline:
    if profile.load_baseline is None:
        raise NotProven(
            "the profile does not say how the old platform is reached",
            remedy="declare `load_baseline:`",
        )
    return profile.load_baseline


def _run(spec: LoadSpec, what: str, tell: Tell) -> Offered:
    tell(what)
    try:
        return offer(spec)
    except NotProven as error:
        raise NotProven(f"{what}: {error}") from error
