"""Reports that the generator's process runs, before it loads locust, which takes a while.

``python -m harness.load.start`` is how ``running`` starts the generator, and with the address and
the port of a master, a worker.
"""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:]:
        from harness.load import distributed

        host, port = sys.argv[1:]
        distributed.follow(host, int(port))
        return
    sys.stdout.write('{"stage": "loading locust"}\n')
    sys.stdout.flush()
    # No module that opens sockets may be imported before this: locust patches them.
    from harness.load import generator

    generator.main()


if __name__ == "__main__":
    main()
