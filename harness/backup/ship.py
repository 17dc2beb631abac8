"""Send several of our modules to a machine as one script, for ``python3 -``."""

from __future__ import annotations

import inspect
from types import ModuleType

_LOADER = """\
import sys, types
for package in {packages!r}:
    sys.modules[package] = types.ModuleType(package)
for name, text in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
module.main()
"""


def as_script(*modules: ModuleType) -> str:
    """A script that loads these modules, each of which may import those before, and calls ``main``
    of the last one.
    """
    texts = [(module.__name__, inspect.getsource(module)) for module in modules]
    packages = {".".join(name.split(".")[:depth]) for name, _ in texts for depth in (1, 2)}
    return _LOADER.format(packages=sorted(packages), modules=texts)
