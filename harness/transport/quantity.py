"""Sizes as the Kubernetes API writes them."""

from __future__ import annotations

import math

from kubernetes.utils.quantity import parse_quantity

from harness.errors import TransportError


def size_bytes(text: str) -> int:
    """Bytes of a Kubernetes quantity: ``64Mi``, ``1G``, ``128974848000m``, ``1e9``.

    A part of a byte counts as a whole one, as in Kubernetes itself. TransportError for a text that
    is no quantity, or for less than nothing.
    """
    try:
        size: int = math.ceil(parse_quantity(text))
    except (ValueError, ArithmeticError) as error:
        raise TransportError(f"not a quantity: {text!r}") from error
    if size < 0:
        raise TransportError(f"not a size: {text!r}")
    return size


def amount(text: str) -> float:
    """A Kubernetes quantity as a number: ``4`` and ``3920m`` cores; TransportError for none."""
    try:
        number = float(parse_quantity(text))
    except (ValueError, ArithmeticError) as error:
        raise TransportError(f"not a quantity: {text!r}") from error
    if not math.isfinite(number):
        raise TransportError(f"not a quantity: {text!r}")
    return number
