"""A harness that kills itself during a look: it sends itself SIGKILL once its claim is bound.

``python -m harness.tests.lab.killed_owner PROFILE``: prints the name of its namespace.
"""

from __future__ import annotations

import os
import signal
import sys

from harness.facts.claims import Bound
from harness.probes import claim_objects, pods
from harness.probes.claim_objects import MIB
from harness.settings import load_profile
from harness.transport import connect


def main(name: str) -> None:
    with connect(load_profile(name)) as reach, pods.namespace(reach.kube, claims=True) as space:
        bound = claim_objects.bind(reach, space, sizes={"left": 16 * MIB}, within_s=60)
        left = bound["left"]
        sys.stdout.write(f"{space} {(left.volume if isinstance(left, Bound) else None) or ''}\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
