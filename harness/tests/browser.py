"""What a file is to a reader, in Debian's Chromium."""

from __future__ import annotations

import json
from pathlib import Path

from harness.core.waiting import until
from harness.transport.browser import Page

_WITHIN_S = 60.0
_HEIGHT = 900


def show(page: Page, file: Path, *, width: int, dark: bool = False, paper: bool = False) -> None:
    """Show a file in a window so many pixels wide, and wait until it is all there."""
    size = {"width": width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    page.ask("Emulation.setDeviceMetricsOverride", **size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    media = "print" if paper else "screen"
    page.ask("Emulation.setEmulatedMedia", media=media, features=[{**scheme}])
    address = file.resolve().as_uri()
    assert page.open(address) == ""
    there = f"document.readyState == 'complete' && location.href == {json.dumps(address)}"
    until(lambda: page.run(there), what=f"{file.name} open", within_s=_WITHIN_S, every_s=0.02)


def number(page: Page, script: str) -> float:
    """The number that an expression on the page comes to."""
    found = page.run(script)
    assert isinstance(found, int | float), found
    return found
