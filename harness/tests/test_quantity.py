"""Sizes of claims and volumes, in every form in which the Kubernetes API writes them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import TransportError
from harness.transport.objects import amount, size_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64Mi", 64 << 20),
        ("1Gi", 1 << 30),
        ("1G", 1000**3),
        ("1.5Gi", 3 << 29),
        ("67108864", 64 << 20),
        ("8Ki", 8192),
        # What the API makes of a size with a part of a byte, such as 0.1201171875Gi of 1.5 copies.
        ("128974848000m", 128_974_848),
        ("1500m", 2),
        ("1e9", 1000**3),
        ("129e6", 129_000_000),
        ("0", 0),
    ],
)
def test_sizes_are_read_as_the_api_writes_them(text: str, size: int) -> None:
    assert size_bytes(text) == size


@given(
    st.integers(1, 900),
    st.sampled_from(
        [("Ki", 1 << 10), ("Gi", 1 << 30), ("Pi", 1 << 50), ("k", 1000), ("T", 10**12)]
    ),
)
def test_quantities_are_bytes(number: int, unit: tuple[str, int]) -> None:
    assert size_bytes(f"{number}{unit[0]}") == number * unit[1]
    assert size_bytes(f"{number}") == number


@pytest.mark.parametrize("text", ["", "Gi", "5 apples", "5GiGi", "-", "NaN", "Infinity", "-1Gi"])
def test_what_is_no_size_is_an_error(text: str) -> None:
    with pytest.raises(TransportError, match="not a "):
        size_bytes(text)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_an_error(text: str) -> None:
    with contextlib.suppress(TransportError):
        assert size_bytes(text) >= 0


@pytest.mark.parametrize(("text", "cores"), [("4", 4.0), ("3920m", 3.92), ("0.5", 0.5)])
def test_cores_are_read_as_the_api_writes_them(text: str, cores: float) -> None:
    assert amount(text) == pytest.approx(cores)


@pytest.mark.parametrize("text", ["", "four", "NaN", "Infinity"])
def test_what_is_no_number_of_cores_is_an_error(text: str) -> None:
    with pytest.raises(TransportError, match="not a quantity"):
        amount(text)
