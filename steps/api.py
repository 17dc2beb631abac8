"""Steps about the Kubernetes API."""

from __future__ import annotations

from pytest_bdd import given, then

from harness.engine import Run


@given("what every API server and kubelet answers")
def ask_api_servers(run: Run) -> None:
    run.observe("api-endpoints")


@given("every API service, and every namespace that is being deleted")
def list_api_objects(run: Run) -> None:
    run.observe("api-objects")


@then("every API service is available")
def api_services_available(run: Run) -> None:
    run.require("every API service is available")


@then("no namespace is stuck in its deletion")
def namespaces_go(run: Run) -> None:
    run.require("no namespace is stuck in its deletion")


@then("every API server is ready")
def api_servers_ready(run: Run) -> None:
    run.require("every API server is ready")


@then("the API answers through every server")
def api_answers_everywhere(run: Run) -> None:
    run.require("the API answers through every server")


@then("every certificate lasts long enough")
def certificates_last(run: Run) -> None:
    run.require("every certificate lasts long enough")


@then("strangers are refused")
def strangers_refused(run: Run) -> None:
    run.require("strangers are refused")


@then("every kubeconfig is private")
def kubeconfigs_private(run: Run) -> None:
    run.require("every kubeconfig is private")
