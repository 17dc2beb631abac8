"""``python -m harness`` is the ``cutover`` command."""

from harness.commands.cli import main

if __name__ == "__main__":
    main()
