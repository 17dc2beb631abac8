@week1 @req:W1-API @severity:blocker
Feature: The Kubernetes API
  The API answers through every server, so that losing one does not stop the work,
  and it refuses strangers.

  Rule: The API answers through every server

    Background:
      Given what every API server and kubelet answers

    Scenario: Every API server says that it is ready
      Then every API server is ready

    Scenario: Every server answers for this cluster
      Then the API answers through every server

  Rule: Nothing expires soon

    Scenario: Every certificate lasts for another month
      Given what every API server and kubelet answers
      And what every machine says about itself
      Then every certificate lasts long enough

  Rule: Strangers stay outside

    Scenario: Requests without credentials are refused
      Given what every API server and kubelet answers
      Then strangers are refused

    Scenario: The administrator's kubeconfig is private
      Given what every machine says about itself
      Then every kubeconfig is private

  Rule: Nothing behind the API is broken

    Background:
      Given every API service, and every namespace that is being deleted

    Scenario: Every group of the API is served
      Then every API service is available

    Scenario: Every deleted namespace is gone
      Then no namespace is stuck in its deletion
