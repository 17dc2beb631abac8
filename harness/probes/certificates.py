"""What a certificate in PEM says of itself."""

from __future__ import annotations

from cryptography import x509

from harness.errors import TransportError
from harness.model import JSON


def describe(pem: str) -> dict[str, JSON]:
    """Subject and end of validity (UTC seconds since the epoch); TransportError when garbled."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise TransportError(f"not a certificate: {error}") from error
    return {
        "subject": certificate.subject.rfc4514_string(),
        "not_after": certificate.not_valid_after_utc.timestamp(),
    }
