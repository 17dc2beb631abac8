"""The ``cutover`` command: its subcommands, and the exit status of each ending."""

from __future__ import annotations

import atexit
import gc
import sys
import traceback
from typing import NoReturn

import typer

from harness.commands.backup import backup
from harness.commands.bench import bench
from harness.commands.doctor import doctor
from harness.commands.heal import heal
from harness.commands.lab import lab
from harness.commands.load import load
from harness.commands.output import say_json
from harness.commands.own_checks import lint, test
from harness.commands.past_runs import history, report, verify
from harness.commands.plan import plan
from harness.commands.provision import provision
from harness.commands.rehearse import rehearse
from harness.commands.runbook import runbook
from harness.commands.runs import drill, gate, replay, soak
from harness.commands.shift import shift
from harness.core.errors import HarnessError
from harness.core.model import Exit

_INTERRUPTED = 130  # typer's exit status after Ctrl-C

app = typer.Typer(
    name="cutover",
    help="Decides, week by week, whether the migration from Docker Swarm to RKE2 may go on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for command in (
    *(gate, drill, rehearse, load, soak, replay, shift, plan, heal, doctor),
    *(report, verify, history, runbook, lint, test),
):
    app.command()(command)
app.add_typer(bench)
app.add_typer(backup, name="backup")
app.add_typer(lab)
app.add_typer(provision)


def main() -> NoReturn:
    """Run a command; each way in which it can end has an exit status (harness.core.model.Exit)."""
    # A process that ends needs no garbage collection: the system frees all of it at once.
    atexit.register(gc.freeze)
    try:
        app(prog_name="./cutover")
    except SystemExit as end:
        sys.exit(int(Exit.NOT_PROVEN) if end.code == _INTERRUPTED else end.code)
    except HarnessError as error:
        _explain(str(error), Exit.of(error))
    except Exception as error:
        traceback.print_exc()
        broke = f"the harness itself broke: {type(error).__name__}: {error}"
        _explain(broke, Exit.of(error))
    sys.exit(int(Exit.GO))


def _explain(text: str, status: Exit) -> NoReturn:
    sys.stderr.write(f"cutover: {text}\n")
    if "--json" in sys.argv:
        say_json({"schema": 1, "error": text, "exit": int(status)})
    sys.exit(int(status))
