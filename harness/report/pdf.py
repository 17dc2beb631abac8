"""Prints report.html as report.pdf with Chromium, for a manager's signature."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.core.errors import ConfigError, NotProven

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WITHIN_S = 120.0
# No sandbox: CI runs as root. The page is generated here, has no script and loads nothing.
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--no-pdf-header-footer"),
)


def browser() -> str:
    """The Chromium of this machine; ConfigError when it has none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise ConfigError(
            "there is no Chromium to print with",
            remedy="on Debian 12: apt-get install chromium; or print report.html in a browser",
        )
    return program


def print_pdf(folder: Path) -> Path:
    """Print a run's report.html beside it.

    ConfigError when there is no Chromium; NotProven when it prints nothing within two minutes.
    """
    program = browser()
    target = folder / "report.pdf"
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="cutover-", ignore_cleanup_errors=True) as profile:
        command = [program, *OPTIONS, f"--user-data-dir={profile}", f"--print-to-pdf={target}"]
        try:
            done = subprocess.run(
                [*command, (folder / "report.html").resolve().as_uri()],
                capture_output=True,
                text=True,
                timeout=_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotProven(f"{program} printed nothing within {_WITHIN_S:g} s") from error
    if not target.exists():
        last = done.stderr.strip().rpartition("\n")[2]
        raise NotProven(f"{program} printed nothing, and ended with {done.returncode}: {last}")
    return target
