"""Certificates of the lab's own authorities that expire when a test needs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def authority(common_name: str) -> bytes:
    """A certificate authority that no client trusts, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def ending_in(certificate: Path, authority: Path, left: timedelta) -> bytes:
    """The same certificate, in PEM, signed again by its authority (``.crt`` beside ``.key``).

    It keeps its key and names, and expires ``left`` from now; a negative one has expired already.
    """
    old = x509.load_pem_x509_certificate(certificate.read_bytes())
    signer = x509.load_pem_x509_certificate(authority.read_bytes())
    key = serialization.load_pem_private_key(authority.with_suffix(".key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(signer.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + left)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
