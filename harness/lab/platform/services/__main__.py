"""Runs the part of the platform that PART names."""

from __future__ import annotations

import importlib

from . import settings

# What does without FastAPI: a function of a module.
PROGRAMS = {
    "archive": ("archives", "job"),
    "frontend": ("frontend", "serve"),
    "mariadb": ("servers", "mariadb"),
    "postgres": ("servers", "postgres"),
}

module, function = PROGRAMS.get(settings.PART, ("web", "serve"))
getattr(importlib.import_module(f".{module}", __package__), function)()
