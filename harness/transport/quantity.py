"""Sizes and amounts as the Kubernetes API writes them."""

from __future__ import annotations

import math
from decimal import Decimal

from harness.errors import TransportError


def size_bytes(text: str) -> int:
    """Bytes of a Kubernetes quantity: ``64Mi``, ``1G``, ``128974848000m``, ``1e9``.

    A part of a byte counts as a whole one, as in Kubernetes itself. TransportError for a text that
    is no quantity, or for less than nothing.
    """
    size = _parsed(text)
    if size < 0:
        raise TransportError(f"not a size: {text!r}")
    return math.ceil(size)


def amount(text: str) -> float:
    """A Kubernetes quantity as a number: ``4`` and ``3920m`` cores; TransportError for none."""
    return float(_parsed(text))


def _parsed(text: str) -> Decimal:
    # The client loads for a while; a command that asks no cluster does not wait for it.
    from kubernetes.utils.quantity import parse_quantity

    try:
        number = Decimal(parse_quantity(text))
    except (ValueError, ArithmeticError) as error:
        raise TransportError(f"not a quantity: {text!r}") from error
    if not number.is_finite():
        raise TransportError(f"not a quantity: {text!r}")
    return number
