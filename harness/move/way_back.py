"""The way back: the last safe share, armed on the front's machine, which sets it by itself.

It is stored like the undo of a fault: a systemd timer runs it when the harness does not renew its
lease. The harness may be killed at any moment, or lose its network.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from harness.core.errors import HarnessError, NotProven
from harness.faults.fault_lifecycle import LEASE_S
from harness.faults.model import Argv, Undo

# Three chances to renew before the lease ends.
_RENEWALS = 3.0
_PROMPT_S = 1.0


class Store(Protocol):
    """Where an undo is kept: ``harness.faults.undo_store`` on a machine."""

    def arm(self, undo: Undo) -> None: ...
    def renew(self, undo: Undo) -> bool: ...
    def heal(self, undo: Undo) -> None: ...


class WayBack:
    """Keeps the safe share armed. Safe to use from many threads.

    ``command`` is what sets a share on ``machine``. ``is_lost`` is true once the machine has gone
    back by itself: no more steps may be taken then.
    """

    def __init__(
        self,
        store: Store,
        machine: str,
        command: Callable[[int], Argv],
        *,
        lease_s: float = LEASE_S,
    ) -> None:
        self.is_lost = False
        self._store = store
        self._machine = machine
        self._command = command
        self._lease_s = lease_s
        self._id = f"shift{secrets.token_hex(4)}"
        self._turn = threading.Lock()
        self._undo: Undo | None = None
        # False from an order to arm until the machine has confirmed it.
        self._is_confirmed = True

    def arm(self, share: int) -> None:
        """From now on this share is the safe one; it replaces the one that was armed before.

        NotProven when the machine has gone back by itself.
        """
        undo = Undo(
            id=self._id,
            fault="shift",
            target=f"the traffic, back to {share} %",
            place=self._machine,
            commands=(self._command(share),),
            lease_s=self._lease_s,
        )
        if self._undo is not None:
            self.renew()
        with self._turn:
            self._is_confirmed = False
            self._store.arm(undo)
            self._undo, self._is_confirmed = undo, True

    def renew(self) -> None:
        """Begin the lease anew; NotProven when the machine has gone back by itself."""
        with self._turn:
            if self._undo is None:
                return
            self.is_lost = self.is_lost or not self._store.renew(self._undo)
            if self.is_lost:
                raise NotProven(
                    f"{self._machine} set the safe share by itself: its lease was not renewed in "
                    f"{self._lease_s:g} s"
                )

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease while the body runs; without an answer, it is tried again."""
        stop = threading.Event()

        def keep() -> None:
            while not (self.is_lost or stop.wait(self._lease_s / _RENEWALS)):
                try:
                    self.renew()
                except HarnessError:  # the machine counts down by itself
                    continue

        thread = threading.Thread(target=keep, name="lease of the way back", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=_PROMPT_S)  # a renewal without an answer delays nothing

    def release(self) -> None:
        """Set the safe share a last time, and remove it; Unhealed when that failed."""
        with self._turn:
            if self._undo is None:
                return
            # The machine may have stored a share that is not the safe one.
            if not self._is_confirmed:
                self._store.arm(self._undo)
            self._store.heal(self._undo)
            self._undo = None
