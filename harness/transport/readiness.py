"""Whether a pod can be asked anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_ready(status: Mapping[str, Any]) -> bool:
    """Whether a pod of this status is ready and has an address."""
    conditions = {it.get("type"): it.get("status") for it in status.get("conditions") or ()}
    return conditions.get("Ready") == "True" and bool(status.get("podIP"))
