"""Rook's operator, built from its Go module, and the files of the module that the lab uses."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness.lab import builds
from harness.lab.shape import LAB

RELEASE = "v1.17.9"
# What it calls itself; labels and tags have no "+".
VERSION = f"{RELEASE}+lab"
TAG = VERSION.replace("+", "-")
HERE = LAB / "rook"
MODULE = "github.com/rook/rook"
APIS = f"{MODULE}/pkg/apis"
STAMP = f"-X {MODULE}/pkg/version.Version={VERSION}"
# Its kinds and roles, the scripts that hand an existing Ceph over, and its toolbox.
EXAMPLES = (
    "crds.yaml",
    "common.yaml",
    "common-external.yaml",
    "toolbox.yaml",
    "create-external-cluster-resources.py",
    "import-external-cluster.sh",
)


def program() -> builds.Build:
    """A folder with ``rook`` and EXAMPLES."""

    def make(target: Path, log: Path) -> None:
        work = target / "work"
        complete(builds.own_source(HERE, work, APIS, log) / "ceph.rook.io/v1")
        command = ["build", *builds.go_flags(STAMP), "-o", str(target / "rook")]
        builds.go(work, [*command, f"{MODULE}/cmd/rook"], log)
        module = builds.go(work, ["list", "-m", "-f", "{{.Dir}}", MODULE], log).strip()
        for name in EXAMPLES:
            shutil.copyfile(Path(module) / "deploy/examples" / name, target / name)
        shutil.rmtree(work)

    own = (HERE / "go.mod", HERE / "go.sum", *sorted((HERE / "apis").iterdir()), Path(__file__))
    return builds.Build("rook", tuple(path.read_bytes() for path in own), make)


def complete(apis: Path) -> None:
    """Add to Rook's published API what this version of Rook uses and that API lacks."""
    shutil.copy(HERE / "apis/since.go", apis)
    fields = (HERE / "apis/fields.go").read_text(encoding="utf-8")
    for begin, added in re.findall(r"^(type \w+ struct \{\n)(.*?)^\}", fields, re.M | re.S):
        builds.replace_once(apis / "types.go", begin, begin + added)
