"""Steps about what the world can reach: ports, the load balancer, the ingress."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("every port of every machine, tried from outside")
def knock_at_ports(run: Run) -> None:
    run.observe("open-ports")


@given("a service that asks for an outside address")
def ask_for_an_address(run: Run) -> None:
    run.observe("load-balancer")


@given("a new site and the declared ones, visited from outside")
def visit_sites(run: Run) -> None:
    run.observe("ingress")


@then("only declared ports answer")
def only_declared_ports(run: Run) -> None:
    run.require("only declared ports answer")


@then("a service is given an address of the pool")
def address_of_the_pool(run: Run) -> None:
    run.require("a service is given an address of the pool")


@then("the load balancer's pool has addresses left")
def pool_has_room(run: Run) -> None:
    run.require("the load balancer's pool has addresses left")


@then("the service answers at its address")
def service_answers(run: Run) -> None:
    run.require("the service answers at its address")


@then("a host reaches its service")
def host_reaches_service(run: Run) -> None:
    run.require("a host reaches its service")


@then("an unknown host gets 404")
def unknown_host(run: Run) -> None:
    run.require("an unknown host gets 404")


@then("every declared site answers")
def declared_sites(run: Run) -> None:
    run.require("every declared site answers")


@then("TLS is valid")
def tls_is_valid(run: Run) -> None:
    run.require("TLS is valid")
