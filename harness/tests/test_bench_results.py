"""fio's output as numbers: recorded from fio 3.33, and what must never be believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.bench import job_file
from harness.bench.results import Latencies, merged, parse, percentile
from harness.bench.scripts.guard_script import DEVICE, FILE
from harness.core.errors import ConfigError, NotProven
from harness.facts.schema import read
from harness.settings.bench import JobSet, load_jobs

QUICK = load_jobs("quick")
TEXT = (Path(__file__).parent / "recorded/fio_quick.json").read_text()
BINS = st.dictionaries(st.integers(1, 10**9), st.integers(1, 1000), min_size=1, max_size=8)


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TEXT)
    return found


def entries(name: str) -> list[dict[str, Any]]:
    return [it for it in document()["jobs"] if it["jobname"] == name]


def bins_of(found: dict[str, Any]) -> Mapping[int, int]:
    return read(Latencies, found).bins


def test_our_percentiles_equal_those_that_fio_counted_itself() -> None:
    compared = 0
    for entry in document()["jobs"]:
        for found in (entry["sync"]["lat_ns"], entry["read"]["clat_ns"], entry["write"]["clat_ns"]):
            for share, latency in found.get("percentile", {}).items():
                if found.get("bins"):
                    assert percentile(bins_of(found), float(share) / 100) == latency
                    compared += 1
    assert compared >= 60


def test_every_job_of_the_set_is_measured() -> None:
    found = {it.job: it for it in parse(TEXT, QUICK)}
    assert list(found) == [job.name for job in QUICK.jobs]
    assert all(it.samples > 0 and it.iops > 0 for it in found.values())


def test_what_is_gated_is_the_sync_and_not_the_write_before_it() -> None:
    (commit,) = entries("commit")
    (measured,) = [it for it in parse(TEXT, QUICK) if it.job == "commit"]
    assert measured.p99_ms == commit["sync"]["lat_ns"]["percentile"]["99.000000"] / 1e6
    assert measured.p99_ms != commit["write"]["clat_ns"]["percentile"]["99.000000"] / 1e6


def test_threads_are_merged_by_adding_their_bins() -> None:
    threads = entries("shards")
    (measured,) = [it for it in parse(TEXT, QUICK) if it.job == "shards"]
    assert len(threads) == 8
    assert measured.samples == sum(sum(bins_of(it["sync"]["lat_ns"]).values()) for it in threads)
    assert measured.iops == pytest.approx(sum(it["write"]["iops"] for it in threads))


Damage = Callable[[dict[str, Any]], None]


def _first(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda it: next(entry for entry in it["jobs"] if entry["jobname"] == name)


DAMAGES: list[tuple[str, Damage]] = [
    (
        "sustained: its steady state",
        lambda it: _first("sustained")(it)["steadystate"].update(attained=0),
    ),
    ("sustained: its steady state", lambda it: _first("sustained")(it).pop("steadystate")),
    ("commit: fio's error 5", lambda it: _first("commit")(it).update(error=5)),
    ("commit: it measured no sync", lambda it: _first("commit")(it)["sync"]["lat_ns"].pop("bins")),
    ("read: it measured no read", lambda it: _first("read")(it)["read"]["clat_ns"].update(bins={})),
    ("shards: 7 of 8 threads", lambda it: it["jobs"].remove(_first("shards")(it))),
    ("commit: 0 of 1 threads", lambda it: it["jobs"].remove(_first("commit")(it))),
    ("not understood", lambda it: it.pop("jobs")),
    ("not understood", lambda it: _first("commit")(it).pop("write")),
    ("commit: it measured no sync", lambda it: _first("commit")(it).pop("sync")),
]


@pytest.mark.parametrize(("words", "damage"), DAMAGES)
def test_output_that_proves_nothing_is_said_to(words: str, damage: Damage) -> None:
    found = document()
    damage(found)
    with pytest.raises(NotProven, match=words):
        parse(json.dumps(found), QUICK)


@settings(max_examples=30)
@given(st.text(max_size=20) | st.integers(0, len(TEXT) - 2).map(lambda end: TEXT[:end]))
def test_garbage_and_cut_output_are_not_proven(text: str) -> None:
    with pytest.raises(NotProven):
        parse(text, QUICK)


@settings(max_examples=50)
@given(BINS, st.floats(0.01, 1))
def test_a_percentile_is_the_first_bin_that_reaches_its_share(
    bins: dict[int, int], share: float
) -> None:
    found = percentile(bins, share)
    assert found is not None
    total = sum(bins.values())
    assert sum(count for at, count in bins.items() if at <= found) >= share * total
    assert sum(count for at, count in bins.items() if at < found) < share * total


@settings(max_examples=50)
@given(st.lists(BINS, min_size=1, max_size=4))
def test_no_sample_is_lost_or_invented_by_merging(parts: list[dict[int, int]]) -> None:
    whole = merged(parts)
    assert sum(whole.values()) == sum(sum(it.values()) for it in parts)
    p50s = [percentile(it, 0.5) or 0 for it in parts]
    assert min(p50s) <= (percentile(whole, 0.5) or 0) <= max(p50s)


def test_without_samples_there_is_no_percentile() -> None:
    assert percentile({}, 0.99) is None


@pytest.mark.parametrize("length", ["quick", "full"])
def test_a_job_file_writes_only_where_the_guard_says(length: str) -> None:
    jobs = load_jobs(length)
    lines = job_file(jobs).splitlines()
    assert {it for it in lines if it.startswith("filename=")} == {
        f"filename={DEVICE}",
        f"filename={FILE}",
    }
    assert lines.count("stonewall") == len(jobs.jobs)


WRONG = [
    ({"thread": 1, "filename": "/dev/sda"}, "may not say filename"),
    ({"thread": 1, "exec_prerun": "x"}, "may not say exec_prerun"),
    ({}, "thread: 1 is needed"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_a_job_set_cannot_lead_fio_elsewhere(options: dict[str, Any], words: str) -> None:
    job = {"name": "commit", "measures": "sync", "limit_s": 1, "options": {}}
    with pytest.raises(ValueError, match=words):
        JobSet.model_validate({"schema": 1, "title": "x", "options": options, "jobs": [job]})


def test_a_job_named_as_a_device_is_no_job() -> None:
    job = {"name": "/dev/sda1", "measures": "sync", "limit_s": 1, "options": {}}
    with pytest.raises(ValueError, match="name"):
        JobSet.model_validate({"schema": 1, "title": "x", "options": {"thread": 1}, "jobs": [job]})


def test_a_length_that_does_not_exist_is_a_mistake_of_the_user() -> None:
    with pytest.raises(ConfigError, match="no job set"):
        load_jobs("endless")
