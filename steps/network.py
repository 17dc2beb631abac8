"""Steps about the network between pods."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("pods on every node that talk to each other")
def pods_talk(run: Run) -> None:
    run.observe("pod-network")


@given("a service that a network policy closes to strangers")
def policy_closes_service(run: Run) -> None:
    run.observe("network-policy")


@given("what Cilium says on every node")
def ask_cilium(run: Run) -> None:
    run.observe("cilium")


@then("pods reach pods on every ordered pair of nodes")
def pods_reach_pods(run: Run) -> None:
    run.require("pods reach pods on every ordered pair of nodes")


@then("full-sized packets pass between pods")
def full_packets_between_pods(run: Run) -> None:
    run.require("full-sized packets pass between pods")


@then("pods reach services")
def pods_reach_services(run: Run) -> None:
    run.require("pods reach services")


@then("names resolve in pods")
def names_resolve(run: Run) -> None:
    run.require("names resolve in pods")


@then("a network policy that denies really denies")
def policy_denies(run: Run) -> None:
    run.require("a network policy that denies really denies")


@then("Cilium is healthy on every node")
def cilium_healthy(run: Run) -> None:
    run.require("Cilium is healthy on every node")
