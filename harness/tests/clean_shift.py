"""A rehearsed move of the traffic that went as it should, as it is observed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from harness.tests import clean_storage
from harness.tests.clean_cluster import CLUSTER


def seen() -> dict[str, dict[str, Any]]:
    """What its probe would be, if the move were one."""
    return {"shift": {CLUSTER.name: _shift()}}


def side(answers: int, p99_ms: float | None = 40.0) -> Any:
    return {"answers": answers, "errors_at": [], "errors": {}, "p99_ms": p99_ms}


def shift_step(share: int) -> Any:
    """A share that was set, seen and good: a hundred thousand requests without an error."""
    source, target = 1000 * (100 - share), 1000 * share
    return {
        "share": share,
        "reads": share,
        "shown_s": 2.5,
        "window": {
            "lasted_s": 60.0,
            "front": side(source + target),
            "source": side(source),
            "target": side(target),
            "nameless": 0,
            "limited": 0,
        },
        "reference_p99_ms": 40.0,
        "quality": "good",
        "says": "",
    }


def _shift() -> Any:
    """Two steps, rehearsed: the share came back from both."""
    back = {
        "to_share": 0,
        "because": "rehearsed",
        "first_error_s": None,
        "set_s": 0.4,
        "back_s": 2.0,
        "after": None,
        "left_behind": [],
    }
    test = {"p0": 0.001, "p1": 0.01, "alpha": 0.01, "beta": 0.01, "most": 20_000}
    return {
        "ordered": [10, 100],
        "rehearsal": True,
        "rules": {"test": test, "p99_ratio": 1.5, "p99_floor_ms": 100.0},
        "before": shift_step(0),
        "steps": [shift_step(10), shift_step(100)],
        "returns": [{**back, "from_share": share} for share in (100, 10)],
        "sessions": {"visitors": 10, "requests": 900, "failed": 0, "lost": {}, "silent": []},
        "no_return": {
            "from_share": 100,
            "needs": {"the registry answers": ""},
            "counts": {"first invoice": {"before": 7, "after": 7}},
            "agreed": None,
        },
        "ledger": deepcopy(clean_storage.seen()["ledger"]),
        "left": 0,
        "stopped": None,
        "by_hand": False,
    }
