"""Says that the generator's process is there, before locust is loaded: that takes its time.

``python -m harness.load.start`` is how ``running`` starts the generator.
"""

from __future__ import annotations

import sys


def main() -> None:
    sys.stdout.write('{"stage": "loading locust"}\n')
    sys.stdout.flush()
    # Nothing that opens sockets may be imported before this: it replaces them.
    from harness.load import generator

    generator.main()


if __name__ == "__main__":
    main()
