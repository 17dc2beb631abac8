"""One GET to one HTTPS server, with the certificate that it showed; and connection errors."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from harness.core.errors import Denied, NotListening, TimedOut, Unreachable
from harness.transport.deadline import hang_up, within
from harness.transport.protocols import Answer

T = TypeVar("T")
_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Trusted authority and client identity (PEM); no ``ca_file``: the system's authorities."""

    ca_file: str | None
    cert_file: str | None = None
    key_file: str | None = None
    authorization: str | None = None


def get(url: str, credentials: Credentials | None, *, within_s: float) -> Answer:
    """Ask one server; without credentials the harness sends none and verifies no certificate.

    Raises Denied when the certificate is not signed by the authority, NotListening when the port is
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
    """Trust only the cluster's authority, show the client identity; without credentials neither."""
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


def answered(
    call: Callable[[], T],
    what: str,
    within_s: float,
    connection: Callable[[], socket.socket | None],
    *,
    refusal: type[ssl.SSLError] = ssl.SSLError,
    because: str = "",
) -> T:
    """What the call returns within ``within_s`` seconds; the call closes its connection.

    Raises Denied for a TLS error that is a ``refusal``, with ``because`` before its message,
    NotListening when the port is closed, Unreachable or TimedOut when no answer comes.
    """
    try:
        return within(within_s, call, what=what, abandon=lambda: hang_up(connection()))
    except refusal as error:
        says = getattr(error, "verify_message", "") or error
        raise Denied(f"{what}: {because}{says}") from error
    except TimeoutError as error:
        raise TimedOut(f"{what}: no answer within {within_s:g} s") from error
    except ConnectionRefusedError as error:
        raise NotListening(f"{what}: connection refused") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{what}: {error or type(error).__name__}") from error
