"""One GET at one HTTPS server, with the certificate that it showed."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.transport.answers import answered
from harness.transport.protocols import Answer

_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Whom we trust and who we are, in PEM files; without ``ca_file`` the system's authorities."""

    ca_file: str | None
    cert_file: str | None = None
    key_file: str | None = None
    authorization: str | None = None


def get(url: str, credentials: Credentials | None, *, within_s: float) -> Answer:
    """Ask one server; without credentials it gets nothing and its certificate is not verified.

    Raises Denied when the certificate is not the authority's, NotListening when the port is
    closed, Unreachable or TimedOut when no answer comes.
    """
    target = urlsplit(url)
    path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
    connection = http.client.HTTPSConnection(
        target.hostname or "", target.port, timeout=within_s, context=tls_context(credentials)
    )
    headers = {"Accept": "application/json, text/plain"}
    if credentials and credentials.authorization:
        headers["Authorization"] = credentials.authorization

    def ask() -> Answer:
        with closing(connection):
            connection.request("GET", path, headers=headers)
            shown = connection.sock.getpeercert(binary_form=True) or b""
            response = connection.getresponse()
            return Answer(
                status=response.status,
                body=response.read(_MOST_BYTES).decode(errors="replace"),
                certificate=ssl.DER_cert_to_PEM_cert(shown),
            )

    return answered(
        ask,
        f"GET {url}",
        within_s,
        lambda: connection.sock,
        refusal=ssl.SSLCertVerificationError,
        because="the certificate is not signed by the authority in the kubeconfig, or not for this "
        "address: ",
    )


def tls_context(credentials: Credentials | None) -> ssl.SSLContext:
    """Trust the cluster's authority alone and show who we are; or, without credentials, neither."""
    if credentials is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context = ssl.create_default_context(cafile=credentials.ca_file)
    # Python 3.13 wants extensions that the certificates of RKE2 do not carry.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if credentials.cert_file:
        context.load_cert_chain(credentials.cert_file, credentials.key_file)
    return context
