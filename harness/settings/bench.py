"""fio's job sets: what a benchmark runs, as data in ``scenarios/bench``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.core.errors import ConfigError
from harness.settings.files import SCENARIOS, Frozen, parse

Option = Annotated[str, Field(pattern=r"^[a-z_]+$")]
# These options lead fio elsewhere than to the guarded device, or start programs.
_FORBIDDEN = {"filename", "directory", "exec_prerun", "exec_postrun", "include", "filename_format"}


class BenchJob(Frozen):
    """One fio job. Its name is a plain word: fio takes a job named as a device for that device.

    ``measures`` names the operation that must have happened at all. A ``steady`` job counts only
    when fio says that its steady state was attained. A ``file`` job writes to a file of the
    system's disk. ``limit_s`` is its longest duration.
    """

    name: Annotated[str, Field(pattern=r"^[a-z]+$")]
    measures: Literal["read", "write", "sync"]
    steady: bool = False
    file: bool = False
    limit_s: float = Field(gt=0)
    options: Mapping[Option, str | int]


class JobSet(Frozen):
    """Jobs that run one after the other, and the options they share."""

    schema_version: Literal[1] = Field(alias="schema")
    title: str
    options: Mapping[Option, str | int]
    jobs: tuple[BenchJob, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _stays_where_it_is_put(self) -> JobSet:
        names = [job.name for job in self.jobs]
        if len(set(names)) < len(names):
            raise ValueError("two jobs have the same name")
        for options in (self.options, *(job.options for job in self.jobs)):
            if wrong := _FORBIDDEN & set(options):
                raise ValueError(f"a job may not say {', '.join(sorted(wrong))}")
        if self.options.get("thread") != 1:
            raise ValueError("options: thread: 1 is needed: fio must be one process")
        return self

    @property
    def limit_s(self) -> float:
        """The longest duration of all jobs together."""
        return sum(job.limit_s for job in self.jobs)


def load_jobs(length: str) -> JobSet:
    """The job set of that length (``quick`` or ``full``); ConfigError when there is none."""
    path: Path = SCENARIOS / f"bench/{length}.yaml"
    if not path.exists():
        known = ", ".join(sorted(it.stem for it in path.parent.glob("*.yaml")))
        raise ConfigError(f"there is no job set {path}", remedy=f"known are: {known}")
    return parse(JobSet, path)
