"""The load generator in figures, side by side: ``python -m harness.tests.bench.load [SECONDS]``.

Everything is measured in one run, on one computer, against one server on loopback; what else runs
there falls on all of it. Printed as JSON:

- ``stall``: a constant rate to a server that stops for five seconds. The true p99 follows from the
  plan alone: of the requests due during the stall, the one due s seconds before its end waits s
  seconds. Beside the generator's p99: plain Locust (FastHttpUser, constant throughput), whose users
  send nothing while they wait (coordinated omission); and wrk, which adds what it did not send.
- ``rate_per_core``: answered requests per second of processor time, the median of short runs in
  turn: of the generator, of plain Locust with a new connection for each request, as the generator
  has, and of plain Locust that keeps its connections.
- ``shared``: how many requests begin on time for each second of a processor that the busiest
  process uses: of one and of two processes, and of one and of two workers, at 200/s each. That is
  what they can send where each has a processor of its own.
- ``offered``: the part of the planned requests that began on time, at rates up to the limit.
- ``memory_mib``: the generator's resident memory at ten moments of SECONDS (by default 60).

It is no test: a loaded machine would fail it for no reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from math import ceil, inf
from pathlib import Path
from statistics import median
from typing import Any

from harness.load.results import Results
from harness.load.running import Running, offering
from harness.load.spec import LoadSpec, Page, Plan, Stage, Workers
from harness.tests.visited import working

_HERE = "127.0.0.1"
_PER_S, _LASTS_S, _STALL_AT_S, _STALL_S = 50.0, 60.0, 20.0, 5.0
_RATES = (50.0, 100.0, 200.0)
_TURNS, _TURN_S = 5, 6.0

SERVER = """
import gevent.monkey; gevent.monkey.patch_all()
import sys, gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer
open_ = Event(); open_.set()
def app(environ, start):
    if environ["PATH_INFO"] == "/stall":
        open_.clear()
        gevent.spawn_later(float(environ["QUERY_STRING"]), open_.set)
    open_.wait()
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
server = WSGIServer(("127.0.0.1", 0), app, log=None, backlog=4096)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
"""

LOCUST = """
import contextlib, json, os, sys, time
import gevent
from locust import constant_throughput, task
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment
with contextlib.suppress(OSError):  # as the generator does
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
port, users, per_s, lasts_s, closes = sys.argv[1:]
users, per_s, lasts_s = int(users), float(per_s), float(lasts_s)
class Plain(FastHttpUser):
    host = f"http://127.0.0.1:{port}"
    if per_s:
        wait_time = constant_throughput(per_s / users)
    @task
    def visit(self):
        self.client.get("/", headers={"Connection": "close"} if closes == "close" else {})
environment = Environment(user_classes=[Plain])
runner = environment.create_local_runner()
runner.start(users, spawn_rate=users)
gevent.sleep(1.0)
environment.stats.reset_all()
print("begun", flush=True)
busy = time.process_time()
gevent.sleep(lasts_s)
busy = time.process_time() - busy
total = environment.stats.total
print(json.dumps({"requests": total.num_requests, "busy_s": busy,
    "p99_ms": total.get_response_time_percentile(0.99), "max_ms": total.max_response_time}))
runner.quit()
"""


@contextmanager
def server() -> Iterator[int]:
    """A server that answers at once, on loopback; its port."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def spec(port: int, per_s: float, lasts_s: float, timeout_s: float = 10.0) -> LoadSpec:
    return LoadSpec(
        addresses=[_HERE],
        pages=[Page("bench.example", "/")],
        authority=None,
        plan=Plan(0.0, (Stage("steady", per_s, per_s, lasts_s),)),
        timeout_s=timeout_s,
        lasts_s=lasts_s + 60,
        scheme="http",
        port=port,
    )


def generated(order: LoadSpec, watch: Callable[[Running], object] = lambda _: None) -> Results:
    """The results of the generator; ``watch`` begins with the first answer."""
    with (
        tempfile.TemporaryDirectory() as folder,
        offering(order, Path(folder, "load")) as load,
    ):
        thread = threading.Thread(target=watch, args=[load])
        thread.start()
        load.finish()
        results = load.results()
        thread.join()
    assert results is not None
    return results


def stall_soon(port: int, after_s: float) -> None:
    """Let the server stop, after so long."""

    def stop() -> None:
        subprocess.run(
            ["curl", "-s", f"http://{_HERE}:{port}/stall?{_STALL_S}"], check=True, stdout=-3
        )

    threading.Timer(after_s, stop).start()


def true_p99_ms() -> float:
    """By the plan alone: the slowest 1 % of the requests are those due first in the stall."""
    requests = ceil(_PER_S * _LASTS_S)
    return 1000 * (_STALL_S - (requests - ceil(0.99 * requests)) / _PER_S)


