"""How drills and soaks end, also early: the ledger is read back, and what is known is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from harness.drill.ledger_health import Books
from harness.errors import HarnessError, Unhealed

BY_HAND = "stopped by hand"


def how_it_ended(error: BaseException) -> dict[str, str]:
    """What is told of a drill or a soak that ended by hand, or whose fault stayed."""
    if isinstance(error, KeyboardInterrupt):
        return {"ended": BY_HAND}
    return {"unhealed": str(error)} if isinstance(error, Unhealed) else {}


def in_words(error: BaseException) -> str:
    """An error in the words of a report, also one that is a defect of the harness."""
    if isinstance(error, KeyboardInterrupt):
        return BY_HAND
    return str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"


@contextmanager
def read_back(books: Books, run: dict[str, Any], tell: Callable[[str], None]) -> Iterator[None]:
    """However the body ends, what was written is read back."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # what ended the body is told
            tell("reading back what was written")
            run["ledger"] = dict(books.tally())
        raise
    tell("reading back what was written")
    run["ledger"] = dict(books.tally())
