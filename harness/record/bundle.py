"""A run as one signed file, ``bundle.tar.zst``, for others to keep and verify; and the keys.

The bundle holds everything that a verdict rests on, and ``MANIFEST.sha256`` over it (which
``sha256sum -c`` understands). The same files give the same bytes: sorted names, no times, no
owners. ``bundle.tar.zst.sig`` beside it is the signature: it alone says whether anything was
changed; the manifest says what. Verification unpacks nothing.

Each operator has one Ed25519 key: ``$XDG_CONFIG_HOME/cutover/signing.key``, made on first use and
readable by its owner alone, or the file that ``--signing-key`` or ``CUTOVER_SIGNING_KEY`` names (in
CI: a protected secret). Its public half is beside it as ``signing.pub``.

The public key that travels with a signature proves nothing: it only says *which* key signed. The
trusted keys are those pinned beforehand: ``scenarios/signers/NAME.pub``, which are reviewed like
every other file there, and, on the machine that signed, its own key.

The signature covers the SHA-256 of the bundle under a prefix of its own. It can therefore never be
mistaken for a signature of something else, and a bundle of any size is checked in little memory.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from harness.core.errors import ConfigError, NotProven
from harness.settings import config_dir

OWN = "this machine's own key"
_PREFIX = b"cutover bundle 1 sha256 "

NAME = "bundle.tar.zst"
SIGNATURE = f"{NAME}.sig"
MANIFEST = "MANIFEST.sha256"
# Not evidence: derived files and the output of tools. These are not signed.
_UNSIGNED = (NAME, SIGNATURE, "pytest.log", "report.pdf", "allure-results", "allure-report")
_CHUNK = 1 << 20


class Signer:
    """A private key and its uses."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path | None = None) -> Signer:
        """The key in a file, or this machine's own key, which is made when it is missing.

        ConfigError when the file is no Ed25519 key, may be read by others, or cannot be made.
        """
        return cls(_read_private(path) if path is not None else _own())

    @property
    def fingerprint(self) -> str:
        return fingerprint(self._key.public_key())

    def sign(self, digest: str) -> str:
        """The signature of a bundle, given its SHA-256 in hex, as the text of its .sig file."""
        return _text(self._key.public_key(), self._key.sign(_PREFIX + digest.encode()))

    @property
    def secrets(self) -> frozenset[str]:
        """The secret lines of its PEM file."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return frozenset(line for line in pem.splitlines() if not line.startswith("-----"))

    def derived(self, purpose: str) -> bytes:
        """32 bytes that only the key's owner can compute, the same for the same purpose."""
        secret = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        kdf = HKDF(hashes.SHA256(), length=32, salt=None, info=f"cutover {purpose}".encode())
        return kdf.derive(secret)


def fingerprint(key: Ed25519PublicKey) -> str:
    """A key's name: the first 16 hex digits of its SHA-256, in fours."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    text = hashlib.sha256(raw).hexdigest()[:16]
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def believed(folder: Path) -> Mapping[str, str]:
    """Fingerprint to name of every key that is pinned in a folder, and of this machine's own."""
    own = config_dir() / "signing.pub"
    found = {fingerprint(read_public(own)): OWN} if own.exists() else {}
    return found | {fingerprint(read_public(p)): p.stem for p in sorted(folder.glob("*.pub"))}


def read_public(path: Path) -> Ed25519PublicKey:
    """The public key in a PEM file; ConfigError when it holds none."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path} holds no public key: {why}",
            remedy="it is a PEM file: openssl pkey -in signing.key -pubout",
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} is no Ed25519 key", remedy="signatures are Ed25519")
    return key


def signed_by(signature: str, digest: str) -> str:
    """The fingerprint of the key that made a signature of this digest.

    NotProven when the text is no signature, or is a signature of something else.
    """
    try:
        document = json.loads(signature)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(document["public_key"]))
        proof = base64.b64decode(document["signature"])
        key.verify(proof, _PREFIX + digest.encode())
    except InvalidSignature as error:
        raise NotProven("the signature is not of this bundle") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotProven(f"the signature file is damaged: {error}") from error
    if _text(key, proof) != signature:  # JSON and base64 can say the same in many ways
        raise NotProven("the signature file was changed")
    return fingerprint(key)


def _text(key: Ed25519PublicKey, proof: bytes) -> str:
    """The only accepted text form of a signature."""
    public = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    document = {
        "schema": 1,
        "algorithm": "ed25519",
        "public_key": base64.b64encode(public).decode(),
        "signature": base64.b64encode(proof).decode(),
    }
    return json.dumps(document, indent=2) + "\n"


def _own() -> Ed25519PrivateKey:
    path = config_dir() / "signing.key"
    if not path.exists():
        _make(path)
    return _read_private(path)


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} may be read by others", remedy=f"chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"cannot use the signing key {path}: {why}",
            remedy="it is a PEM file without a passphrase: openssl genpkey -algorithm ed25519",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is no Ed25519 key", remedy="openssl genpkey -algorithm ed25519")
    return key


def _make(path: Path) -> None:
    """Make a new key; if two are made at once, one wins and both use it."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
        try:
            path.hardlink_to(partial)
            path.with_suffix(".pub").write_bytes(public)
        except FileExistsError:
            return
        finally:
            partial.unlink()
    except OSError as error:
        raise ConfigError(
            f"cannot make a signing key in {path.parent}: {error.strerror}",
            remedy="name one that exists with --signing-key or CUTOVER_SIGNING_KEY",
        ) from error


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
        raise ConfigError(f"there is no bundle {bundle}", remedy="./cutover history lists the runs")
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
