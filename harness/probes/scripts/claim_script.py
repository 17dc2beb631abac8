"""Runs in a pod, as ``python3 -``: writes to claims or reads others' data; prints a JSON line.

A block describes itself. Its header holds its writer, its offset and its generation, under a
digest; a hash of these gives its payload. A reader that knows them knows every byte, and can tell a
block that is lost, zeroed, stale, swapped or changed. No block has long runs of zeros, because
storage that loses an extent reads as zeros. Standard library of Python 3.8 only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import random
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

from harness.probes.scripts.claim_kinds_script import adorn, describe, words

BLOCK = 64 * 1024
MAGIC = b"CUTOVER\n"
FIELDS = struct.Struct("!8s16sQI")  # magic, writer, offset, generation
DIGEST = 16
FEW = 5  # at most this many wrong ones are named
STEP = 1 << 20
COMMIT, COMMITTED = 4096, 16 << 20  # bytes of a small write, and of the file it goes to
QUOTA = "ceph.quota.max_bytes"

# --- blocks -----------------------------------------------------------------------------------


def owner(seed: int, writer: str) -> bytes:
    return hashlib.blake2b(f"{seed} {writer}".encode(), digest_size=16).digest()


def block(who: bytes, offset: int, generation: int) -> bytes:
    """The expected block."""
    fields = FIELDS.pack(MAGIC, who, offset, generation)
    digest = hashlib.blake2b(fields, digest_size=DIGEST).digest()
    payload = hashlib.shake_128(fields).digest(BLOCK - len(fields) - DIGEST)
    return fields + digest + payload


def verdict(found: bytes, who: bytes, offset: int, generation: int) -> str:
    """What is wrong with a block, in words; empty if it is the expected block."""
    wanted = block(who, offset, generation)
    if found == wanted:
        return ""
    if not found:
        return "lost: the file ends before it"
    if len(found) < BLOCK:
        return f"lost: only {len(found)} bytes of it are there"
    if not any(found):
        return "zeroed"
    magic, whose, at, older = FIELDS.unpack_from(found)
    if magic == MAGIC and found == block(whose, at, older):
        if whose != who:
            return "of another writer"
        if at != offset:
            return f"swapped: it belongs at offset {at}"
        return f"{'stale' if older < generation else 'invented'}: generation {older}"
    bits = [bin(one ^ other).count("1") for one, other in zip(found, wanted)]  # noqa: B905 (3.8)
    first = next(place for place, count in enumerate(bits) if count)
    return f"changed: {sum(bits)} bits differ, the first at byte {offset + first}"


def put(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of the bytes, in as many calls as needed."""
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done


# --- what is written, and read elsewhere ------------------------------------------------------


def write(path: str, seed: int, writer: str, generations: dict[str, int]) -> Mapping[str, object]:
    """Write these blocks, by number, and wait until they are stored."""
    who = owner(seed, writer)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    for number, generation in generations.items():
        put(descriptor, block(who, int(number) * BLOCK, generation), int(number) * BLOCK)
    os.fsync(descriptor)
    os.close(descriptor)
    return {"blocks": len(generations)}


class Churned(TypedDict):
    """The blocks that were overwritten, each with its expected generation."""

    generations: list[int]
    writes: int
    slowest_s: float
    told: bool


class Commits(TypedDict):
    """How fast small writes were stored."""

    iops: float
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    writes: int
    took_s: float


def churn(
    path: str,
    seed: int,
    writer: str,
    blocks: int,
    for_s: float,
    per_s: float = 0.0,
    until: str = "",
) -> Churned:
    """Overwrite blocks in a random order, each stored before the next, for some seconds.

    Writes at most ``per_s`` a second; 0 means no limit. It ends earlier, with ``told``, once the
    file ``until`` exists. ``generations`` is each block's expected generation afterwards: 0 for one
    that was never written.
    """
    who, draw = owner(seed, writer), random.Random(f"{seed} {writer}")
    generations = [0] * blocks
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    began, slowest, told = time.monotonic(), 0.0, False
    pause = threading.Event()
    while not told and time.monotonic() - began < for_s:
        started = time.monotonic()
        number = generations.index(0) if 0 in generations else draw.randrange(blocks)
        generation = max(generations) + 1
        put(descriptor, block(who, number * BLOCK, generation), number * BLOCK)
        os.fsync(descriptor)
        generations[number] = generation
        took = time.monotonic() - started
        slowest = max(slowest, took)
        if per_s:
            pause.wait(max(0.0, 1 / per_s - took))
        told = bool(until) and Path(until).exists()
    os.close(descriptor)
    return {
        "generations": generations,
        "writes": max(generations),
        "slowest_s": round(slowest, 2),
        "told": told,
    }


