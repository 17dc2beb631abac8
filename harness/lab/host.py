"""Commands on this host, for the lab: each with a deadline and its output in a log file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from harness.core.errors import LabError, TimedOut
from harness.core.waiting import until

# Command → the Debian package that contains it.
NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "sgdisk": "gdisk",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "losetup": "util-linux",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh-keygen": "openssh-client",
}
KEYRINGS = Path("/usr/share/keyrings")

# The watched processes start on the same few processors: frequent looks slow them down.
LOOK_EVERY_S = 2.0

INSTALLING = Path("/run/lock/cutover-packages")

_groups: list[Path] = []
_running: set[subprocess.Popen[str]] = set()


def join(groups: Sequence[Path]) -> None:
    """From now on, put every command into these control groups: found even after a crash."""
    _groups[:] = groups


def interrupt() -> None:
    """End every running command, with the processes that it started in its session."""
    for process in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    within_s: float = 60,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; LabError with its last lines when it fails or takes too long.

    Standard output is returned and, with standard error, appended to ``log``.
    """
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as sink:
        sink.write(f"$ {' '.join(words)}\n")
        sink.flush()
        with subprocess.Popen(
            joining(_groups, words),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            errors="replace",
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            start_new_session=True,
        ) as process:
            out = _answer(process, stdin, within_s, words[0], log)
        sink.write(out)
    if check and process.returncode != 0:
        raise LabError(
            f"{' '.join(words[:4])} … failed with status {process.returncode}:\n{tail(log)}",
            remedy=f"see {log}, then run the command again: finished stages are kept",
        )
    return subprocess.CompletedProcess(words, process.returncode, out, "")


def _answer(
    process: subprocess.Popen[str], stdin: str | None, within_s: float, name: str, log: Path
) -> str:
    """The command's output; the command ends on a timeout or when the harness is interrupted."""
    _running.add(process)
    try:
        return process.communicate(stdin, timeout=within_s)[0]
    except subprocess.TimeoutExpired as late:
        os.killpg(process.pid, signal.SIGKILL)
        message = f"{name} did not end within {within_s:g} s"
        raise LabError(message, remedy=f"see {log}") from late
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        _running.discard(process)


def launch(argv: Sequence[str], output: IO[bytes]) -> None:
    """Start a command that outlives this process and is not its child."""
    subprocess.run(
        ["setsid", "--fork", *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        check=True,
        timeout=20,
    )


def joining(groups: Sequence[Path], words: Sequence[str]) -> list[str]:
    """The command line that joins the control groups and then becomes ``words``."""
    if not groups:
        return list(words)
    join = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
    return ["sh", "-c", join, "join", *map(str, groups), "--", *words]


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a text file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def until_well(trouble: Callable[[], str], *, what: str, within_s: float, log: Path) -> None:
    """Look again and again until there is no trouble; LabError names the last trouble."""
    last = ""

    def well() -> bool:
        nonlocal last
        last = trouble()
        return not last

    try:
        until(well, within_s=within_s, every_s=LOOK_EVERY_S, what=what)
    except TimedOut as error:
        message = f"{what} is not whole after {within_s:g} s: {last}"
        raise LabError(message, remedy=f"see {log}") from error


def missing_packages(suite: str) -> list[str]:
    """Debian packages that the lab needs and this host does not have.

    An older Debian learns the keys of a newer one, ``suite``, from its own updates.
    """
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = {pkg for cmd, pkg in NEEDED.items() if not shutil.which(cmd, path=search)}
    if not any(KEYRINGS.glob(f"debian-archive-{suite}-stable.*")):
        lacking.add("debian-archive-keyring")
    return sorted(lacking)


def install(packages: Sequence[str], *, log: Path) -> None:
    """Install Debian packages on this host, one command at a time: apt refuses a second one."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with INSTALLING.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run(["apt-get", "update", "-qq"], log=log, within_s=300, env=quiet)
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            log=log,
            within_s=900,
            env=quiet,
        )
