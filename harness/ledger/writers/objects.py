"""Kubernetes objects, stored in etcd: one ConfigMap per write.

After any error of the API, the outcome is unknown: the error may come from a proxy in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from harness.core.errors import NotProven
from harness.ledger.checker import Found
from harness.ledger.writers.protocol import ANSWERS_WITHIN_S, WriterSetup, seal, unsealed
from harness.transport.objects import listed, must, part, text

_WRITERS = 2
_PAGE = 500
_LABEL = "cutover/ledger"


class Objects:
    """Creates one ConfigMap per write."""

    def __init__(self, setup: WriterSetup, number: int) -> None:
        self.name = f"objects/{number}"
        self._run, self._kube = setup.run, setup.reach.kube
        self._path = f"/api/v1/namespaces/{setup.space}/configmaps"

    def send(self, seq: int) -> None:
        sealed = seal(self._run, self.name, seq)
        name = f"{self.name.replace('/', '-')}-{seq}"
        made = self._kube.create(
            self._path,
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "labels": {_LABEL: "objects"}},
                "data": {"writer": self.name, "seq": str(seq), "seal": sealed},
            },
            within_s=ANSWERS_WITHIN_S,
        )
        if text(made, "data", "seal") != sealed:
            raise NotProven(f"{name}: the API stored other data: {part(made, 'data')}")

    def read(self) -> Iterator[Found]:
        more = ""
        while True:
            query = {"labelSelector": f"{_LABEL}=objects", "limit": _PAGE, "continue": more}
            page = self._kube.get(f"{self._path}?{urlencode(query)}", within_s=30.0)
            for item in listed(page, "items"):
                writer, seq, sealed = (must(item, "data", it) for it in ("writer", "seq", "seal"))
                yield from unsealed(self._run, writer, int(seq), sealed)
            more = text(page, "metadata", "continue") or ""
            if not more:
                return

    def abandon(self) -> None:
        """Every API call has its own deadline."""

    def close(self) -> None:
        """The connections belong to the API client."""


def writers(setup: WriterSetup) -> Sequence[Objects]:
    return [Objects(setup, number) for number in range(_WRITERS)]
