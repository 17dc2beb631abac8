"""The stages of ``lab up``: their dependencies, parallel runs, and the remaining time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import LabError
from harness.lab import host

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One stage: its name, the stages that it needs, and its usual duration."""

    name: str
    work: Callable[[], object]
    usual_s: float
    needs: tuple[str, ...] = ()


def remaining_s(
    stages: Iterable[Stage],
    done: Iterable[str],
    running: Mapping[str, float],
    usual: Mapping[str, float],
) -> float | None:
    """Seconds left along the longest chain; ``running`` maps a stage to its seconds so far.

    None while a stage of that chain takes longer than usual: its end is unknown.
    """
    left: dict[str, tuple[float, bool]] = dict.fromkeys(done, (0.0, False))
    for stage in stages:  # every stage comes after the stages that it needs
        if stage.name in left:
            continue
        own = usual.get(stage.name, stage.usual_s) - running.get(stage.name, 0.0)
        before, late = max((left[need] for need in stage.needs), default=(0.0, False))
        left[stage.name] = (max(own, 0.0) + before, late or own < 0)
    longest, late = max(left.values(), default=(0.0, False))
    return None if late else longest


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextmanager
def ending_commands() -> Iterator[None]:
    """If the body is interrupted, end the commands that its threads wait for."""
    try:
        yield
    except BaseException:
        host.interrupt()
        raise


class Runner:
    """Runs stages, stores how long each took, and shows the progress."""

    def __init__(self, times: Path, progress: Progress) -> None:
        self._times = times
        self._progress = progress
        self._began = time.monotonic()
        self._usual: dict[str, float] = {}
        if times.exists():
            self._usual = {str(k): float(v) for k, v in json.loads(times.read_text()).items()}

    def run(self, stages: Sequence[Stage]) -> None:
        """Run all; the first failure stops new stages from starting and is raised at the end."""
        waiting = {stage.name: stage for stage in stages}
        started: dict[str, float] = {}
        running: dict[Future[object], Stage] = {}
        done: set[str] = set()
        failure: BaseException | None = None
        with ThreadPoolExecutor(max_workers=len(stages) or 1) as pool, ending_commands():
            while waiting or running:
                for stage in list(waiting.values()):
                    if failure is None and all(need in done for need in stage.needs):
                        started[stage.name] = time.monotonic()
                        running[pool.submit(stage.work)] = waiting.pop(stage.name)
                if not running:
                    break
                finished, _ = wait(running, timeout=10, return_when=FIRST_COMPLETED)
                for future in finished:
                    stage = running.pop(future)
                    error = future.exception()
                    failure = failure or error
                    if error is None:
                        done.add(stage.name)
                        self._remember(stage, time.monotonic() - started[stage.name])
                busy = {s.name: time.monotonic() - started[s.name] for s in running.values()}
                if busy:
                    self._tell(stages, done, busy)
        if failure is not None:
            raise failure
        if waiting:
            raise LabError(f"stages that wait for each other: {', '.join(waiting)}")

    def _remember(self, stage: Stage, took_s: float) -> None:
        self._progress(
            f"{clock(time.monotonic() - self._began):>6}  done     {stage.name} ({took_s:.0f} s)"
        )
        self._usual[stage.name] = took_s
        self._times.parent.mkdir(parents=True, exist_ok=True)
        self._times.write_text(json.dumps(self._usual, indent=1, sort_keys=True))

    def _tell(self, stages: Sequence[Stage], done: set[str], busy: Mapping[str, float]) -> None:
        names = ", ".join(f"{name} ({clock(so_far_s)})" for name, so_far_s in busy.items())
        left_s = remaining_s(stages, done, busy, self._usual)
        left = "longer than usual" if left_s is None else f"about {clock(left_s)} left"
        self._progress(f"{clock(time.monotonic() - self._began):>6}  running  {names} · {left}")
