"""CloudNativePG's program, built from its Go module, for Debian's PostgreSQL.

It is both the operator and the instance manager, which the operator copies into each pod.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.lab import archives, builds, images
from harness.lab.shape import LAB

VERSION = "1.28.0"
HERE = LAB / "cloudnativepg"
MODULE = "github.com/cloudnative-pg/cloudnative-pg"
STAMP = f"-X {MODULE}/pkg/versions.buildVersion={VERSION}+lab"
# The programs of the operator's image, for pods of each architecture.
PROGRAM = "operator/manager_amd64"
RELEASE = "release.yaml"


def program() -> builds.Build:
    """A folder with the program, at its paths in the image, and the manifest of its release."""

    def make(target: Path, log: Path) -> None:
        command = ["build", *builds.go_flags(STAMP), "-o", str(target / PROGRAM)]
        builds.go(HERE, [*command, f"{MODULE}/cmd/manager"], log)
        (target / "manager").symlink_to(PROGRAM)
        module = builds.go(HERE, ["list", "-m", "-f", "{{.Dir}}", MODULE], log).strip()
        release = Path(module) / f"releases/cnpg-{VERSION}.yaml"
        shutil.copyfile(release, target / RELEASE)

    own = (HERE / "go.mod", HERE / "go.sum", Path(__file__))
    made_of = (path.read_bytes() for path in own)
    return builds.Build("cloudnativepg", tuple(made_of), make)


def archive() -> builds.Build:
    """The operator's image: only the program."""
    built = program()

    def make(target: Path, log: Path) -> None:
        folder = built.ensure(log)
        with archives.layers(target) as scratch:
            layer = scratch / "operator"
            placed = {name: folder / name for name in (PROGRAM, "manager")}
            images.files_layer(layer, placed)
            images.archive(target, [images.Image(f"lab/cloudnative-pg:{VERSION}", (layer,))])

    made_of = (*archives.code(), built.path.name.encode())
    return builds.Build("cloudnativepg-images", made_of, make)
