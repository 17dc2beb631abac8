"""The ports that a profile lets answer, in each of their forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from harness.core.declared import Port
from harness.settings import MachineSettings
from harness.settings.field_types import AddressRange, ports_of
from harness.settings.services import Ingress


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


def machine(**changes: object) -> MachineSettings:
    return MachineSettings.model_validate({"name": "one", "address": "10.0.0.1", **changes})


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        ({}, ["10.0.0.1"]),
        ({"outside_address": "203.0.113.7"}, ["203.0.113.7"]),
        ({"outside_address": "2001:db8::1"}, ["10.0.0.1", "2001:db8::1"]),
        ({"outside_address": ["203.0.113.7", "2001:db8::1"]}, ["203.0.113.7", "2001:db8::1"]),
    ],
)
def test_a_machine_has_one_outside_address_or_several_of_both_families(
    declared: dict[str, object], asked: list[str]
) -> None:
    assert [str(it) for it in machine(**declared).outside_addresses] == asked


def test_an_address_that_the_harness_connects_to_is_not_ipv6() -> None:
    with pytest.raises(ValidationError, match="IPv6 is not supported here yet"):
        machine(address="fd00::1")


@pytest.mark.parametrize("pool", ["fd00::10-fd00::20", "fd00::/120"])
def test_a_pool_of_addresses_that_the_harness_connects_to_is_not_ipv6(pool: str) -> None:
    with pytest.raises(ValidationError, match="IPv6 is not supported here yet"):
        TypeAdapter(AddressRange).validate_python(pool)


def test_an_address_of_the_ingress_is_not_ipv6() -> None:
    declared = {"addresses": ["fd00::1"], "ingress_class": "traefik"}
    with pytest.raises(ValidationError, match="IPv6 is not supported here yet"):
        Ingress.model_validate(declared)
