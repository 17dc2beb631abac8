"""The kernel parameters that the files of sysctl.d set, as systemd-sysctl applies them at boot."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from harness.facts.host import SysctlSetting

# What ``systemd-sysctl --cat-config`` prints before each file.
_HEADER = re.compile(r"# (/\S+\.conf)")
_SWAPPED = str.maketrans("./", "/.")


def sysctl_settings(names: Iterable[str], configuration: str) -> dict[str, SysctlSetting]:
    """Those of the parameters that the files set.

    ``systemd-sysctl --cat-config`` prints the files in the order in which it applies them, without
    those that another one hides. The last setting is valid, and one by name (also ``-name``, which
    only exempts it) goes before any by a pattern (``net.ipv4.conf.*.rp_filter``).
    """
    settings: dict[str, SysctlSetting | None] = {}
    file = ""
    for line in map(str.strip, configuration.splitlines()):
        if header := _HEADER.fullmatch(line):
            file = header[1]
        if not line or line[0] in "#;=":
            continue
        key, equals, value = line.partition("=")
        path = _path(key.strip().removeprefix("-"))
        settings.pop(path, None)
        settings[path] = SysctlSetting(file, " ".join(value.split())) if equals else None
    found = {name: _setting(_path(name), settings) for name in names}
    return {name: setting for name, setting in found.items() if setting}


def _path(name: str) -> str:
    """The parameter's path below /proc/sys: the first separator tells which one divides it."""
    separator = re.search("[./]", name)
    return name.translate(_SWAPPED) if separator and separator[0] == "." else name


def _setting(path: str, settings: dict[str, SysctlSetting | None]) -> SysctlSetting | None:
    if path in settings:
        return settings[path]
    matching = [it for pattern, it in settings.items() if PurePosixPath(path).match(pattern)]
    return matching[-1] if matching else None
