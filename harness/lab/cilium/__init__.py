"""Cilium as the lab's pod network: built from its Go module, run as on a real cluster.

The agent is a DaemonSet and the operator a Deployment in kube-system; kube-proxy stays. Envoy is
not available, so policies end at layer 4.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.lab import archives, builds, images
from harness.lab.kubernetes import insist
from harness.lab.shape import LAB, Lab
from harness.lab.stages import Stage

VERSION = "1.17.0"
HERE = LAB / "cilium"
MODULE = "github.com/cilium/cilium"
ARCHIVE = "cilium.tar"
# Package in the module → the name that Cilium gives its program.
PROGRAMS = {
    "cilium-dbg": "cilium-dbg",
    "cilium-health/responder": "cilium-health-responder",
    "daemon": "cilium-agent",
    "operator": "cilium-operator",
    "plugins/cilium-cni": "cilium-cni",
}
# A kernel without loadable modules has no such file, and the agent would stop.
LOADED_MODULES = Path("pkg/datapath/linux/modules/modules_linux.go")
STAMP = f"-X '{MODULE}/pkg/version.ciliumVersion={VERSION} lab 2025-02-04T00:00:00Z'"


def programs() -> builds.Build:
    """A folder with ``bin``, every program of PROGRAMS, and ``bpf``, which the agent compiles."""

    def make(target: Path, log: Path) -> None:
        work = target / "work"
        source = builds.own_source(HERE, work, MODULE, log)
        builds.replace_once(source / LOADED_MODULES, '"/proc/modules"', '"/dev/null"')
        (target / "built").mkdir()
        packages = [f"{MODULE}/{package}" for package in PROGRAMS]
        # The operator's tag affects no other program: one build shares all compiled packages.
        flags = [*builds.go_flags(STAMP), "-tags", "ipam_provider_operator"]
        builds.go(work, ["build", *flags, "-o", f"{target / 'built'}/", *packages], log)
        (target / "bin").mkdir()
        for package, program in PROGRAMS.items():
            (target / "built" / Path(package).name).rename(target / "bin" / program)
        (source / "bpf").rename(target / "bpf")
        shutil.rmtree(target / "built")
        shutil.rmtree(work)

    made_of = (path.read_bytes() for path in (HERE / "go.mod", HERE / "go.sum", Path(__file__)))
    return builds.Build("cilium", tuple(made_of), make)


def archive() -> builds.Build:
    """The images of agent and operator: Debian with a BPF compiler, and the programs on top."""
    system, built = builds.system("cilium", ".tar"), programs()

    def make(target: Path, log: Path) -> None:
        base = system.ensure(log)
        folder = built.ensure(log)
        with archives.layers(target) as scratch:
            layer, links = scratch / "programs", scratch / "links"
            links.mkdir()
            (links / "clang").symlink_to("/usr/bin/clang-19")
            inside = {"usr/local/bin": links, "var/lib/cilium/bpf": folder / "bpf"}
            inside |= {f"usr/bin/{name}": folder / "bin" / name for name in PROGRAMS.values()}
            images.files_layer(layer, inside)
            images.archive(target, [images.Image(f"lab/cilium:{VERSION}", (base, layer))])

    made_of = (build.path.name.encode() for build in (system, built))
    return builds.Build("cilium-images", (*archives.code(), *made_of), make)


def stages(lab: Lab) -> list[Stage]:
    """Build and import while Kubernetes comes up; one Go build at a time."""
    log = lab.logs / "cilium.log"
    system = builds.system("cilium", ".tar")
    return [
        Stage("cilium system", lambda: system.ensure(log), 120, ("workload",)),
        Stage("cilium programs", lambda: programs().ensure(log), 400, ("kubernetes binary",)),
        Stage(
            "cilium images",
            lambda: archives.bring(lab, archive(), ARCHIVE, log),
            40,
            ("cilium system", "cilium programs", "tools", "last partition"),
        ),
        Stage(
            "pod network",
            lambda: insist(lab, "apply", f"--filename={HERE / 'manifests'}", log=log),
            5,
            ("cilium images", "other control planes"),
        ),
    ]
