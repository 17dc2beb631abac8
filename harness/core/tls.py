"""Trust in the authority of a certificate: what every TLS connection of the harness checks."""

from __future__ import annotations

import ssl


def trusting(*, file: str | None = None, pem: str | None = None) -> ssl.SSLContext:
    """Trust in an authority, as a file or as its text; without both, in those of this system.

    Authority, host and dates are checked. Python 3.13 also wants key identifiers, which RKE2's
    certificates have not (``VERIFY_X509_STRICT``); no browser asks for them.
    """
    trust = ssl.create_default_context(cafile=file, cadata=pem)
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return trust
