"""What instance-service needs of Swarm and Kubernetes, and an instance as all of them know it."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from . import calls, settings

READY_WITHIN_S = 180
_UNITS = {"M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Instance:
    """A customer's instance; sizes as they were booked: 10G."""

    id: str
    customer: str
    subdomain: str
    database: str
    storage: str
    memory: str
    host: str
    port: int

    @property
    def id8(self) -> str:
        return self.id[:8]

    @property
    def name(self) -> str:
        """Of its service or deployment."""
        return f"odoo-{self.subdomain}-{self.id8}"

    @property
    def folder(self) -> str:
        """Of its data, below odoo_instances."""
        return f"odoo_data_{self.subdomain}_{self.id8}"

    @property
    def claim(self) -> str:
        return f"odoo-instance-{self.id.replace('-', '')}"

    @property
    def domain(self) -> str:
        return f"{self.subdomain}.{settings.DOMAIN}"

    @property
    def password(self) -> str:
        """Of its role; it follows from the superuser's, so that nothing has to keep it."""
        key = settings.superuser().password.encode()
        return hmac.new(key, self.database.encode(), hashlib.sha256).hexdigest()[:32]

    def environment(self) -> dict[str, str]:
        """What the instance's program is told."""
        return {
            "PART": "odoo",
            "HOST": "0.0.0.0",
            "CUSTOMER": self.subdomain,
            "POSTGRES_HOST": self.host,
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_DB": self.database,
            "DB_SERVICE_USER": self.database,
            "DB_SERVICE_PASSWORD": self.password,
        }


class Orchestrator(Protocol):
    """Makes instances. Each method returns when its work is done."""

    def create(self, it: Instance) -> None:
        """Storage with its quota, the program, and the way to it."""

    def scale(self, it: Instance, replicas: int) -> None:
        """Start or stop; returns when a stopped one no longer runs."""

    def point(self, it: Instance) -> None:
        """Let the program use the database that the instance now has."""

    def resize(self, it: Instance) -> None:
        """Give it the storage that it now has booked."""

    def archive(self, it: Instance, what: str, backup: str) -> None:
        """Make a backup or restore one: `what` is backup or restore."""

    def remove(self, it: Instance) -> None:
        """Everything that create made."""

    def internal_url(self, it: Instance) -> str: ...

    def external_url(self, it: Instance) -> str: ...

    def wait_ready(self, it: Instance) -> None:
        """Return when its page, which reads its database, is there; TimeoutError."""


def size_bytes(size: str) -> int:
    """10G in bytes."""
    number = size.removesuffix("i")
    return int(number[:-1]) * _UNITS[number[-1]]


def wait_answer(url: str, within_s: float = READY_WITHIN_S) -> None:
    """Return when the address answers well."""
    until = time.monotonic() + within_s
    pause = threading.Event()
    while True:
        try:
            calls.call("GET", url)
        except (OSError, calls.CallFailed) as error:
            if time.monotonic() > until:
                raise TimeoutError(f"{url} does not answer: {error}") from error
            pause.wait(0.5)
        else:
            return
