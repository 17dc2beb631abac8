"""What pytest must know: the gate, its Allure bridge, and every module of steps."""

import pkgutil

import steps

pytest_plugins = (
    "harness.plugin",
    "harness.allure_bridge",
    *(f"steps.{module.name}" for module in pkgutil.iter_modules(steps.__path__)),
)
