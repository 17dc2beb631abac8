"""What pytest must know: the gate, its Allure bridge, and every module of steps.

``pytester`` is for the project's own tests, and can be asked for only here.
"""

import pkgutil

import steps

pytest_plugins = (
    "pytester",
    "harness.pytest_gate.plugin",
    "harness.pytest_gate.allure_bridge",
    *(f"steps.{module.name}" for module in pkgutil.iter_modules(steps.__path__)),
)
