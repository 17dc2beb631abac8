"""TLS as Python 3.13 checks it by default, for tests on an older one."""

from __future__ import annotations

import ssl
from typing import Any

import pytest


def as_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, a leaf without an authority key identifier is refused by default."""
    usual = ssl.create_default_context

    def strict(*args: Any, **sources: Any) -> ssl.SSLContext:
        context = usual(*args, **sources)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