def plain(port: int, users: int, per_s: float, lasts_s: float, closes: str, *, stalls: bool) -> Any:
    words = [str(port), str(users), str(per_s), str(lasts_s), closes]
    with subprocess.Popen(
        [sys.executable, "-c", LOCUST, *words], stdout=subprocess.PIPE, stderr=-3, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if stalls:
            stall_soon(port, _STALL_AT_S)
        return json.loads(process.stdout.readline())


def wrk(port: int) -> float | None:
    """The p99 that wrk tells of the same stall, in milliseconds; None without wrk."""
    program = shutil.which("wrk")
    if program is None:
        return None
    stall_soon(port, _STALL_AT_S)
    words = ["-t1", "-c2", f"-d{_LASTS_S:g}s", "--latency", "--timeout", "10s"]
    done = subprocess.run(
        [program, *words, f"http://{_HERE}:{port}/"], capture_output=True, text=True, check=True
    )
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert found is not None, done.stdout
    return round(float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]], 3)


def stall() -> dict[str, object]:
    with server() as port:
        results = generated(spec(port, _PER_S, _LASTS_S), lambda _: stall_soon(port, _STALL_AT_S))
        seen = results.cut(results.began, inf).seen.quantile_ms(0.99)
        locust = plain(port, 10, _PER_S, _LASTS_S, "keep", stalls=True)
        other = wrk(port)
    true = true_p99_ms()
    assert seen is not None
    return {
        "true_p99_ms": true,
        "generator_p99_ms": seen,
        "generator_off_percent": round(100 * (seen - true) / true, 2),
        "plain_locust_p99_ms": locust["p99_ms"],
        "wrk_p99_ms": other,
    }


def rate_per_core() -> dict[str, object]:
    """Short runs in turn, at the same priority: what else runs falls on all of them alike."""
    seen: dict[str, list[float]] = {}
    with server() as port:
        for _ in range(_TURNS):
            seen.setdefault("generator", []).append(_generator_rate(port))
            for closes, name in (("close", "plain, closing"), ("keep", "plain, keeping")):
                one = plain(port, 200, _RATES[-1], _TURN_S, closes, stalls=False)
                seen.setdefault(name, []).append(one["requests"] / one["busy_s"])
    told: dict[str, object] = {name: round(median(those), 1) for name, those in seen.items()}
    return told | {"of plain": round(median(seen["generator"]) / median(seen["plain, closing"]), 2)}


def _generator_rate(port: int) -> float:
    spent: list[tuple[float, float]] = []  # when, and seconds of a processor until then
    order = spec(port, _RATES[-1], _TURN_S + 3.0)
    results = generated(order, lambda load: spent.extend(_spent(load)))
    (begin, before), (end, after) = spent
    return results.cut(begin, end).seen.answered / (after - before)


def _spent(load: Running) -> Iterator[tuple[float, float]]:
    """The generator's processor time soon after its first answer, and later."""
    for wait_s in (1.5, _TURN_S):
        threading.Event().wait(wait_s)
        stat = Path(f"/proc/{load._process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[11]) + int(stat[12])
        yield time.monotonic(), ticks / os.sysconf("SC_CLK_TCK")


def shared() -> dict[str, object]:
    """The load of one and of two processes, and of one and of two workers, at the same share."""
    told: dict[str, object] = {}
    with server() as port, socket.create_server((_HERE, 0)) as free:
        master = Workers(1, _HERE, free.getsockname()[1])
        free.close()
        for kind in ("process", "worker"):
            rates = []
            for many in (1, 2):
                order = replace(spec(port, _RATES[-1] * many, 15.0), processes=many)
                if kind == "worker":
                    order = replace(order, workers=master._replace(processes=many))
                with working(order, many) if kind == "worker" else nullcontext():
                    results = generated(order)
                cut = results.cut(results.began, inf)
                rates.append(cut.seen.on_time / (results.busy_s or inf))
                told[f"{many} {kind}, per second of the busiest"] = round(rates[-1], 1)
            told[f"two of one {kind}"] = round(rates[1] / rates[0], 2)
    return told


def offered() -> dict[str, object]:
    told: dict[str, object] = {}
    with server() as port:
        for per_s in _RATES:
            results = generated(spec(port, per_s, 15.0))
            cut = results.cut(results.began, inf)
            told[f"{per_s:g}/s"] = {
                "on_time_percent": round(100 * cut.seen.on_time / cut.planned, 2),
                "busy_percent": round(results.busy_percent or 0.0, 1),
            }
    return told


def memory(lasts_s: float) -> list[float]:
    """The resident memory of the generator at ten moments, in MiB."""
    seen: list[float] = []

    def watch(load: Running) -> None:
        statm = Path(f"/proc/{load._process.pid}/statm")
        ended = threading.Event()
        for _ in range(10):
            ended.wait(lasts_s / 11)
            pages = int(statm.read_text().split()[1])
            seen.append(round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1))

    with server() as port:
        generated(spec(port, _RATES[0], lasts_s), watch)
    return seen


def main() -> None:
    lasts_s = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    began = time.monotonic()
    figures: dict[str, object] = {"processors": os.cpu_count()}
    for name, measure in (
        ("stall", stall),
        ("rate_per_core", rate_per_core),
        ("shared", shared),
        ("offered", offered),
        ("memory_mib", lambda: memory(lasts_s)),
    ):
        figures[f"load average before {name}"] = os.getloadavg()[0]
        figures[name] = measure()
    figures["took_s"] = round(time.monotonic() - began)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
