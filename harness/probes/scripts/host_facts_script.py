"""Runs on a machine, as ``python3 -``: every host fact in one round trip, as one line of JSON.

Standard library of Python 3.8 only, because the harness installs nothing on a machine to verify.
Each item has its own thread and comes back as ``{"value": …}`` or ``{"error": …}``, so that a hung
mount or a silent etcd costs only that item. Reads only.
"""

# ruff: noqa: E402
from __future__ import annotations

import time

# First of all, because code before this line makes the clock comparison coarser.
STARTED = time.time()

import contextlib
import glob
import http.client
import json
import os
import pwd
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

WITHIN_S = 10.0
COMMAND_S = 5.0
REAP_S = 0.5
TIMED = "etcd round trips"
ROUND_TRIPS = 100
ROUND_TRIPS_S = 3.0
ETCD_METRICS = (
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_server_quota_backend_bytes",
)
SYSTEMD_SYSCTL = "/usr/lib/systemd/systemd-sysctl"
CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def command(*argv: str, fails: bool = True) -> tuple[int, str, str]:
    """Run a command; one that hangs is abandoned, because it may be impossible to kill."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        start_new_session=True,
    )
    try:
        raw, errors = process.communicate(timeout=COMMAND_S)
    except subprocess.TimeoutExpired:
        process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(REAP_S)
        raise TimeoutError(f"{argv[0]}: no answer within {COMMAND_S:g} s") from None
    stdout, stderr = raw.decode(errors="replace"), errors.decode(errors="replace").strip()
    if fails and process.returncode:
        said = stderr or stdout.strip()
        raise RuntimeError(f"{argv[0]}: exit status {process.returncode}: {said}")
    return process.returncode, stdout, stderr


class EtcdWanted(TypedDict):
    """Where this machine's member answers; ``own`` and ``peer`` are files: ca, cert, key."""

    gateways: list[str]
    metrics: list[str]
    client: str
    own: dict[str, str]
    peer: dict[str, str]


class Wanted(TypedDict):
    """What is to be looked at; ``only`` names some of the items, None all."""

    units: list[str]
    disks: list[str]
    sysctls: list[str]
    peers: dict[str, str]
    mtu: int
    kubeconfigs: list[str]
    certificates: list[str]
    etcd: EtcdWanted | None
    etcd_peers: dict[str, str]
    only: list[str] | None


def read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def hostname() -> str:
    return os.uname().nodename


def chrony() -> dict[str, object]:
    """``chronyc -c tracking`` and ``sources``: the offset to NTP time, in seconds, signed.

    ``updated_s`` is how long ago chrony last heard from a source (None: never); ``reach`` has one
    bit for each of the last eight questions that a source was asked.
    """
    fields = command("chronyc", "-c", "tracking")[1].strip().split(",")
    sources = command("chronyc", "-c", "sources")[1].split()
    updated = float(fields[3])
    return {
        "updated_s": round(time.time() - updated, 1) if updated else None,
        "reference_id": fields[0],
        "reference": fields[1],
        "stratum": int(fields[2]),
        "offset_s": float(fields[4]),
        "leap": fields[13],
        "sources": [
            {"name": s[2], "state": s[1], "reach": int(s[5], 8)}
            for s in (line.split(",") for line in sources)
        ],
    }


def swap() -> dict[str, object]:
    """Swap in use now, and configuration that turns some on at the next boot.

    A masked unit, or one that other units only name (not-found), turns nothing on.
    """
    active = [line.split()[0] for line in read("/proc/swaps").splitlines()[1:]]
    entries = [line.split() for line in read("/etc/fstab").splitlines()]
    fstab = [
        entry[0]
        for entry in entries
        if len(entry) > 3 and entry[0][0] != "#" and entry[2] == "swap" and "noauto" not in entry[3]
    ]
    listed = command("systemctl", "list-units", "--type=swap", "--all", "--plain", "--no-legend")
    units = [line.split() for line in listed[1].splitlines() if line.split()]
    starting = [name for name, load, *_ in units if load not in ("masked", "not-found")]
    return {"active": active, "at_boot": fstab + starting}


def disk(path: str) -> dict[str, object]:
    """Share of blocks and inodes that an ordinary user may still take; inodes None: no limit."""
    # A child process, not os.statvfs: a hung mount would block this process for ever.
    numbers = command("stat", "--file-system", "--format=%S %b %a %c %d", path)[1].split()
    size, blocks, free, inodes, inodes_free = (int(number) for number in numbers)
    return {
        "total_bytes": size * blocks,
        "free_percent": 100.0 * free / blocks,
        "inodes_free_percent": 100.0 * inodes_free / inodes if inodes else None,
    }


