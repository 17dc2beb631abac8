"""The small platform's pages as a process: how it ends."""

from __future__ import annotations

import os
import subprocess
import sys

from harness.core.waiting import until
from harness.lab.platform import SERVICES
from harness.tests.platform_processes import answers
from harness.tests.ports import free_port


def test_the_first_process_of_a_container_ends_by_itself_when_it_is_told_to() -> None:
    """Without a handler of its own such a process gets no signal, and is killed much later."""
    url = f"http://127.0.0.1:{free_port()}"
    own = {**os.environ, "PART": "frontend", "PORT": url.rpartition(":")[2]}
    with subprocess.Popen(
        (sys.executable, "-m", SERVICES.name), env=own, cwd=SERVICES.parent
    ) as process:
        try:
            until(lambda: answers(url), within_s=60, what="the frontend answers")
            process.terminate()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
