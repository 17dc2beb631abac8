"""Subject and end of validity of a certificate in PEM."""

from __future__ import annotations

from cryptography import x509

from harness.core.errors import TransportError
from harness.facts.kubernetes import Certificate


def describe(pem: str) -> Certificate:
    """Raises TransportError when garbled."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise TransportError(f"not a certificate: {error}") from error
    return Certificate(found.subject.rfc4514_string(), found.not_valid_after_utc.timestamp())
