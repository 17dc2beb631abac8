"""Moves whose writes go through the front, and single writers, over two small platforms."""

from __future__ import annotations

from typing import Any, cast

from harness.drill.context import DrillContext, Options
from harness.drill.shift import move_traffic
from harness.facts.shift import Shift
from harness.move.session import Account
from harness.move.shift import Order
from harness.move.writes import FrontWriter, FrontWrites, Written
from harness.settings.shift import Writes
from harness.tests.moving import client
from harness.tests.test_way_back import Context
from harness.tests.two_platforms import Platforms

WRITES: dict[str, Any] = {
    "send": {
        "host": "app.example.com",
        "path": "/writes",
        "body": {"text": "{write}"},
        "status": 201,
        "says": "stored",
    },
    "read": {"method": "GET", "host": "app.example.com", "path": "/writes"},
    "remove": {"method": "DELETE", "host": "app.example.com", "path": "/writes/{writes}"},
}
LOGIN: dict[str, Any] = {"host": "app.example.com", "path": "/login"}
ALLOWED = Options(allowed=True, seed=1)
TO_ALL = Order(shares=(100,), rehearsal=False, agreed="R. Winter")


def moving(
    platforms: Platforms,
    context: Context,
    order: Order = TO_ALL,
    sampling: Any = None,
    **changes: Any,
) -> Shift:
    """A move, to 100 % by default, whose writes go through the front."""
    writes = {**WRITES, **changes}
    more = {} if sampling is None else {"sampling": sampling}
    told = platforms.declared(writes=writes, visitors=None, writes_per_s=50, **more)
    return move_traffic(told, order, cast("DrillContext", context))


def account(platforms: Platforms, who: str, **changes: Any) -> Account:
    told = Writes.model_validate({**WRITES, **changes})
    return Account(who, told, client(platforms).log_in, b"", lambda _: None)


def writer(platforms: Platforms, *, written: Written | None = None, **changes: Any) -> FrontWriter:
    told = Writes.model_validate({**WRITES, **changes})
    one = account(platforms, "one", **changes)
    seen = Written() if written is None else written
    return FrontWriter(FrontWrites(client(platforms), told, "run", seen), one, 0)
