"""Reports that the generator's process runs, before it loads locust, which takes a while.

``python -m harness.load.start`` is how ``running`` starts the generator.
"""

from __future__ import annotations

import sys


def main() -> None:
    sys.stdout.write('{"stage": "loading locust"}\n')
    sys.stdout.flush()
    # No module that opens sockets may be imported before this: locust patches them.
    from harness.load import generator

    generator.main()


if __name__ == "__main__":
    main()
