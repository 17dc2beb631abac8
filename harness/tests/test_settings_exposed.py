"""The ports that a profile lets answer, in each of their forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Port
from harness.settings.exposed import ports_of


@pytest.mark.parametrize(
    ("declared", "means"),
    [
        (22, {Port(22, "tcp", 4), Port(22, "tcp", 6)}),
        ("22", {Port(22, "tcp", 4), Port(22, "tcp", 6)}),
        ("443/tcp", {Port(443, "tcp", 4), Port(443, "tcp", 6)}),
        ("443/tcp4", {Port(443, "tcp", 4)}),
        ("443/tcp6", {Port(443, "tcp", 6)}),
        ("51820/udp", {Port(51820, "udp", 4), Port(51820, "udp", 6)}),
        ("53/udp6", {Port(53, "udp", 6)}),
    ],
)
def test_a_number_alone_is_tcp_and_a_port_without_a_family_is_meant_for_both(
    declared: int | str, means: set[Port]
) -> None:
    assert set(ports_of(declared)) == means


@pytest.mark.parametrize("declared", [0, 65536, -1, "", "443/", "443/sctp", "443/tcp5", "x", "٣"])
def test_what_is_no_port_is_refused_with_the_forms_that_are(declared: int | str) -> None:
    with pytest.raises(ValueError, match="is no port: write 443"):
        ports_of(declared)


@given(st.text())
def test_no_text_gives_a_port_out_of_range(declared: str) -> None:
    try:
        found = ports_of(declared)
    except ValueError:
        return
    assert all(1 <= port.number <= 65535 for port in found)
