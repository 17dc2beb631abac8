"""MetalLB as the lab's load balancer, at layer 2: built from its Go module."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.lab import archives, builds, images
from harness.lab.kubernetes import insist
from harness.lab.machines import fill
from harness.lab.shape import LAB, Lab
from harness.lab.stages import Stage

VERSION = "0.14.9"
HERE = LAB / "metallb"
MODULE = "go.universe.tf/metallb"
ARCHIVE = "metallb.tar"
PROGRAMS = ("controller", "speaker")
MANIFEST = "metallb-native.yaml"


def programs() -> builds.Build:
    """A folder with the controller, the speaker, and MetalLB's own manifest."""

    def make(target: Path, log: Path) -> None:
        target.mkdir()
        packages = [f"{MODULE}/{program}" for program in PROGRAMS]
        builds.go(HERE, ["build", *builds.go_flags(), "-o", f"{target}/", *packages], log)
        module = builds.go(HERE, ["list", "-m", "-f", "{{.Dir}}", MODULE], log).strip()
        shutil.copyfile(Path(module) / "config/manifests" / MANIFEST, target / MANIFEST)

    made_of = ((HERE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return builds.Build("metallb", tuple(made_of), make)


def archive() -> builds.Build:
    """The images of controller and speaker: only the program."""
    built = programs()

    def make(target: Path, log: Path) -> None:
        folder = built.ensure(log)
        with archives.layers(target) as scratch:
            holding = []
            for program in PROGRAMS:
                images.files_layer(scratch / program, {program: folder / program})
                name = f"lab/metallb-{program}:{VERSION}"
                holding.append(images.Image(name, (scratch / program,), (f"/{program}",)))
            images.archive(target, holding)

    return builds.Build("metallb-images", (*archives.code(), built.path.name.encode()), make)


def stages(lab: Lab) -> list[Stage]:
    """Build and import while Kubernetes comes up, after the larger builds."""
    log = lab.logs / "metallb.log"
    before = "cilium programs" if lab.shape.network == "cilium" else "kubernetes binary"
    return [
        Stage("metallb programs", lambda: programs().ensure(log), 60, (before,)),
        Stage(
            "metallb images",
            lambda: archives.bring(lab, archive(), ARCHIVE, log),
            10,
            ("metallb programs", "tools", "last partition"),
        ),
        Stage("load balancer", lambda: up(lab, log), 5, ("metallb images", "pod network")),
    ]


def up(lab: Lab, log: Path) -> None:
    """Apply MetalLB's own manifest with the lab's changes, then the address pool."""
    # kustomize reads only files below its own folder.
    folder = lab.state / "metallb"
    shutil.copytree(HERE / "manifests", folder, dirs_exist_ok=True)
    shutil.copyfile(programs().ensure(log) / MANIFEST, folder / MANIFEST)
    insist(lab, "apply", f"--kustomize={folder}", log=log)
    for kind in ("ipaddresspools", "l2advertisements"):
        known = f"crd/{kind}.metallb.io"
        insist(lab, "wait", "--for=condition=Established", "--timeout=30s", known, log=log)
    addresses = (HERE / "manifests/addresses.yaml").read_text(encoding="utf-8")
    pool = '", "'.join(lab.profile.load_balancer_pool)
    insist(lab, "apply", "--filename=-", stdin=fill(addresses, {"pool": pool}), log=log)
