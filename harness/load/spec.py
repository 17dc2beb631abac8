"""What the generator is told. Standard library only: its process loads little beside locust."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import NamedTuple, Self

# A request that begins later than this after it was due was not offered as planned. Nobody waits
# for an earlier answer (`users`), so only the generator itself can be the reason.
ON_TIME_S = 1.0


class Page(NamedTuple):
    """What is asked for, and what is an answer: a status (None: any below 400), words in it."""

    host: str
    path: str
    status: int | None = None
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """Whom to ask, for what, how often and for how long.

    ``scheme`` is http or https. ``authority`` is a PEM file; None: what this system trusts.
    ``users`` are so many that each is free again, even after a request that timed out, when its
    next one is due.
    """

    addresses: Sequence[str]
    pages: Sequence[Page]
    authority: str | None
    per_s: float
    timeout_s: float
    lasts_s: float
    users: int
    scheme: str = "https"
    port: int = 443

    @classmethod
    def from_line(cls, line: str) -> Self:
        told = json.loads(line)
        return cls(**{**told, "pages": [Page(*page) for page in told["pages"]]})

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    def host_of(self, page: Page) -> str:
        """The host as a request names it: with the port where that is not the scheme's own."""
        usual = self.port == (443 if self.scheme == "https" else 80)
        return page.host if usual else f"{page.host}:{self.port}"

    def __str__(self) -> str:
        where = ", ".join(f"{self.scheme}://{self.host_of(it)}{it.path}" for it in self.pages)
        return (
            f"{self.per_s:g} requests/s to {where} at {', '.join(self.addresses)}; "
            f"each is given up after {self.timeout_s:g} s"
        )


def users_for(per_s: float, timeout_s: float) -> int:
    """How many users a rate needs so that none is still busy when its next request is due."""
    return ceil(per_s * (timeout_s + ON_TIME_S))


def due_at(began: float, number: int, per_s: float) -> float:
    """When a request is due: the plan knows nothing of what became of the others."""
    return began + number / per_s
