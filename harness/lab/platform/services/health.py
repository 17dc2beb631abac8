"""What each part says about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import settings

if TYPE_CHECKING:
    # frontend-service does without it.
    from fastapi import FastAPI

VERSION = "1.0.0"
# Of every answer.
HEADER = "X-Service-Version"


def said() -> dict[str, str]:
    """A /health that is always well."""
    return {"status": "healthy", "service": f"{settings.PART}-service", "version": VERSION}


def static(app: FastAPI) -> None:
    """That /health, and the root."""
    well = said()
    app.add_api_route("/health", lambda: well)
    app.add_api_route("/", lambda: {**well, "status": "running"})
