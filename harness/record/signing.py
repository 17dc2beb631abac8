"""The key that signs a run's evidence, and the keys whose signatures are trusted.

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
import json
import os
from collections.abc import Mapping
from pathlib import Path

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
        raise ConfigError(f"{path} holds no public key: {error}") from error
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
        raise ConfigError(
            f"cannot use the signing key {path}: {error}",
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
