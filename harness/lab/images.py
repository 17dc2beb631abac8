"""Container images of the lab, in one archive whose images share their layers.

There is no registry: the archive is imported on every machine. The images share one Debian system;
those of Kubernetes add the one binary, which acts by the name it is called with.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATH = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin"
)
COMPONENTS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubectl",
    "etcd",
    "etcdctl",
    "etcdutl",
    "coredns",
)


@dataclass(frozen=True)
class Image:
    """One image: its name, its layers, and its command."""

    name: str
    layers: tuple[Path, ...]
    entrypoint: tuple[str, ...] = ()

    def config(self, digests: Mapping[Path, str]) -> bytes:
        """The image's configuration as the archive holds it."""
        inner: dict[str, Sequence[str]] = {"Env": [PATH]}
        if self.entrypoint:
            inner["Entrypoint"] = list(self.entrypoint)
        return json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": inner,
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [f"sha256:{digests[x]}" for x in self.layers],
                },
                "history": [{"created_by": "cutover lab"}] * len(self.layers),
            }
        ).encode()


def kubernetes(version: str, base: Path, binaries: Path) -> list[Image]:
    """The images in kubeadm's manifests, for repository ``lab``."""
    tag = version.replace("+", "_")
    parts = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    layers = (base, binaries)
    return [
        *(Image(f"lab/{part}:{tag}", layers) for part in parts),
        Image("lab/etcd:1", layers),
        Image("lab/coredns:1", layers, ("/usr/local/bin/coredns",)),
        Image("lab/pause:3.10.1", (base,), ("/usr/bin/catatonit", "-P")),
        Image("lab/workload:1", layers),
    ]


def platform(base: Path, libraries: Path, programs: Path) -> Image:
    """The image of the lab's own controllers."""
    return Image("lab/platform:1", (base, libraries, programs))


def binary_layer(target: Path, kube: Path) -> None:
    """A layer with the Kubernetes binary, and a link for each of its components."""
    with tarfile.open(target, "w") as layer:
        entry = layer.gettarinfo(str(kube), "usr/local/bin/kube")
        entry.uid, entry.gid, entry.uname, entry.gname, entry.mode = 0, 0, "root", "root", 0o755
        entry.mtime = 0
        with kube.open("rb") as content:
            layer.addfile(entry, content)
        for component in COMPONENTS:
            link = tarfile.TarInfo(f"usr/local/bin/{component}")
            link.type, link.linkname = tarfile.SYMTYPE, "kube"
            layer.addfile(link)


def files_layer(target: Path, files: Mapping[str, Path]) -> None:
    """A layer that puts files and folders at paths of the image, owned by root."""

    def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        # Times stay: Python's compiled files contain those of their sources.
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(target, "w") as layer:
        for inside, source in files.items():
            layer.add(str(source), inside, filter=as_root)


def archive(target: Path, images: Sequence[Image]) -> None:
    """Write a docker-archive with the images, each layer once."""
    layers = list(dict.fromkeys(layer for image in images for layer in image.layers))
    digests = {layer: _sha256(layer) for layer in layers}
    manifest = []
    with tarfile.open(target, "w") as out:
        for layer in layers:
            out.add(str(layer), f"{digests[layer]}.tar")
        written: set[str] = set()
        for image in images:
            config = image.config(digests)
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            if name not in written:
                _add(out, name, config)
                written.add(name)
            stack = [f"{digests[layer]}.tar" for layer in image.layers]
            manifest.append({"Config": name, "RepoTags": [image.name], "Layers": stack})
        _add(out, "manifest.json", json.dumps(manifest).encode())


def _add(out: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    out.addfile(entry, io.BytesIO(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
