"""Each machine's disk speed at the time of its baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from harness.bench.bench import Result, Through
from harness.settings import Frozen, parse

_HEAD = """\
# How fast the disks commit 4 KiB writes, as `./cutover bench osd --baseline` measured them.
"""


# Noise as wide as the whole rate: no measured rate could be too slow.
NO_LIMIT_PERCENT = 100.0


class Rate(Frozen):
    """Committed writes a second, and the spread of the runs in percent of their median."""

    iops: float = Field(gt=0)
    spread_percent: float = Field(default=0.0, ge=0)


class Known(Rate):
    """The rates of one machine's disk, and its commits through Ceph if they were measured."""

    spread_percent: float = Field(ge=0)
    through: Mapping[Through, Rate] = {}

    @property
    def noise_percent(self) -> float:
        """How far below the median a run may be by chance: half of the runs' spread."""
        return noise_percent(self.spread_percent)


def noise_percent(spread_percent: float) -> float:
    """The noise to one side of a median, for runs with this spread."""
    return spread_percent / 2


class Baseline(Frozen):
    """Committed writes a second by machine; ``measured`` is the kind, and kinds do not compare."""

    measured: Literal["raw", "osd"]
    machines: Mapping[str, Known]


def read(path: Path) -> Baseline | None:
    """The baseline; None when there is none yet; ConfigError when it is not valid."""
    return parse(Baseline, path) if path.exists() else None


def useless(results: Sequence[Result]) -> Sequence[str]:
    """Machines whose runs differ too much for a comparison, in words."""
    return [
        f"{it.machine}: its runs lay {noise:.0f} % to either side"
        for it in results
        if (noise := noise_percent(round(it.spread_percent, 1))) >= NO_LIMIT_PERCENT
    ]


def write(path: Path, results: Sequence[Result], measured: Literal["raw", "osd"]) -> None:
    """Replace the baseline; a reader sees the old one or the new one."""
    machines = {
        it.machine: {
            **_rate(it.iops, it.spread_percent),
            "through": {
                kind: _rate(told.iops, told.spread_percent)
                for kind, told in it.through.items()
                if told.iops
            },
        }
        for it in results
        if it.iops
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    document = {"measured": measured, "machines": machines}
    new.write_text(_HEAD + yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    new.replace(path)


def _rate(iops: float, spread_percent: float) -> dict[str, float]:
    return {"iops": round(iops, 2), "spread_percent": round(spread_percent, 1)}


def below_percent(iops: float, baseline: float) -> float:
    """How far a measured rate is below the baseline; 0 when it is as fast or faster."""
    return max(0.0, 100 * (baseline - iops) / baseline)
