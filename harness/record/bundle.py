"""A run as one signed file, ``bundle.tar.zst``, for others to keep and verify.

The bundle holds everything that a verdict rests on, and ``MANIFEST.sha256`` over it (which
``sha256sum -c`` understands). The same files give the same bytes: sorted names, no times, no
owners. ``bundle.tar.zst.sig`` beside it is the signature (harness.record.signing).

The signature alone says whether anything was changed; the manifest says what. Verification unpacks
nothing.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from harness.core.errors import ConfigError, NotProven
from harness.record.signing import Signer, signed_by

NAME = "bundle.tar.zst"
SIGNATURE = f"{NAME}.sig"
MANIFEST = "MANIFEST.sha256"
# Not evidence: derived files and the output of tools. These are not signed.
_UNSIGNED = (NAME, SIGNATURE, "pytest.log", "report.pdf", "allure-results", "allure-report")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of verifying a bundle.

    ``changed`` lists what differs from the signed state; ``doubts`` says why that cannot be told.
    ``signer`` is the key's name, or its fingerprint when the key is not pinned.
    """

    changed: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    signer: str | None = None
    files: int = 0

    @property
    def is_intact(self) -> bool:
        return not self.changed and not self.doubts


def pack(folder: Path, signer: Signer) -> Path:
    """Write the bundle of a run and its signature into the run's folder; returns the bundle."""
    files = sorted(_files(folder))
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in files]
    bundle, partial = folder / NAME, folder / f".{NAME}.part"
    with partial.open("wb") as raw:
        compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        with (
            compressor.stream_writer(raw, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            _add(archive, MANIFEST, io.BytesIO("".join(lines).encode()))
            for name in files:
                with (folder / name).open("rb") as file:
                    _add(archive, name, file)
    (folder / SIGNATURE).write_text(signer.sign(_sha256(partial)), encoding="utf-8")
    partial.replace(bundle)
    return bundle


def verify(bundle: Path, believed: Mapping[str, str]) -> Verified:
    """Verify that a bundle is as signed, by a trusted key; ConfigError when there is no bundle.

    ``believed`` maps the fingerprint of a key to the name under which it was pinned.
    """
    if not bundle.is_file():
        raise ConfigError(f"there is no bundle {bundle}")
    changed, doubts, signer = list[str](), list[str](), None
    signature = bundle.with_name(f"{bundle.name}.sig")
    try:
        text = signature.read_bytes().decode()
        key = signed_by(text, _sha256(bundle))
        signer = believed.get(key, key)
        if key not in believed:
            doubts.append(f"it is signed by the key {key}, which is not pinned")
    except OSError as error:
        doubts.append(f"there is no signature {signature}: {error.strerror}")
    except (NotProven, UnicodeDecodeError) as error:
        changed.append(str(error))
    listed: Mapping[str, str] = {}
    try:
        listed, held = _contents(bundle)
        changed += _differences(listed, held)
    except _UNREADABLE as error:
        changed.append(f"the archive cannot be read to its end: {error}")
    return Verified(changed=tuple(changed), doubts=tuple(doubts), signer=signer, files=len(listed))


def verify_folder(folder: Path, believed: Mapping[str, str]) -> Verified:
    """Verify the bundle, and that the files in the run's folder are those that were signed."""
    found = verify(folder / NAME, believed)
    try:
        listed, _ = _contents(folder / NAME)
    except _UNREADABLE:
        return found
    held = {name: _sha256(folder / name) for name in _files(folder)}
    beside = tuple(f"in the folder, {it}" for it in _differences(listed, held))
    return Verified(
        changed=found.changed + beside,
        doubts=found.doubts,
        signer=found.signer,
        files=found.files,
    )


_UNREADABLE = (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError, OSError, OverflowError)


def _contents(bundle: Path) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Name to SHA-256, as the manifest lists them and as the archive holds them."""
    listed, held = dict[str, str](), dict[str, str]()
    with (
        bundle.open("rb") as raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as packed,
        tarfile.open(fileobj=packed, mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member)
            if not member.isreg() or content is None:
                raise ValueError(f"{member.name} is no plain file")
            if member.name in held or (member.name == MANIFEST and listed):
                raise ValueError(f"it holds {member.name} twice")
            if member.name == MANIFEST:
                lines = content.read().decode().splitlines()
                listed = {name: digest for digest, _, name in (it.partition("  ") for it in lines)}
            else:
                held[member.name] = _digest(content)
    return listed, held


def _differences(listed: Mapping[str, str], held: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(listed.keys() | held.keys()):
        if name not in held:
            yield f"{name} is missing"
        elif name not in listed:
            yield f"{name} is not in the manifest"
        elif held[name] != listed[name]:
            yield f"{name} was changed"


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and name.parts[0] not in _UNSIGNED:
            yield name.as_posix()


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    archive.addfile(entry, content)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
