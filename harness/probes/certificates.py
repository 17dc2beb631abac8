"""The harness's own certificate authority, for its test sites, and what a certificate says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.core.errors import TransportError
from harness.facts.kubernetes import Certificate


def describe(pem: str) -> Certificate:
    """Raises TransportError when garbled."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise TransportError(f"not a certificate: {error}") from error
    return Certificate(found.subject.rfc4514_string(), found.not_valid_after_utc.timestamp())


class Authority:
    """An authority with a new key; clients must trust ``pem``."""

    def __init__(self, name: str = "cutover") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        own = _certificate(self._name, self._key, days=3650)
        own = own.issuer_name(self._name)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        identity = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        own = own.add_extension(identity, critical=False)
        self.pem = _pem(own.sign(self._key, hashes.SHA256()))

    def issue(self, host: str, *, days: float = 1) -> tuple[str, str]:
        """A certificate for a host, by name or address, and its key, in PEM.

        With negative days it has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(_named(host), key, days=days).issuer_name(self._name)
        names = x509.SubjectAlternativeName([_alternative(host)])
        made = made.add_extension(names, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(issuer, critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(made.sign(self._key, hashes.SHA256())), private.decode()


def _certificate(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    # Clocks differ, and an expired certificate must have begun earlier.
    begins = min(now, now + timedelta(days=days)) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(now + timedelta(days=days))
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _named(text: str) -> x509.Name:
    # A common name has at most 64 characters; hosts are in the alternative names anyway.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
