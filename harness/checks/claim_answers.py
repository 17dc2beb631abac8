"""What pods answered about claims, and how an answer without a value is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from harness.checks.findings import Facts, Finding, looks, unknown, untyped
from harness.model import Case

_PROBE = "claims"

Answers: TypeAlias = Mapping[str, Any]


def seen_of(case: Case) -> tuple[Facts, Answers]:
    """The look at claims, and its value: empty when there was none."""
    seen = looks(case, untyped(_PROBE), [case.cluster.name])
    return seen, seen.values.get(case.cluster.name, {})


def problem_of(where: str, answer: Answers) -> Finding | None:
    """Why an answer has no value: what was refused misbehaved, an error tells nothing."""
    if "refused" in answer:
        return Finding(where, f"expected it to be done, seen {answer['refused']}")
    return None if "value" in answer else unknown(where, str(answer.get("error", "nobody looked")))