def memory() -> dict[str, int]:
    fields = dict(line.split(":", 1) for line in read("/proc/meminfo").splitlines())
    return {
        "total_bytes": int(fields["MemTotal"].split()[0]) * 1024,
        "available_bytes": int(fields["MemAvailable"].split()[0]) * 1024,
    }


def sysctl(name: str) -> str:
    return " ".join(read("/proc/sys/" + name.replace(".", "/")).split())


def interfaces() -> list[dict[str, object]]:
    return [
        {
            "name": link["ifname"],
            "mtu": link["mtu"],
            "addresses": [address["local"] for address in link["addr_info"] if "local" in address],
        }
        for link in json.loads(command("ip", "-json", "address", "show")[1])
    ]


def path_mtu(address: str, mtu: int) -> dict[str, object]:
    """Do packets of this size reach the peer whole? 28 bytes are the IPv4 and ICMP headers."""
    size = str(mtu - 28)
    _, said, errors = command(
        *("ping", "-n", "-q", "-M", "do", "-s", size, "-c", "2", "-i", "0.5", "-W", "1", address),
        fails=False,
    )
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", said)
    if counts is None:
        raise RuntimeError(f"ping: {(errors or said).strip()}")
    return {"sent": int(counts.group(1)), "received": int(counts.group(2)), "says": errors}


def units(names: list[str]) -> dict[str, dict[str, str]]:
    wanted = "LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,NRestarts"
    shown = command("systemctl", "show", "--property=" + wanted, "--", *names)[1]
    blocks = shown.strip().split("\n\n")
    return {
        name: dict(line.split("=", 1) for line in block.splitlines())
        for name, block in zip(names, blocks)  # noqa: B905 (strict came with Python 3.10)
    }


def boot() -> dict[str, object]:
    failed = command("systemctl", "list-units", "--failed", "--plain", "--no-legend")[1]
    return {
        "default_target": command("systemctl", "get-default")[1].strip(),
        "failed_units": [line.split()[0] for line in failed.splitlines() if line.split()],
    }


def certificates(patterns: list[str]) -> dict[str, object]:
    """Certificates, and never the keys that may be in the same files."""
    files: dict[str, list[str]] = {}
    unmatched = []
    for pattern in patterns:
        paths = sorted(glob.glob(pattern))  # noqa: PTH207 (the pattern is absolute)
        files.update((path, CERTIFICATE.findall(read(path))) for path in paths)
        if not paths:
            unmatched.append(pattern)
    return {"files": files, "unmatched": unmatched}


def owner(path: str) -> dict[str, object]:
    status = Path(path).stat()
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    mode = f"{status.st_mode & 0o7777:04o}"
    return {"owner": name, "group": status.st_gid, "mode": mode}


class Etcd:
    """etcd members, where they answer, with certificates that a server holds."""

    def __init__(self, wanted: EtcdWanted) -> None:
        self._wanted = wanted

    def _connect(self, url: str, *, as_peer: bool = False) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        assert parts.hostname is not None
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=COMMAND_S)
        files = self._wanted["peer"] if as_peer else self._wanted["own"]
        for path in files.values():
            Path(path).stat()  # ssl does not say which file is missing
        context = ssl.create_default_context(cafile=files["ca"])
        context.load_cert_chain(files["cert"], files["key"])
        # Python 3.13 wants extensions that the certificates of RKE2 do not carry.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        return http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=COMMAND_S, context=context
        )

    def listens(self) -> bool:
        """True if this machine's client port accepts a connection."""
        parts = urlsplit(self._wanted["client"])
        try:
            socket.create_connection((parts.hostname, parts.port), timeout=COMMAND_S).close()
        except ConnectionRefusedError:
            return False
        return True

    def _ask(self, urls: list[str], method: str, path: str, body: str | None = None) -> str:
        """The answer of the first of these addresses that listens."""
        for url in urls:
            with contextlib.closing(self._connect(url)) as connection:
                try:
                    return exchange(connection, method, path, body)
                except ConnectionRefusedError:
                    continue
                except http.client.RemoteDisconnected:
                    text = f"{url} speaks no HTTP: does etcd serve it elsewhere?"
                    raise RuntimeError(text) from None
        raise ConnectionRefusedError(f"nothing listens at {', '.join(urls)}")

    def call(self, path: str, body: str = "{}") -> object:
        """One call of etcd's JSON gateway; 64-bit integers come as strings."""
        return json.loads(self._ask(self._wanted["gateways"], "POST", path, body))

    def metrics(self) -> str:
        """The wanted lines of /metrics, from the plain local port that RKE2 and kubeadm open."""
        urls = [*self._wanted["metrics"], *self._wanted["gateways"]]
        text = self._ask(urls, "GET", "/metrics")
        return "\n".join(line for line in text.splitlines() if line.startswith(ETCD_METRICS))

    def round_trips(self, address: str) -> list[float]:
        """Seconds of each of many small exchanges with another member, on one connection.

        Uses the peer port, which always speaks HTTP. etcd's own histogram of round trips gets one
        sample in half a minute, so it shows days, not the present. A very distant member gives
        fewer samples, because time runs out.
        """
        took: list[float] = []
        with contextlib.closing(
            self._connect(f"https://{address}:2380", as_peer=True)
        ) as connection:
            exchange(connection, "GET", "/version")  # the handshake is no round trip
            until = time.monotonic() + ROUND_TRIPS_S
            while len(took) < ROUND_TRIPS and (began := time.monotonic()) < until:
                exchange(connection, "GET", "/version")
                took.append(round(time.monotonic() - began, 6))
        return took


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> str:
    connection.request(method, path, body)
    answer = connection.getresponse()
    said = answer.read().decode(errors="replace")
    if answer.status != 200:
        raise RuntimeError(f"etcd answered {answer.status} to {path}: {said[:200]}")
    return said


