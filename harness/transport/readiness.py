"""Whether a pod can be asked anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_ready(status: Mapping[str, Any]) -> bool:
    """Whether a pod of this status is ready and has an address."""
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    return conditions.get("Ready") == "True" and bool(status.get("podIP"))
