"""``./cutover verify BUNDLE``: checks that the evidence and its signature are intact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.output import AsJson, say, say_json
from harness.core.model import Exit
from harness.record.bundle import verify as verify_bundle
from harness.record.bundle import verify_folder
from harness.record.history import run_folder
from harness.record.signing import believed, fingerprint, read_public
from harness.settings import ROOT


def verify(
    bundle: Annotated[
        str, typer.Argument(help="A bundle.tar.zst; or a run, whose folder is compared too.")
    ] = "latest",
    signer: Annotated[
        Path | None, typer.Option(help="Believe this public key (PEM) and no other.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a bundle is as signed, by a pinned key; unpacks nothing.

    Example: ./cutover verify reports/latest/bundle.tar.zst

    Pinned are scenarios/signers/NAME.pub and this machine's own key. Ends with 0 (intact), 1
    (changed, or a file is missing or extra), 2 (there is none), 3 (unsigned, or by an unknown key).
    """
    keys = believed(ROOT / "scenarios/signers")
    if signer is not None:
        keys = {fingerprint(read_public(signer)): signer.stem}
    if _is_file(bundle):
        found = verify_bundle(Path(bundle), keys)
    else:
        found = verify_folder(run_folder(ROOT / "reports", bundle), keys)
    if as_json:
        parts = {"changed": found.changed, "doubts": found.doubts}
        say_json({"schema": 1, "intact": found.is_intact, "signer": found.signer, **parts})
    else:
        for problem in found.changed:
            say(f"✕ {problem}")
        for doubt in found.doubts:
            say(f"? {doubt}; ./cutover verify --help says how keys are pinned")
        if found.is_intact:
            say(f"✓ intact: {found.files} files, signed by {found.signer}")
    status = Exit.NO_GO if found.changed else Exit.NOT_PROVEN if found.doubts else Exit.GO
    raise typer.Exit(int(status))


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # the name is too long, or its folder is not readable
        return False