def jobs(wanted: Wanted) -> dict[str, Callable[[], object]]:
    """What to look at, by name."""
    looks: dict[str, Callable[[], object]] = {
        "hostname": hostname,
        "chrony": chrony,
        "swap": swap,
        "memory": memory,
        "interfaces": interfaces,
        "units": partial(units, wanted["units"]),
        "boot": boot,
        "sysctl settings": lambda: command(SYSTEMD_SYSCTL, "--cat-config")[1],
    }
    for path in wanted["disks"]:
        looks[f"disk {path}"] = partial(disk, path)
    for name in wanted["sysctls"]:
        looks[f"sysctl {name}"] = partial(sysctl, name)
    for peer, address in wanted["peers"].items():
        looks[f"path to {peer}"] = partial(path_mtu, address, wanted["mtu"])
    for path in wanted["kubeconfigs"]:
        looks[f"kubeconfig {path}"] = partial(owner, path)
    if wanted["certificates"]:
        looks["certificates"] = partial(certificates, wanted["certificates"])
    if wanted["etcd"]:
        etcd = Etcd(wanted["etcd"])
        looks["etcd listens"] = etcd.listens
        looks["etcd members"] = partial(etcd.call, "/v3/cluster/member/list")
        looks["etcd status"] = partial(etcd.call, "/v3/maintenance/status")
        looks["etcd alarms"] = partial(etcd.call, "/v3/maintenance/alarm", '{"action": "GET"}')
        looks["etcd metrics"] = etcd.metrics
        for peer, address in wanted["etcd_peers"].items():
            looks[f"{TIMED} to {peer}"] = partial(etcd.round_trips, address)
    return {name: look for name, look in looks.items() if name in (wanted["only"] or looks)}


def look_at_all(
    looks: Mapping[str, Callable[[], object]], deadline: float
) -> dict[str, dict[str, object]]:
    """All items in parallel; an item without an answer by then (monotonic seconds) is an error."""
    items: dict[str, dict[str, object]] = {}

    def look(name: str, job: Callable[[], object]) -> None:
        try:
            items[name] = {"value": job()}
        except FileNotFoundError as error:
            items[name] = {"error": f"{error.filename} is missing"}
        except Exception as error:  # any error is this item's answer
            items[name] = {"error": str(error) or type(error).__name__}

    threads = [threading.Thread(target=look, args=job, daemon=True) for job in looks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late: dict[str, object] = {"error": f"no answer within {WITHIN_S:g} s"}
    return {name: items.get(name, late) for name in looks}


def main() -> None:
    looks = jobs(json.loads(sys.argv[1]))
    deadline = time.monotonic() + WITHIN_S
    # Items that measure time run last and one by one: parallel work would slow them.
    timed = {name: looks.pop(name) for name in list(looks) if name.startswith(TIMED)}
    items = look_at_all(looks, deadline)
    for name, job in timed.items():
        items.update(look_at_all({name: job}, deadline))
    report = {"started": STARTED, "ended": time.time(), "items": items}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    # Threads that hang must not keep the process and its session alive.
    os._exit(0)


if __name__ == "__main__":
    main()
