"""The flaws that the environment can switch on: DEFECTS=stall,errors.

Each is a way in which a migrated platform misbehaves, and has a check that must find it.
"""

from __future__ import annotations

import os

DEFECTS = {
    "stall": "one request in twenty is answered after five seconds",
    "errors": "one request in a hundred is answered with 500",
    "error-body": "an error is answered with 200, and with the error in the body",
    "renamed-field": "the field `status` of an answer is called `state`",
    "lost-header": "the header X-Service-Version is missing",
    "changed-redirect": "the redirect of notification's /health leads elsewhere",
    "insecure-cookie": "the session's cookie is without Secure",
    "auth-limit": "a second log-in within a minute is answered with 429",
    "static-health": "/health/database says healthy without asking the database",
    "one-connection": "all requests share one connection to the database",
    "webhook-twice": "billing registers its webhook once more at each start",
    "no-quota": "an instance's storage is not limited",
    "empty-archive": "a backup has an empty archive, and the status completed",
    "leave-object": "a deleted instance leaves its Service behind",
    "leave-claim": "a deleted instance leaves its storage behind",
    "leave-database": "a deleted instance leaves its database behind",
    "leave-role": "a deleted instance leaves its role behind",
    "script-error": "the frontend's script has an error, beside what works",
    "wrong-field": "the frontend's page calls the API without the customer's email",
    "blocked-resource": "the frontend's page needs a style sheet of a host that has no answer",
    "static-path": "a move to a server of its own leaves the data on the shared one",
}
WANTED = frozenset(filter(None, os.environ.get("DEFECTS", "").split(",")))
if UNKNOWN := WANTED - DEFECTS.keys():
    raise ValueError(f"unknown in DEFECTS: {', '.join(sorted(UNKNOWN))}")


def on(name: str) -> bool:
    """True if this defect is switched on."""
    assert name in DEFECTS, name
    return name in WANTED
