"""429 Too Many Requests (RFC 6585): a server limits one client. Standard library only.

An ingress counts by source address, and all requests of the harness have one: a 429 proves nothing
about service to customers.
"""

from __future__ import annotations

from collections.abc import Mapping

TOO_MANY = 429
# Traefik sends the first two; others are the drafts that proxies and services follow.
_NOTED = ("retry-after", "x-retry-in", "ratelimit", "x-ratelimit", "x-rate-limit")
_MOST = 40


def told(headers: Mapping[str, str]) -> str:
    """What a 429 says about its limit, verbatim: ``retry-after: 2, x-retry-in: 1.9s``.

    Header names are in small letters; empty if it says none.
    """
    noted = (name for name in sorted(headers) if name.startswith(_NOTED))
    return ", ".join(f"{name}: {headers[name][:_MOST]}" for name in noted)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a 429 says to wait; None if it does not say, or names a date instead."""
    said = headers.get("retry-after", "").strip()
    return float(said) if said.isascii() and said.isdigit() else None