def commits(path: str, seed: int, writer: str, for_s: float) -> Commits:
    """Write 4 KiB at random places of a file, each stored before the next, for some seconds.

    The file has its full size before, so the measurement includes no growth. Latencies in
    milliseconds, percentiles by nearest rank.
    """
    draw, took = random.Random(f"{seed} {writer}"), []
    content = hashlib.shake_128(f"{seed} {writer}".encode()).digest(COMMIT)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    for place in range(0, COMMITTED, BLOCK):
        put(descriptor, content * (BLOCK // COMMIT), place)
    os.fdatasync(descriptor)
    began = time.monotonic()
    while time.monotonic() - began < for_s:
        started = time.monotonic()
        put(descriptor, content, draw.randrange(COMMITTED // COMMIT) * COMMIT)
        os.fdatasync(descriptor)
        took.append(time.monotonic() - started)
    whole_s = time.monotonic() - began
    os.close(descriptor)
    ranked = [1000 * it for it in sorted(took)]
    rank = {p: ranked[-(-p * len(ranked) // 100) - 1] for p in (50, 99)}
    return {
        "iops": round(len(took) / whole_s, 2),
        "p50_ms": round(rank[50], 3),
        "p99_ms": round(rank[99], 3),
        "slowest_ms": round(ranked[-1], 3),
        "writes": len(took),
        "took_s": round(whole_s, 3),
    }


def size(path: str) -> Mapping[str, object]:
    """The size of a file."""
    return {"bytes": Path(path).stat().st_size}


def stop(path: str) -> Mapping[str, object]:
    """End a ``churn`` that watches for this file."""
    Path(path).touch()
    return {}


def verify(path: str, seed: int, writer: str, generations: list[int]) -> Mapping[str, object]:
    """How many blocks of a file are right, and what is wrong with the others."""
    who, bad = owner(seed, writer), []
    with Path(path).open("rb") as file:
        for number, generation in enumerate(generations):
            says = verdict(file.read(BLOCK), who, number * BLOCK, generation)
            if says:
                bad.append(f"block {number} is {says}")
        more = len(file.read(BLOCK))
    if more:
        bad.append("it goes on after its end")
    return {"right": len(generations) - len(bad), "wrong": len(bad), "first": bad[:FEW]}


# --- many small files -------------------------------------------------------------------------


def small_file(seed: int, writer: str, number: int) -> bytes:
    content = hashlib.shake_128(f"{seed} {writer} {number}".encode())
    return content.digest(1 + int.from_bytes(content.digest(2), "big") % 4096)


def scatter(folder: str, seed: int, writer: str, files: int) -> Mapping[str, object]:
    """Write many small files of 1 to 4096 bytes."""
    Path(folder).mkdir()
    for number in range(files):
        Path(f"{folder}/{number:05}").write_bytes(small_file(seed, writer, number))
    return {"files": files}


def gather(folder: str, seed: int, writer: str, files: int) -> Mapping[str, object]:
    """How many of the small files are right, and what is wrong with the others."""
    bad = []
    there = {path.name for path in Path(folder).iterdir()}
    for number in range(files):
        name = f"{number:05}"
        if name not in there:
            bad.append(f"{name} is missing")
        elif Path(f"{folder}/{name}").read_bytes() != small_file(seed, writer, number):
            bad.append(f"{name} holds other bytes")
    bad += (
        [f"{name} was written by no machine" for name in sorted(there)[files:]] if not bad else []
    )
    return {"right": files - len(bad), "wrong": len(bad), "first": bad[:FEW]}


# --- appenders --------------------------------------------------------------------------------


def line(seed: int, writer: str, number: int) -> bytes:
    """A line of 60 bytes to 6 kB: a write of more than a page is not atomic by itself."""
    content = hashlib.shake_128(f"{seed} {writer} line {number}".encode())
    length = 10 + int.from_bytes(content.digest(2), "big") % 3000
    return f"{writer} {number} {content.hexdigest(length)}\n".encode()


def append(path: str, seed: int, writer: str, lines: int) -> Mapping[str, object]:
    """Append lines, each in two halves under a lock; without it, other writers would interleave."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    for number in range(lines):
        text = line(seed, writer, number)
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        try:
            # Not O_APPEND: a FUSE mount uses its own, older position of the end.
            end = os.lseek(descriptor, 0, os.SEEK_END)
            middle = len(text) // 2
            put(descriptor, text[:middle], end)
            put(descriptor, text[middle:], end + middle)
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
    return {"lines": lines}


def read_lines(path: str, seed: int, writers: list[str], lines: int) -> Mapping[str, object]:
    """The lines that are lost or duplicated, and the number of torn lines."""
    wanted = {line(seed, writer, n): f"{writer} {n}" for writer in writers for n in range(lines)}
    counted = dict.fromkeys(wanted, 0)
    torn = 0
    for found in Path(path).read_bytes().splitlines(keepends=True):
        if found in counted:
            counted[found] += 1
        else:
            torn += 1
    lost = [wanted[text] for text, times in counted.items() if times == 0]
    twice = [wanted[text] for text, times in counted.items() if times > 1]
    return {
        "right": len(wanted) - len(lost) - len(twice),
        "torn": torn,
        "lost": len(lost),
        "twice": len(twice),
        "first": [f"{name} is lost" for name in lost[:FEW]]
        + [f"{name} is there twice" for name in twice[:FEW]],
    }


# --- quota ------------------------------------------------------------------------------------


def fill(path: str, seed: int, until_bytes: int) -> Mapping[str, object]:
    """Write step by step until the claim refuses, or well past the size at which it should.

    A listing of attributes hides quotas, so the script asks for this one by its name.
    """
    try:
        quota: int | str = int(os.getxattr(Path(path).parent, QUOTA))
    except OSError as error:
        quota = words(error)
    began, ended = time.monotonic(), ""
    data = hashlib.shake_128(f"{seed} fill".encode()).digest(STEP)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    end = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        while end < until_bytes and not ended:
            try:
                put(descriptor, data, end)
                os.fsync(descriptor)
                end += STEP
            except OSError as error:
                ended = errno.errorcode.get(error.errno, "") if error.errno else words(error)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    took_s = round(time.monotonic() - began, 2)
    return {"quota": quota, "bytes": size, "ended": ended, "took_s": took_s}


# --- main -------------------------------------------------------------------------------------

# ``harness.facts.claims`` has the types of their answers.
ROLES: dict[str, Callable[..., Mapping[str, object]]] = {
    role.__name__: role
    for role in (
        write,
        churn,
        commits,
        size,
        stop,
        verify,
        scatter,
        gather,
        append,
        read_lines,
        adorn,
        describe,
        fill,
    )
}


def item(role: Callable[..., object], argument: dict[str, object]) -> dict[str, object]:
    """A role's answer; a refusal by the file system is told apart from any other error."""
    try:
        return {"value": role(**argument)}
    except TimeoutError as error:
        return {"error": str(error)}
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        return {"refused": f"{words(error)}{where}"}
    except Exception as error:  # any error is this role's answer
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Do one role with each argument of a list, each within a deadline of its own."""
    role, within_s, arguments = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])

    def give_up(*_: object) -> None:
        raise TimeoutError(f"not done within {within_s:g} s")

    os.umask(0)
    signal.signal(signal.SIGALRM, give_up)
    answers = []
    for argument in arguments:
        signal.setitimer(signal.ITIMER_REAL, within_s)
        answers.append(item(ROLES[role], argument))
    sys.stdout.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
