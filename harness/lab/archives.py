"""The archives of container images that a lab imports: their contents, and how they are built."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.lab import builds, images, seed_data
from harness.lab.host import run
from harness.lab.kubernetes import import_images
from harness.lab.shape import LAB, Lab

MAIN = "images.tar"
# The provisioner of claims, and the platform's own services, which Swarm's image has too.
PROVISIONER, PARTS = "platform/provisioner.py", "platform/services"
# The Python of builds.SUITE, and the folder where it looks for packages from elsewhere.
PYTHON = "3.13"
LIBRARIES = f"usr/local/lib/python{PYTHON}/dist-packages"
WHEELS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")


def libraries() -> builds.Build:
    """The Python libraries of the lab's controllers, for the Python of the lab's images."""
    lock = LAB / "images/platform.lock"

    def make(target: Path, log: Path) -> None:
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        options += ["--implementation", "cp", "--python-version", PYTHON]
        options += [word for name in WHEELS for word in ("--platform", name)]
        command = [sys.executable, "-m", "pip", "install", *options, "--requirement", str(lock)]
        run([*command, "--target", target], log=log, within_s=600)

    return builds.Build("libraries", (lock.read_bytes(), PYTHON.encode()), make)


def parts() -> dict[str, Path]:
    """The program of the platform's services: each file, by its place in an image."""
    files = (it for it in sorted((LAB / PARTS).iterdir()) if it.is_file())
    return {f"opt/{PARTS}/{it.name}": it for it in files}


def main(version: str) -> builds.Build:
    """Kubernetes of a version, the workload image, and the lab's own controllers."""
    workload, kube, wheels = builds.system("workload", ".tar"), builds.kube(version), libraries()
    programs = {f"opt/{PROVISIONER}": LAB / PROVISIONER, **parts()}
    killbill = seed_data.mariadb()

    def make(target: Path, log: Path) -> None:
        base = workload.ensure(log)
        with layers(target) as folder:
            images.binary_layer(folder / "kube", kube.ensure(log))
            images.files_layer(folder / "libraries", {LIBRARIES: wheels.ensure(log)})
            script = folder / "killbill.sql"
            script.write_text(killbill, encoding="utf-8")
            images.files_layer(
                folder / "programs", {**programs, "opt/platform/killbill.sql": script}
            )
            controllers = images.platform(base, folder / "libraries", folder / "programs")
            images.archive(
                target, [*images.kubernetes(version, base, folder / "kube"), controllers]
            )

    made_of = (build.path.name.encode() for build in (workload, kube, wheels))
    contents = (path.read_bytes() for path in programs.values())
    return builds.Build("images", (*code(), *made_of, *contents, killbill.encode()), make)


def place(source: Path, target: Path) -> None:
    """Copy a file to a place that the machines see; it appears whole or not at all."""
    if not target.exists():
        new = target.with_suffix(".new")
        shutil.copy2(source, new)
        new.rename(target)


def bring(lab: Lab, build: builds.Build, name: str, log: Path) -> None:
    """Make an archive and import it on every machine."""
    place(build.ensure(log), lab.tools / name)
    import_images(lab, name, log)


def code() -> tuple[bytes, ...]:
    """The code that every archive depends on, besides its own inputs."""
    return (Path(images.__file__).read_bytes(), Path(__file__).read_bytes())


@contextmanager
def layers(target: Path) -> Iterator[Path]:
    """A folder for layers beside the archive, removed afterwards."""
    # This name lets builds.sweep find the leftovers of a killed process.
    owner = f".{os.getpid()}"
    with TemporaryDirectory(prefix=".layers-", suffix=owner, dir=target.parent) as folder:
        yield Path(folder)
