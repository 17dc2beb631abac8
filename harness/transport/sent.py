"""Programs of several modules as one text: where they run there is python3, and nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping

# What makes a module of each part, under the name by which the program imports it.
_LOADER = """\
import sys, types
for name, text in {parts!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
exec(compile({program!r}, "program", "exec"))
"""


def one_text(program: str, parts: Mapping[str, str]) -> str:
    """The program with the modules that it imports: the texts of ``parts``, by their names."""
    return _LOADER.format(parts=dict(parts), program=program)
